#include "storage/codecs/registry.h"

#include <array>

#include "storage/codecs/rows.h"

namespace swage {
namespace {

constexpr double kWorthIt = 0.97;  // less than 3 % gain is not worth the reader's time

const std::array<Codec, 2>& Table() {
  static const std::array<Codec, 2> table = {RawCodec(), ZstdCodec()};
  return table;
}

}  // namespace

Status FrameCorrupt(std::string_view why) {
  return DataLoss("FRAME_CORRUPT", why, "upload the object again to repair it");
}

std::span<const Codec> Codecs() { return Table(); }

const Codec* FindCodec(uint8_t id) {
  for (const Codec& codec : Table()) {
    if (static_cast<uint8_t>(codec.id) == id) return &codec;
  }
  return nullptr;
}

CodecId EncodeFrame(std::string_view raw, std::string* scratch) {
  if (raw.size() < 64 || ZstdSampleShare(raw) > kWorthIt) return CodecId::kRaw;
  const auto budget = static_cast<size_t>(static_cast<double>(raw.size()) * kWorthIt);
  const Codec zstd = *FindCodec(static_cast<uint8_t>(CodecId::kZstd));
  return zstd.encode(raw, {}, budget, scratch) ? CodecId::kZstd : CodecId::kRaw;
}

Status DecodeFrame(uint8_t id, std::string_view stored, std::string_view base, char* out, size_t raw_size) {
  const Codec* codec = FindCodec(id);
  if (codec == nullptr) {
    return DataLoss("UNKNOWN_CODEC", Cat("a frame is coded with codec ", static_cast<int>(id), ", which this build does not know"),
                    "use a newer swage to read this store");
  }
  return codec->decode(stored, base, out, raw_size);
}

}  // namespace swage
