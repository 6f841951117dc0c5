// Fields of a config.json, each checked as it is read. A key with null counts as absent. Errors
// name the key and what it must be: CONFIG_FIELD_MISSING, CONFIG_FIELD_RANGE.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/modelfile/architecture.h"
#include "base/status.h"

namespace swage {

inline constexpr char kCheckConfig[] = "check config.json against the model's original";

const nlohmann::json* Field(const nlohmann::json& object, std::string_view key);  // or nullptr
Status MissingField(std::string_view key);
Status BadField(std::string_view key, std::string_view expected);

// 1 to `most`; `fallback` when absent, and required when that is 0.
Status ReadInt(const nlohmann::json& config, std::string_view key, int64_t most, int64_t fallback,
               int64_t* out);
Status ReadBool(const nlohmann::json& config, std::string_view key, bool* out);
Status ReadDouble(const nlohmann::json& config, std::string_view key, double least, double most,
                  double* out);
Status ReadText(const nlohmann::json& config, std::string_view key, std::string* out);

// `reason`: what config.json asks for is not among `known`; the nearest of them is named.
Status Unknown(std::string_view reason, std::string_view what, std::string_view asked,
               const std::vector<std::string>& known);

// The parts of the reader that have a file of their own; sizes are read before.
Status ReadRopes(const nlohmann::json& config, const Architecture& row, ModelConfig* out);
Status ReadLayers(const nlohmann::json& config, const Architecture& row, ModelConfig* out);

}  // namespace swage
