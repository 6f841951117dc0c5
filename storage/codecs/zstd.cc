// zstd (RFC 8878). One context a thread: making one costs more than coding a small frame.
#include <zstd.h>

#include <algorithm>
#include <memory>

#include "storage/codecs/rows.h"

namespace swage {
namespace {

constexpr double kTextShare = 0.60;  // samples that shrink at least so far are worth level 3
constexpr size_t kSlice = 8 << 10;
constexpr int kSlices = 4;

ZSTD_CCtx* Compressor() {
  static thread_local std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(), ZSTD_freeCCtx);
  return context.get();
}

ZSTD_DCtx* Decompressor() {
  static thread_local std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  return context.get();
}

bool EncodeZstd(std::string_view raw, std::string_view, size_t budget, std::string* out) {
  const int level = ZstdSampleShare(raw) <= kTextShare ? 3 : 1;
  // zstd may need some bytes more than the result while it works, so the budget is compared afterwards.
  out->resize(ZSTD_compressBound(raw.size()));
  const size_t size = ZSTD_compressCCtx(Compressor(), out->data(), out->size(), raw.data(), raw.size(), level);
  if (ZSTD_isError(size) || size > budget) return false;
  out->resize(size);
  return true;
}

Status DecodeZstd(std::string_view stored, std::string_view, char* out, size_t raw_size) {
  if (ZSTD_getFrameContentSize(stored.data(), stored.size()) != raw_size) {
    return FrameCorrupt("a zstd frame states another size than the table");
  }
  const size_t size = ZSTD_decompressDCtx(Decompressor(), out, raw_size, stored.data(), stored.size());
  if (ZSTD_isError(size)) return FrameCorrupt(Cat("zstd: ", ZSTD_getErrorName(size)));
  if (size != raw_size) return FrameCorrupt("a zstd frame holds fewer bytes than the table says");
  return absl::OkStatus();
}

}  // namespace

double ZstdSampleShare(std::string_view raw) {
  char out[kSlice + (kSlice >> 7) + 512];
  size_t taken = 0, left = 0;
  const size_t slice = std::min(kSlice, raw.size());
  const size_t count = raw.size() <= kSlice * kSlices ? (raw.size() + kSlice - 1) / kSlice : kSlices;
  for (size_t i = 0; i < count; ++i) {
    const size_t at = count == 1 ? 0 : i * (raw.size() - slice) / (count - 1);
    const size_t size = ZSTD_compressCCtx(Compressor(), out, sizeof(out), raw.data() + at, slice, 1);
    taken += slice;
    left += ZSTD_isError(size) ? slice : std::min(size, slice);
  }
  return taken == 0 ? 1.0 : static_cast<double>(left) / static_cast<double>(taken);
}

Codec ZstdCodec() { return {CodecId::kZstd, "zstd", EncodeZstd, DecodeZstd}; }

}  // namespace swage
