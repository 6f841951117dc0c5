// The bytes themselves.
#include <cstring>

#include "storage/codecs/rows.h"

namespace swage {
namespace {

bool CopyRaw(std::string_view raw, std::string_view, size_t budget, std::string* out) {
  if (raw.size() > budget) return false;
  out->assign(raw);
  return true;
}

Status DecodeRaw(std::string_view stored, std::string_view, char* out, size_t raw_size) {
  if (stored.size() != raw_size) return FrameCorrupt("a raw frame has another size than its bytes");
  if (raw_size > 0) std::memcpy(out, stored.data(), raw_size);
  return absl::OkStatus();
}

}  // namespace

Codec RawCodec() { return {CodecId::kRaw, "raw", CopyRaw, DecodeRaw}; }

}  // namespace swage
