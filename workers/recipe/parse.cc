// The grammar of recipes: docs/recipes.md.
#include <algorithm>

#include "workers/catalog/catalog.h"
#include "workers/recipe/options.h"
#include "workers/recipe/reader.h"
#include "workers/recipe/recipe.h"
#include "workers/recipe/scheme.h"
#include "workers/recipe/tree.h"

namespace swage {
namespace {

constexpr size_t kMaxSteps = 64;
constexpr size_t kMaxPatterns = 4096;  // of the whole recipe: each is tried on every linear
constexpr int64_t kMaxWindow = 1 << 20;
constexpr int64_t kMaxWindows = 1 << 24;

using Words = std::vector<std::string>;

const Words& Kinds() {
  static const Words kinds = {"quantize", "prune", "kv_calibrate", "train", "evaluate"};
  return kinds;
}

Words MethodsOfKind(std::string_view kind) {
  Words ids;
  for (const MethodRow& row : Methods()) {
    if (row.kind == kind) ids.emplace_back(row.id);
  }
  return ids;
}

Words Owned(const std::vector<std::string_view>& words) {
  return Words(words.begin(), words.end());
}

StatusOr<const MethodRow*> ReadMethod(const MapReader& step, RecipeStep* out) {
  SWAGE_RETURN_IF_ERROR(step.Require("kind"));
  SWAGE_RETURN_IF_ERROR(step.Choice("kind", Kinds(), &out->kind));
  const Words methods = MethodsOfKind(out->kind);
  if (methods.empty()) {
    Words kinds;
    for (const std::string& kind : Kinds()) {
      if (!MethodsOfKind(kind).empty()) kinds.push_back(kind);
    }
    return InvalidInput(
        "KIND_NOT_AVAILABLE",
        Cat(AtLine(step.Find("kind")->line), "this version has no methods of the kind '", out->kind,
            "' yet; it has: ", Join(kinds, ", ")),
        out->kind == "evaluate" ? "to measure perplexity write evaluate: beside steps:"
                                : "remove the step");
  }
  SWAGE_RETURN_IF_ERROR(step.Require("method"));
  SWAGE_RETURN_IF_ERROR(step.Choice("method", methods, &out->method));
  return FindMethod(out->method);
}

// The keys format, granularity, group_size and symmetric, which steps and overrides share. What is
// absent comes from `base` (an override's step) or from the format.
Status ReadScheme(const MapReader& map, const MethodRow& method, const QuantScheme* base,
                  QuantScheme* out) {
  if (base != nullptr) *out = *base;
  SWAGE_RETURN_IF_ERROR(map.Choice("format", Owned(method.formats), &out->format));
  const SchemeRules* rules = FindSchemeRules(out->format);
  SWAGE_CHECK(rules != nullptr, "format ", out->format, " is in the catalog but has no rules");
  if (base == nullptr) out->granularity = std::string(rules->default_granularity);
  SWAGE_RETURN_IF_ERROR(map.Choice("granularity", Owned(method.granularities), &out->granularity));
  SWAGE_RETURN_IF_ERROR(map.Bool("symmetric", &out->symmetric));
  const bool other_format = base != nullptr && base->format != out->format &&
                            (rules->fixed_group || FindSchemeRules(base->format)->fixed_group);
  if (out->granularity == "group" || out->granularity == "block") {
    if (out->group_size == 0 || other_format) out->group_size = rules->group_size;
    SWAGE_RETURN_IF_ERROR(map.Int("group_size", 1, kMaxGroupSize, &out->group_size));
  } else {
    if (const TreeNode* size = map.Find("group_size")) {
      return InvalidInput("GROUP_SIZE_WITHOUT_GROUP",
                          Cat(AtLine(size->line), "'group_size' is given, but the granularity is '",
                              out->granularity, "'"),
                          "add granularity: group or block, or remove group_size");
    }
    out->group_size = 0;
  }
  return CheckScheme(*out, AtLine(map.line()));
}

StatusOr<ActivationScheme> ReadActivations(const TreeNode& node) {
  SWAGE_ASSIGN_OR_RETURN(
      const MapReader map,
      MapReader::Open(node, "activations", {"format", "granularity", "group_size", "dynamic"}));
  ActivationScheme out;
  SWAGE_RETURN_IF_ERROR(map.Require("format"));
  SWAGE_RETURN_IF_ERROR(map.Choice("format", {"int8", "fp8_e4m3", "mxfp4", "mxfp8"}, &out.format));
  const bool microscaling = out.format.starts_with("mx");
  out.granularity = microscaling ? "group" : "token";
  Words granularities = {"token"};
  if (microscaling) granularities = {"group"};
  if (out.format == "fp8_e4m3") granularities.emplace_back("group");
  SWAGE_RETURN_IF_ERROR(map.Choice("granularity", granularities, &out.granularity));
  if (out.granularity == "group") {
    const int64_t size = microscaling ? 32 : kActivationGroupSize;
    out.group_size = size;
    SWAGE_RETURN_IF_ERROR(map.Int("group_size", size, size, &out.group_size));
  } else if (const TreeNode* size = map.Find("group_size")) {
    return InvalidInput("GROUP_SIZE_WITHOUT_GROUP",
                        Cat(AtLine(size->line),
                            "'group_size' is given, but the granularity of "
                            "the activations is 'token'"),
                        "add granularity: group, or remove group_size");
  }
  SWAGE_RETURN_IF_ERROR(map.Bool("dynamic", &out.dynamic));
  if (!out.dynamic) {
    return InvalidInput("STATIC_ACTIVATIONS",
                        Cat(AtLine(map.Find("dynamic")->line),
                            "static activation scales are not available in this version"),
                        "write dynamic: true");
  }
  return out;
}

Status ReadOverrides(const MapReader& step, const MethodRow& method, RecipeStep* out) {
  const TreeNode* list = step.Find("overrides");
  if (list == nullptr) return absl::OkStatus();
  if (list->kind != TreeNode::Kind::kList) {
    return InvalidInput("RECIPE_TYPE",
                        Cat(AtLine(list->line), "'overrides' must be a list of maps"),
                        "write overrides: [{match: \"*.down_proj\", format: int8}]");
  }
  for (const TreeNode& item : list->items) {
    SWAGE_ASSIGN_OR_RETURN(const MapReader map, MapReader::Open(item, "an override",
                                                                {"match", "format", "granularity",
                                                                 "group_size", "symmetric"}));
    Override override;
    SWAGE_RETURN_IF_ERROR(map.Require("match"));
    SWAGE_RETURN_IF_ERROR(map.Text("match", &override.match));
    SWAGE_RETURN_IF_ERROR(ReadScheme(map, method, &out->weights, &override.scheme));
    if (out->activations)
      SWAGE_RETURN_IF_ERROR(
          CheckActivations(override.scheme, *out->activations, AtLine(map.line())));
    out->overrides.push_back(std::move(override));
  }
  return absl::OkStatus();
}

StatusOr<RecipeStep> ReadStep(const TreeNode& node) {
  SWAGE_ASSIGN_OR_RETURN(
      const MapReader step,
      MapReader::Open(node, "a step",
                      {"kind", "method", "format", "granularity", "group_size", "symmetric",
                       "activations", "options", "targets", "ignore", "overrides"}));
  RecipeStep out;
  SWAGE_ASSIGN_OR_RETURN(const MethodRow* method, ReadMethod(step, &out));
  SWAGE_RETURN_IF_ERROR(step.Require("format"));
  SWAGE_RETURN_IF_ERROR(ReadScheme(step, *method, nullptr, &out.weights));
  if (const TreeNode* activations = step.Find("activations")) {
    SWAGE_ASSIGN_OR_RETURN(out.activations, ReadActivations(*activations));
    SWAGE_RETURN_IF_ERROR(CheckActivations(out.weights, *out.activations, AtLine(step.line())));
  }
  SWAGE_ASSIGN_OR_RETURN(out.options, ReadOptions(*method, step.Find("options")));
  out.targets = {"*"};
  out.ignore = {"lm_head"};
  SWAGE_RETURN_IF_ERROR(step.Texts("targets", &out.targets));
  SWAGE_RETURN_IF_ERROR(step.Texts("ignore", &out.ignore));
  if (out.targets.empty()) {
    return InvalidInput(
        "RECIPE_RANGE",
        Cat(AtLine(step.Find("targets")->line), "'targets' is empty: the step would do nothing"),
        "remove the key to take all linears");
  }
  SWAGE_RETURN_IF_ERROR(ReadOverrides(step, *method, &out));
  return out;
}

StatusOr<TextWindows> ReadCalibrate(const TreeNode& node) {
  SWAGE_ASSIGN_OR_RETURN(
      const MapReader map,
      MapReader::Open(node, "calibrate", {"text", "samples", "window", "shuffle"}));
  TextWindows out;
  out.samples = 128;
  SWAGE_RETURN_IF_ERROR(map.Require("text"));
  SWAGE_RETURN_IF_ERROR(map.Text("text", &out.text));
  SWAGE_RETURN_IF_ERROR(map.Int("samples", 1, kMaxWindows, &out.samples));
  SWAGE_RETURN_IF_ERROR(map.Int("window", 2, kMaxWindow, &out.window));
  SWAGE_RETURN_IF_ERROR(map.Bool("shuffle", &out.shuffle));
  return out;
}

StatusOr<TextWindows> ReadEvaluate(const TreeNode& node) {
  SWAGE_ASSIGN_OR_RETURN(const MapReader map,
                         MapReader::Open(node, "evaluate", {"text", "window", "max_windows"}));
  TextWindows out;
  SWAGE_RETURN_IF_ERROR(map.Require("text"));
  SWAGE_RETURN_IF_ERROR(map.Text("text", &out.text));
  SWAGE_RETURN_IF_ERROR(map.Int("window", 2, kMaxWindow, &out.window));
  SWAGE_RETURN_IF_ERROR(map.Int("max_windows", 0, kMaxWindows, &out.samples));
  return out;
}

StatusOr<std::vector<RecipeStep>> ReadSteps(const MapReader& root) {
  SWAGE_RETURN_IF_ERROR(root.Require("steps"));
  const TreeNode& list = *root.Find("steps");
  if (list.kind != TreeNode::Kind::kList || list.items.empty() || list.items.size() > kMaxSteps) {
    return InvalidInput(
        "RECIPE_TYPE",
        Cat(AtLine(list.line), "'steps' must be a list of 1 to ", kMaxSteps, " steps"),
        "write steps: [{kind: quantize, method: rtn, format: int4}]");
  }
  std::vector<RecipeStep> steps;
  size_t patterns = 0;
  for (const TreeNode& item : list.items) {
    SWAGE_ASSIGN_OR_RETURN(RecipeStep step, ReadStep(item));
    patterns += step.targets.size() + step.ignore.size() + step.overrides.size();
    if (patterns > kMaxPatterns) {
      return InvalidInput(
          "RECIPE_RANGE",
          Cat(AtLine(item.line), "the recipe has more than ", kMaxPatterns, " patterns"),
          "use globs: '*' matches any run of characters");
    }
    steps.push_back(std::move(step));
  }
  return steps;
}

// The exports that every step's method can write.
Words CommonExports(const std::vector<RecipeStep>& steps) {
  Words common = Owned(FindMethod(steps.front().method)->exports);
  for (const RecipeStep& step : steps) {
    const Words have = Owned(FindMethod(step.method)->exports);
    std::erase_if(common, [&](const std::string& name) {
      return std::find(have.begin(), have.end(), name) == have.end();
    });
  }
  return common;
}

Status CheckExport(const Recipe& recipe, const QuantScheme& scheme) {
  if (recipe.export_format != "compressed-tensors" ||
      FindSchemeRules(scheme.format)->compressed_tensors) {
    return absl::OkStatus();
  }
  return InvalidInput("EXPORT_CANNOT_EXPRESS",
                      Cat("recipe: compressed-tensors has no words for weights in ", scheme.format),
                      "write export: dense, or choose another format");
}

Status CheckExports(const Recipe& recipe) {
  for (const RecipeStep& step : recipe.steps) {
    SWAGE_RETURN_IF_ERROR(CheckExport(recipe, step.weights));
    for (const Override& override : step.overrides)
      SWAGE_RETURN_IF_ERROR(CheckExport(recipe, override.scheme));
    if (recipe.export_format != "dense" || !step.activations) continue;
    return InvalidInput("EXPORT_CANNOT_EXPRESS",
                        "recipe: a dense model cannot say that its activations are rounded",
                        "write export: compressed-tensors, or remove the activations");
  }
  return absl::OkStatus();
}

StatusOr<Recipe> ReadRecipe(const TreeNode& node) {
  SWAGE_ASSIGN_OR_RETURN(
      const MapReader root,
      MapReader::Open(node, "the recipe", {"steps", "calibrate", "evaluate", "export", "seed"}));
  Recipe recipe;
  SWAGE_ASSIGN_OR_RETURN(recipe.steps, ReadSteps(root));
  if (const TreeNode* calibrate = root.Find("calibrate")) {
    SWAGE_ASSIGN_OR_RETURN(recipe.calibrate, ReadCalibrate(*calibrate));
  }
  if (const TreeNode* evaluate = root.Find("evaluate")) {
    SWAGE_ASSIGN_OR_RETURN(recipe.evaluate, ReadEvaluate(*evaluate));
  }
  for (const RecipeStep& step : recipe.steps) {
    if (FindMethod(step.method)->needs_calibration && !recipe.calibrate) {
      return InvalidInput("RECIPE_MISSING_KEY",
                          Cat("recipe: the method '", step.method, "' needs a calibration text"),
                          "add calibrate: {text: FILE}");
    }
  }
  SWAGE_RETURN_IF_ERROR(root.Choice("export", CommonExports(recipe.steps), &recipe.export_format));
  SWAGE_RETURN_IF_ERROR(CheckExports(recipe));
  SWAGE_RETURN_IF_ERROR(root.Unsigned("seed", &recipe.seed));
  return recipe;
}

}  // namespace

StatusOr<Recipe> ParseRecipe(std::string_view yaml) {
  SWAGE_ASSIGN_OR_RETURN(const TreeNode tree, TreeFromYaml(yaml));
  return ReadRecipe(tree);
}

StatusOr<Recipe> RecipeFromJson(std::string_view json) {
  SWAGE_ASSIGN_OR_RETURN(const TreeNode tree, TreeFromJson(json));
  return ReadRecipe(tree);
}

}  // namespace swage
