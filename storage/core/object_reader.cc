#include "storage/core/object_reader.h"

#include <algorithm>
#include <cstring>

#include "storage/codecs/registry.h"

namespace swage {
namespace {

Status BeyondEnd(uint64_t offset, uint64_t length, uint64_t size) {
  return Error(StatusCode::kOutOfRange, "RANGE_BEYOND_END",
               Cat("bytes [", offset, ", +", length, ") lie beyond the end at ", size), "ask for a range inside the object");
}

}  // namespace

StatusOr<std::unique_ptr<ObjectReader>> ObjectReader::Open(std::unique_ptr<ReadableFile> file, uint64_t offset, uint64_t size,
                                                           const Digest& digest) {
  auto layout = ReadObjectLayout(*file, offset, size);
  if (!layout.ok()) return Annotate(layout.status(), Cat("object ", digest.Hex()));
  if (layout->digest != digest) {
    return DataLoss("OBJECT_CORRUPT", Cat("object ", digest.Hex(), ": its file holds object ", layout->digest.Hex()),
                    "upload the object again to repair it");
  }
  std::unique_ptr<ObjectReader> reader(new ObjectReader());
  reader->file_ = std::move(file);
  reader->layout_ = std::move(*layout);
  return reader;
}

Status ObjectReader::DecodeFrameTo(size_t frame, char* out) {
  const FrameEntry& entry = layout_.frames[frame];
  const auto decode = [&]() -> Status {
    stored_.resize(entry.stored_size);
    SWAGE_RETURN_IF_ERROR(file_->ReadAt(layout_.offsets[frame], stored_.size(), stored_.data()));
    if (Xxh3_128(stored_) != entry.checksum) return FrameCorrupt("its stored bytes do not match their checksum");
    if (entry.base != 0) return FrameCorrupt("it is coded against a base, which no codec of this version does");
    return DecodeFrame(entry.codec, stored_, {}, out, entry.raw_size);
  };
  return Annotate(decode(), Cat("object ", layout_.digest.Hex(), ", frame ", frame));
}

Status ObjectReader::Read(uint64_t offset, size_t size, char* out) {
  if (offset > layout_.raw_size || size > layout_.raw_size - offset) return BeyondEnd(offset, size, layout_.raw_size);
  while (size > 0) {
    const size_t frame = offset / layout_.frame_bytes;
    const size_t begin = offset % layout_.frame_bytes;
    const size_t frame_size = layout_.frames[frame].raw_size;
    const size_t n = std::min<size_t>(size, frame_size - begin);
    if (n == frame_size) {
      SWAGE_RETURN_IF_ERROR(DecodeFrameTo(frame, out));  // whole frames go straight to the caller
    } else {
      if (cached_frame_ != frame) {
        cached_frame_ = SIZE_MAX;
        cached_.resize(frame_size);
        SWAGE_RETURN_IF_ERROR(DecodeFrameTo(frame, cached_.data()));
        cached_frame_ = frame;
      }
      std::memcpy(out, cached_.data() + begin, n);
    }
    offset += n;
    out += n;
    size -= n;
  }
  return absl::OkStatus();
}

Status FileReader::Read(uint64_t offset, size_t size, char* out) {
  if (offset > file_->size || size > file_->size - offset) return BeyondEnd(offset, size, file_->size);
  while (size > 0) {
    // Parts cover the file in order without gap or overlap, so the one that begins last at or before offset holds it
    // (an empty tensor's part begins where the next one does, and comes before it).
    const auto next = std::upper_bound(file_->parts.begin(), file_->parts.end(), offset,
                                       [](uint64_t at, const FilePart& part) { return at < part.offset; });
    const size_t index = static_cast<size_t>(next - file_->parts.begin()) - 1;
    const FilePart& part = file_->parts[index];
    if (part_index_ != index) {
      part_index_ = SIZE_MAX;
      SWAGE_ASSIGN_OR_RETURN(part_, open_(part.object));
      part_index_ = index;
    }
    const size_t n = static_cast<size_t>(std::min<uint64_t>(size, part.offset + part.size - offset));
    SWAGE_RETURN_IF_ERROR(part_->Read(offset - part.offset, n, out));
    offset += n;
    out += n;
    size -= n;
  }
  return absl::OkStatus();
}

}  // namespace swage
