// Edits of a model's config.json that leave everything else as it was.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/status.h"

namespace swage {

// `config_json` with its quantization_config replaced; removed when `section` is null. Key order is
// kept.
StatusOr<std::string> ReplaceQuantizationConfig(std::string_view config_json,
                                                const nlohmann::ordered_json& section);

}  // namespace swage
