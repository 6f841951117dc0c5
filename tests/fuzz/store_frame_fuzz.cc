// Codecs. The first byte is the codec, two bytes the raw size, the rest the stored bytes; decoding hostile bytes stays inside
// its buffer. And whatever the bytes, coding them as a frame and decoding it gives them back.
#include <cstdint>
#include <string>

#include "storage/codecs/registry.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const std::string_view stored(reinterpret_cast<const char*>(data) + 3, size - 3);
  std::string out(static_cast<size_t>(data[1]) * 256 + data[2] + 1, '\0');
  const swage::Status decoded = swage::DecodeFrame(data[0], stored, {}, out.data(), out.size());
  SWAGE_CHECK(decoded.ok() || absl::IsDataLoss(decoded), swage::MessageOf(decoded));

  std::string scratch, back(stored.size(), '\0');
  const swage::CodecId codec = swage::EncodeFrame(stored, &scratch);
  const std::string_view coded = codec == swage::CodecId::kRaw ? stored : std::string_view(scratch);
  SWAGE_CHECK(coded.size() <= stored.size());
  SWAGE_CHECK(swage::DecodeFrame(static_cast<uint8_t>(codec), coded, {}, back.data(), back.size()).ok());
  SWAGE_CHECK(back == stored);
  return 0;
}
