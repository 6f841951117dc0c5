#include "storage/core/object_format.h"

#include <bit>
#include <cstring>

#include "base/limits.h"

namespace swage {
namespace {

constexpr char kHeadMagic[] = "SWGOBJ\r\n";
constexpr char kFooterMagic[] = "SWGOBJF1";
constexpr uint32_t kVersion = 1;
constexpr uint32_t kMinFrameBytes = 4096, kMaxFrameBytes = 16u << 20;
constexpr uint32_t kMaxBases = 65535;

template <typename T>
void Put(std::string* out, T value) {
  static_assert(std::endian::native == std::endian::little);
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

template <typename T>
T Get(std::string_view bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(value));
  return value;
}

Status Corrupt(std::string_view why) {
  return DataLoss("OBJECT_CORRUPT", Cat("an object file is damaged: ", why), "upload the object again to repair it");
}

// Everything the footer says, checked against the number of bytes that are there.
StatusOr<ObjectLayout> ParseFooter(std::string_view footer, uint64_t size, uint32_t* base_count) {
  if (footer.substr(0, 8) != std::string_view(kFooterMagic, 8)) return Corrupt("its last bytes are not a footer");
  if (Get<uint32_t>(footer, 8) != kVersion) return Corrupt(Cat("its version is ", Get<uint32_t>(footer, 8), ", not 1"));
  ObjectLayout layout;
  layout.frame_bytes = Get<uint32_t>(footer, 12);
  if (!std::has_single_bit(layout.frame_bytes) || layout.frame_bytes < kMinFrameBytes || layout.frame_bytes > kMaxFrameBytes) {
    return Corrupt("its frame size is out of range");
  }
  layout.raw_size = Get<uint64_t>(footer, 16);
  if (layout.raw_size > limits::kObjectBytes) return Corrupt("its size is out of range");
  const uint64_t frame_count = Get<uint32_t>(footer, 24);
  if (frame_count != FrameCount(layout.raw_size, layout.frame_bytes)) return Corrupt("its frame count contradicts its size");
  *base_count = Get<uint32_t>(footer, 28);
  if (*base_count > kMaxBases) return Corrupt("it names too many bases");
  const uint64_t fixed = kObjectHeadBytes + kObjectFooterBytes;
  if (size - fixed < frame_count * kFrameEntryBytes + *base_count * uint64_t{32}) return Corrupt("its table is cut off");
  std::memcpy(layout.digest.bytes.data(), footer.data() + 32, 32);
  return layout;
}

Status CheckEntries(const ObjectLayout& layout) {
  uint64_t left = layout.raw_size;
  for (const FrameEntry& entry : layout.frames) {
    const uint64_t expected = left < layout.frame_bytes ? left : layout.frame_bytes;
    if (entry.raw_size != expected) return Corrupt("a frame's size contradicts the object's");
    if (entry.base > layout.bases.size()) return Corrupt("a frame names a base that is not there");
    left -= expected;
  }
  return absl::OkStatus();
}

}  // namespace

std::string ObjectHead() {
  std::string out(kHeadMagic, 8);
  Put<uint32_t>(&out, kVersion);
  Put<uint32_t>(&out, 0);
  return out;
}

std::string EncodeFrameEntry(const FrameEntry& entry) {
  std::string out;
  out.reserve(kFrameEntryBytes);
  Put<uint8_t>(&out, entry.codec);
  Put<uint8_t>(&out, 0);
  Put<uint16_t>(&out, entry.base);
  Put<uint32_t>(&out, entry.raw_size);
  Put<uint32_t>(&out, entry.stored_size);
  Put<uint32_t>(&out, 0);
  Put<uint64_t>(&out, entry.base_offset);
  Put<uint64_t>(&out, entry.checksum.low);
  Put<uint64_t>(&out, entry.checksum.high);
  return out;
}

StatusOr<FrameEntry> ParseFrameEntry(std::string_view bytes) {
  SWAGE_CHECK(bytes.size() == kFrameEntryBytes, "an entry of ", bytes.size(), " bytes");
  FrameEntry entry;
  entry.codec = Get<uint8_t>(bytes, 0);
  entry.base = Get<uint16_t>(bytes, 2);
  entry.raw_size = Get<uint32_t>(bytes, 4);
  entry.stored_size = Get<uint32_t>(bytes, 8);
  entry.base_offset = Get<uint64_t>(bytes, 16);
  entry.checksum = {Get<uint64_t>(bytes, 24), Get<uint64_t>(bytes, 32)};
  if (Get<uint8_t>(bytes, 1) != 0 || Get<uint32_t>(bytes, 12) != 0) return Corrupt("a reserved field is not zero");
  if (entry.raw_size == 0 || entry.raw_size > kMaxFrameBytes) return Corrupt("a frame's size is out of range");
  if (entry.stored_size == 0 || entry.stored_size > entry.raw_size) return Corrupt("a frame's stored size is out of range");
  if (entry.base == 0 && entry.base_offset != 0) return Corrupt("a frame without a base has a place in one");
  return entry;
}

std::string ObjectTail(const Digest& digest, uint64_t raw_size, uint32_t frame_bytes, const std::vector<FrameEntry>& frames) {
  std::string out;
  out.reserve(frames.size() * kFrameEntryBytes + kObjectFooterBytes);
  for (const FrameEntry& entry : frames) out += EncodeFrameEntry(entry);
  out.append(kFooterMagic, 8);
  Put<uint32_t>(&out, kVersion);
  Put<uint32_t>(&out, frame_bytes);
  Put<uint64_t>(&out, raw_size);
  Put<uint32_t>(&out, static_cast<uint32_t>(frames.size()));
  Put<uint32_t>(&out, 0);
  out.append(reinterpret_cast<const char*>(digest.bytes.data()), 32);
  const Xxh128 checksum = Xxh3_128(out);
  Put<uint64_t>(&out, checksum.low);
  Put<uint64_t>(&out, checksum.high);
  return out;
}

uint64_t FrameCount(uint64_t raw_size, uint32_t frame_bytes) {
  return raw_size / frame_bytes + (raw_size % frame_bytes != 0 ? 1 : 0);
}

StatusOr<ObjectLayout> ReadObjectLayout(const ReadableFile& file, uint64_t offset, uint64_t size) {
  if (offset > file.size() || size > file.size() - offset) return Corrupt("it ends beyond its file");
  if (size < kObjectHeadBytes + kObjectFooterBytes) return Corrupt("it is too short");
  // One read brings footer and table of an object of up to a few hundred frames, which is nearly all of them.
  constexpr uint64_t kGuess = 16 << 10;
  std::string tail(std::min(size, kGuess), '\0');
  SWAGE_RETURN_IF_ERROR(file.ReadAt(offset + size - tail.size(), tail.size(), tail.data()));
  uint32_t base_count = 0;
  const std::string footer = tail.substr(tail.size() - kObjectFooterBytes);
  SWAGE_ASSIGN_OR_RETURN(ObjectLayout layout, ParseFooter(footer, size, &base_count));
  const uint64_t frame_count = FrameCount(layout.raw_size, layout.frame_bytes);
  const uint64_t table_bytes = frame_count * kFrameEntryBytes + base_count * uint64_t{32};
  const uint64_t tail_bytes = table_bytes + kObjectFooterBytes;
  if (tail.size() < tail_bytes) {
    tail.resize(tail_bytes);
    SWAGE_RETURN_IF_ERROR(file.ReadAt(offset + size - tail_bytes, tail_bytes, tail.data()));
  }
  const std::string_view checked = std::string_view(tail).substr(tail.size() - tail_bytes);
  const std::string_view sum = checked.substr(tail_bytes - 16);
  if (Xxh3_128(checked.substr(0, tail_bytes - 16)) != Xxh128{Get<uint64_t>(sum, 0), Get<uint64_t>(sum, 8)}) {
    return Corrupt("its table does not match its checksum");
  }
  char head[kObjectHeadBytes];
  SWAGE_RETURN_IF_ERROR(file.ReadAt(offset, sizeof(head), head));
  if (std::string_view(head, sizeof(head)) != ObjectHead()) return Corrupt("its first bytes are not an object's");

  layout.bases.resize(base_count);
  for (uint32_t i = 0; i < base_count; ++i) std::memcpy(layout.bases[i].bytes.data(), checked.data() + i * 32, 32);
  layout.frames.reserve(frame_count);
  layout.offsets.reserve(frame_count);
  uint64_t at = kObjectHeadBytes;
  for (uint64_t i = 0; i < frame_count; ++i) {
    const size_t place = base_count * size_t{32} + i * kFrameEntryBytes;
    SWAGE_ASSIGN_OR_RETURN(FrameEntry entry, ParseFrameEntry(checked.substr(place, kFrameEntryBytes)));
    layout.frames.push_back(entry);
    layout.offsets.push_back(offset + at);
    at += entry.stored_size;
  }
  if (at + tail_bytes != size) return Corrupt("its frames do not add up to its size");
  SWAGE_RETURN_IF_ERROR(CheckEntries(layout));
  return layout;
}

}  // namespace swage
