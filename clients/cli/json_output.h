// The JSON that `--json` prints, in the order in which it was made. For files that write it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "base/clock.h"

namespace swage {

using OutputJson = nlohmann::ordered_json;

// Bytes that are not UTF-8 are replaced: what comes from elsewhere never ends the output.
inline std::string DumpOutput(const OutputJson& json) {
  return json.dump(-1, ' ', false, OutputJson::error_handler_t::replace);
}

// RFC 3339; null for 0, "not yet".
inline OutputJson TimeOutput(int64_t unix_nanos) {
  return unix_nanos > 0 ? OutputJson(Rfc3339(unix_nanos)) : OutputJson(nullptr);
}

}  // namespace swage
