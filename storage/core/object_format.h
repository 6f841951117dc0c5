// The object file: docs/formats/store.md 2. Pure functions over bytes; the readers treat them as hostile.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/env.h"
#include "base/status.h"

namespace swage {

inline constexpr size_t kObjectHeadBytes = 16;
inline constexpr size_t kFrameEntryBytes = 40;
inline constexpr size_t kObjectFooterBytes = 80;

struct FrameEntry {
  uint8_t codec = 0;
  uint16_t base = 0;  // 0 = none, else 1 + index of ObjectLayout::bases
  uint32_t raw_size = 0;
  uint32_t stored_size = 0;
  uint64_t base_offset = 0;
  Xxh128 checksum;    // of the stored bytes
  bool operator==(const FrameEntry&) const = default;
};

struct ObjectLayout {
  Digest digest;
  uint64_t raw_size = 0;
  uint32_t frame_bytes = 0;
  std::vector<Digest> bases;
  std::vector<FrameEntry> frames;
  std::vector<uint64_t> offsets;  // in the object file, of each frame's stored bytes
};

std::string ObjectHead();
std::string EncodeFrameEntry(const FrameEntry& entry);
// Reserved fields must be zero and sizes in bounds; does not know the object, so not whether raw_size fits it.
StatusOr<FrameEntry> ParseFrameEntry(std::string_view bytes);
// Bases, table and footer.
std::string ObjectTail(const Digest& digest, uint64_t raw_size, uint32_t frame_bytes, const std::vector<FrameEntry>& frames);
uint64_t FrameCount(uint64_t raw_size, uint32_t frame_bytes);

// Reads head, footer and table of the object in file[offset, offset + size) and checks everything but the frames' bytes.
// Allocates no more than the table that is there. DATA_LOSS/OBJECT_CORRUPT.
StatusOr<ObjectLayout> ReadObjectLayout(const ReadableFile& file, uint64_t offset, uint64_t size);

}  // namespace swage
