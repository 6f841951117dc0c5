// Object files. What is accepted reads to its end, in whole and in pieces, to the same bytes, or is called damaged.
// The table's checksum is made right first (in a copy), or nothing behind it would ever be reached.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "storage/core/object_reader.h"

namespace {

class Bytes : public swage::ReadableFile {
 public:
  explicit Bytes(std::string bytes) : bytes_(std::move(bytes)) {}
  swage::Status ReadAt(uint64_t offset, size_t size, char* out) const override {
    if (offset > bytes_.size() || size > bytes_.size() - offset) return swage::DataLoss("FILE_TRUNCATED", "short");
    if (size > 0) std::memcpy(out, bytes_.data() + offset, size);
    return absl::OkStatus();
  }
  uint64_t size() const override { return bytes_.size(); }

 private:
  std::string bytes_;
};

void MakeChecksumRight(std::string* object) {
  if (object->size() < swage::kObjectHeadBytes + swage::kObjectFooterBytes) return;
  const size_t footer = object->size() - swage::kObjectFooterBytes;
  uint32_t frames = 0, bases = 0;
  std::memcpy(&frames, object->data() + footer + 24, 4);
  std::memcpy(&bases, object->data() + footer + 28, 4);
  const uint64_t table = uint64_t{frames} * swage::kFrameEntryBytes + uint64_t{bases} * 32;
  if (table > footer) return;
  const auto checked = std::string_view(*object).substr(footer - table, table + swage::kObjectFooterBytes - 16);
  const swage::Xxh128 sum = swage::Xxh3_128(checked);
  std::memcpy(object->data() + object->size() - 16, &sum.low, 8);
  std::memcpy(object->data() + object->size() - 8, &sum.high, 8);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string object(reinterpret_cast<const char*>(data), size);
  MakeChecksumRight(&object);
  const Bytes file(object);
  const auto layout = swage::ReadObjectLayout(file, 0, object.size());
  if (!layout.ok()) {
    SWAGE_CHECK(!swage::ReasonOf(layout.status()).empty(), "an error without a reason");
    return 0;
  }
  SWAGE_CHECK(layout->frames.size() <= object.size() / swage::kFrameEntryBytes);
  auto reader = swage::ObjectReader::Open(std::make_unique<Bytes>(object), 0, object.size(), layout->digest);
  SWAGE_CHECK(reader.ok());
  const size_t wanted = std::min<uint64_t>((*reader)->size(), 4u << 20);
  std::string whole(wanted, '\0'), pieces(wanted, '\0');
  const swage::Status read = (*reader)->Read(0, wanted, whole.data());
  if (!read.ok()) {
    SWAGE_CHECK(absl::IsDataLoss(read), swage::MessageOf(read));
    return 0;
  }
  for (size_t at = 0; at < wanted; at += 100003) {
    SWAGE_CHECK((*reader)->Read(at, std::min<size_t>(100003, wanted - at), pieces.data() + at).ok());
  }
  SWAGE_CHECK(whole == pieces);
  return 0;
}
