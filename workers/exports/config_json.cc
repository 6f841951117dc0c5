#include "workers/exports/config_json.h"

namespace swage {

StatusOr<std::string> ReplaceQuantizationConfig(std::string_view config_json,
                                                const nlohmann::ordered_json& section) {
  using Json = nlohmann::ordered_json;
  Json config =
      Json::parse(config_json.begin(), config_json.end(), nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return InvalidInput("CONFIG_NOT_JSON", "config.json is no JSON object");
  config.erase("quantization_config");
  if (!section.is_null()) config["quantization_config"] = section;
  return config.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace swage
