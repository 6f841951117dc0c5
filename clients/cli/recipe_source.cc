#include "clients/cli/recipe_source.h"

#include <nlohmann/json.hpp>

#include "base/limits.h"
#include "workers/recipe/scheme.h"

namespace swage {
namespace {

// A JSON string is a YAML string, whatever is in it.
std::string Quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string QuotedList(const std::vector<std::string>& items) {
  std::vector<std::string> quoted;
  for (const std::string& item : items) quoted.push_back(Quoted(item));
  return Cat("[", Join(quoted, ", "), "]");
}

Status CheckText(Env* env, const std::string& written, const std::string& path) {
  const auto file = env->NewReadableFile(path);
  if (!file.ok()) return Annotate(file.status(), Cat("the recipe's text '", written, "'"));
  if ((*file)->size() == 0) {
    return InvalidInput("TEXT_EMPTY", Cat("the recipe's text '", written, "' (", path, ") is empty"),
                        "name a text with at least one window of tokens");
  }
  if ((*file)->size() > limits::kTextFileBytes) {
    return InvalidInput("TEXT_TOO_LARGE", Cat("the recipe's text '", written, "' has ", (*file)->size(), " bytes, ",
                                              limits::kTextFileBytes, " are allowed"),
                        "cut it: the first part is what is used anyway");
  }
  return absl::OkStatus();
}

// Gives each text of a recipe the name that it is sent under.
class TextNames {
 public:
  explicit TextNames(std::map<std::string, std::string>* texts) : texts_(texts) {}

  std::string Name(const std::string& written, const std::string& local) {
    std::string name = CheckRelativePath(written).ok() ? written : BaseName(local);
    while (texts_->contains(name) && texts_->at(name) != local) name = Cat("other-", name);
    (*texts_)[name] = local;
    return name;
  }

 private:
  std::map<std::string, std::string>* const texts_;
};

// "name: value" lines of a method's options, values as written: the catalog says what they mean.
StatusOr<std::string> OptionLines(const std::vector<std::string>& options) {
  std::string lines;
  for (const std::string& option : options) {
    const size_t equals = option.find('=');
    if (equals == std::string::npos || equals == 0) {
      return InvalidInput("BAD_OPTION", Cat("--option ", option, " is not NAME=VALUE"),
                          "'swage methods NAME' lists the options of a method");
    }
    lines += Cat("    ", Quoted(option.substr(0, equals)), ": ", option.substr(equals + 1), "\n");
  }
  return lines;
}

std::string StepYaml(const QuantizeFlags& flags, const std::string& option_lines) {
  const SchemeRules* rules = FindSchemeRules(flags.format);
  const bool grouped = flags.group_size > 0 || (rules != nullptr && rules->fixed_group);
  const std::string granularity =
      !flags.granularity.empty() ? flags.granularity : grouped ? "group" : "channel";
  std::string yaml = Cat("steps:\n- kind: quantize\n  method: ", Quoted(flags.method), "\n  format: ",
                         Quoted(flags.format), "\n  granularity: ", Quoted(granularity), "\n");
  if (flags.group_size > 0) yaml += Cat("  group_size: ", flags.group_size, "\n");
  yaml += Cat("  symmetric: ", flags.asymmetric ? "false" : "true", "\n");
  if (!flags.activations.empty()) {
    yaml += Cat("  activations: {format: ", Quoted(flags.activations), ", dynamic: true}\n");
  }
  if (!option_lines.empty()) yaml += Cat("  options:\n", option_lines);
  if (!flags.targets.empty()) yaml += Cat("  targets: ", QuotedList(flags.targets), "\n");
  if (!flags.ignore.empty()) yaml += Cat("  ignore: ", QuotedList(flags.ignore), "\n");
  return yaml;
}

}  // namespace

StatusOr<RecipeSource> ReadRecipe(Env* env, const std::string& path) {
  RecipeSource source;
  SWAGE_ASSIGN_OR_RETURN(source.yaml, ReadFile(env, path, limits::kRecipeBytes));
  auto recipe = ParseRecipe(source.yaml);
  if (!recipe.ok()) return Annotate(recipe.status(), path);
  source.recipe = std::move(*recipe);
  TextNames names(&source.texts);
  bool renamed = false;
  for (auto* windows : {&source.recipe.calibrate, &source.recipe.evaluate}) {
    if (!windows->has_value()) continue;
    const std::string written = (*windows)->text;
    const std::string local = StartsWith(written, "/") ? written : JoinPath(DirName(path), written);
    SWAGE_RETURN_IF_ERROR(CheckText(env, written, local));
    (*windows)->text = names.Name(written, local);
    renamed |= (*windows)->text != written;
  }
  if (renamed) source.yaml = source.recipe.ToJson();  // JSON is YAML
  return source;
}

StatusOr<RecipeSource> RecipeFromFlags(Env* env, const QuantizeFlags& flags) {
  RecipeSource source;
  SWAGE_ASSIGN_OR_RETURN(const std::string option_lines, OptionLines(flags.options));
  source.yaml = StepYaml(flags, option_lines);
  TextNames names(&source.texts);
  const auto name_text = [&](const std::string& path) { return Quoted(names.Name(BaseName(path), path)); };
  if (!flags.calibrate.empty()) {
    source.yaml += Cat("calibrate: {text: ", name_text(flags.calibrate), ", samples: ", flags.samples,
                       ", window: ", flags.window, "}\n");
  }
  if (!flags.evaluate.empty()) {
    source.yaml += Cat("evaluate: {text: ", name_text(flags.evaluate), ", window: ", flags.window);
    if (flags.max_windows > 0) source.yaml += Cat(", max_windows: ", flags.max_windows);
    source.yaml += "}\n";
  }
  if (!flags.export_format.empty()) source.yaml += Cat("export: ", Quoted(flags.export_format), "\n");
  source.yaml += Cat("seed: ", flags.seed, "\n");
  SWAGE_ASSIGN_OR_RETURN(source.recipe, ParseRecipe(source.yaml));
  for (const auto& [written, local] : source.texts) SWAGE_RETURN_IF_ERROR(CheckText(env, written, local));
  return source;
}

}  // namespace swage
