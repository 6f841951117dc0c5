// A codec turns the raw bytes of one frame into fewer stored bytes, and back. Codecs are stateless rows of the table in
// registry.cc; ids are on disk (docs/formats/store.md 2) and never change their meaning.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace swage {

enum class CodecId : uint8_t { kRaw = 1, kZstd = 2 };

struct Codec {
  CodecId id;
  const char* name;
  // Codes `raw` into *out (replaced). False when the result would be longer than `budget` bytes; *out is then
  // undefined. `base` is what the frame is coded against, empty for codecs that need none. Thread-safe.
  bool (*encode)(std::string_view raw, std::string_view base, size_t budget, std::string* out);
  // Fills out[0, raw_size). `stored` is hostile: DATA_LOSS/FRAME_CORRUPT when it is not exactly the code of raw_size bytes.
  Status (*decode)(std::string_view stored, std::string_view base, char* out, size_t raw_size);
};

Status FrameCorrupt(std::string_view why);

}  // namespace swage
