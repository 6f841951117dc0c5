#include "nlohmann/json.hpp"
#include "workers/catalog/catalog.h"
#include "workers/recipe/recipe.h"

namespace swage {

Digest ActionDigest(const Recipe& recipe, const Digest& model, const std::vector<Digest>& data) {
  // One JSON object with sorted keys, so that no two different actions give the same bytes.
  nlohmann::json action = {{"schema", 1}, {"recipe", recipe.ToJson()}, {"model", model.Hex()}};
  action["methods"] = nlohmann::json::object();
  for (const RecipeStep& step : recipe.steps) {
    const MethodRow* method = FindMethod(step.method);
    action["methods"][step.method] = method != nullptr ? method->version : 0;
  }
  action["data"] = nlohmann::json::array();
  for (const Digest& digest : data) action["data"].push_back(digest.Hex());
  return Sha256Of(action.dump());
}

}  // namespace swage
