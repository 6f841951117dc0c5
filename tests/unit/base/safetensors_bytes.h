// Bytes of a safetensors file with any header, for tests of what a reader refuses.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace swage {

inline std::string SafetensorsBytes(std::string_view json, size_t data_size) {
  std::string file;
  for (int shift = 0; shift < 64; shift += 8) file += static_cast<char>(uint64_t{json.size()} >> shift & 0xff);
  file += json;
  for (size_t i = 0; i < data_size; ++i) file += static_cast<char>(i * 131 + 7);
  return file;
}

}  // namespace swage
