// The canonical JSON of a recipe: the keys of docs/recipes.md in alphabetical order, every default
// written out, no white space.
#include "nlohmann/json.hpp"
#include "workers/catalog/catalog.h"
#include "workers/recipe/recipe.h"

namespace swage {
namespace {

using nlohmann::json;

void PutScheme(const QuantScheme& scheme, json* out) {
  (*out)["format"] = scheme.format;
  (*out)["granularity"] = scheme.granularity;
  (*out)["symmetric"] = scheme.symmetric;
  if (scheme.group_size > 0) (*out)["group_size"] = scheme.group_size;
}

// Options are kept as text; in JSON a number is a number.
json OptionValue(const RecipeStep& step, const std::string& name, const std::string& text) {
  const MethodRow* method = FindMethod(step.method);
  if (method == nullptr) return text;
  for (const OptionRow& row : method->options) {
    if (row.name != name || row.type == OptionType::kString || row.type == OptionType::kChoice)
      continue;
    json value = json::parse(text, nullptr, false);
    if (!value.is_discarded()) return value;
  }
  return text;
}

json StepJson(const RecipeStep& step) {
  json out = {{"kind", step.kind},
              {"method", step.method},
              {"targets", step.targets},
              {"ignore", step.ignore}};
  PutScheme(step.weights, &out);
  if (step.activations) {
    out["activations"] = {{"format", step.activations->format},
                          {"granularity", step.activations->granularity},
                          {"dynamic", step.activations->dynamic}};
    if (step.activations->group_size > 0)
      out["activations"]["group_size"] = step.activations->group_size;
  }
  out["options"] = json::object();
  for (const auto& [name, value] : step.options)
    out["options"][name] = OptionValue(step, name, value);
  out["overrides"] = json::array();
  for (const Override& override : step.overrides) {
    json item = {{"match", override.match}};
    PutScheme(override.scheme, &item);
    out["overrides"].push_back(std::move(item));
  }
  return out;
}

}  // namespace

std::string Recipe::ToJson() const {
  json out = {{"export", export_format}, {"seed", seed}, {"steps", json::array()}};
  for (const RecipeStep& step : steps) out["steps"].push_back(StepJson(step));
  if (calibrate) {
    out["calibrate"] = {{"text", calibrate->text},
                        {"samples", calibrate->samples},
                        {"window", calibrate->window},
                        {"shuffle", calibrate->shuffle}};
  }
  if (evaluate) {
    out["evaluate"] = {
        {"text", evaluate->text}, {"window", evaluate->window}, {"max_windows", evaluate->samples}};
  }
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace swage
