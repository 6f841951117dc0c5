// Reads ranges of an object, or of a file made of objects. Every stored byte is checked against its frame's checksum
// before it is decoded; damage is DATA_LOSS and names the object, never wrong bytes. For one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/modelfile/manifest.h"
#include "storage/core/object_format.h"

namespace swage {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual uint64_t size() const = 0;
  // Fills out[0, size) from `offset`; beyond the end is OUT_OF_RANGE/RANGE_BEYOND_END.
  virtual Status Read(uint64_t offset, size_t size, char* out) = 0;
};

class ObjectReader : public ByteSource {
 public:
  // The object in file[offset, offset + size), which must be `digest`.
  static StatusOr<std::unique_ptr<ObjectReader>> Open(std::unique_ptr<ReadableFile> file, uint64_t offset, uint64_t size,
                                                      const Digest& digest);
  uint64_t size() const override { return layout_.raw_size; }
  Status Read(uint64_t offset, size_t size, char* out) override;
  const ObjectLayout& layout() const { return layout_; }

 private:
  ObjectReader() = default;
  Status DecodeFrameTo(size_t frame, char* out);

  std::unique_ptr<ReadableFile> file_;
  ObjectLayout layout_;
  std::string stored_;       // of the frame being decoded
  std::string cached_;       // the frame that was last read in part
  size_t cached_frame_ = SIZE_MAX;
};

// A file of a manifest, its parts opened one at a time.
class FileReader : public ByteSource {
 public:
  using OpenPart = std::function<StatusOr<std::unique_ptr<ByteSource>>(const Digest& object)>;
  FileReader(std::shared_ptr<const Manifest> manifest, const ManifestFile* file, OpenPart open)
      : manifest_(std::move(manifest)), file_(file), open_(std::move(open)) {}
  uint64_t size() const override { return file_->size; }
  Status Read(uint64_t offset, size_t size, char* out) override;

 private:
  std::shared_ptr<const Manifest> manifest_;  // keeps *file_ alive
  const ManifestFile* file_;
  OpenPart open_;
  std::unique_ptr<ByteSource> part_;
  size_t part_index_ = SIZE_MAX;
};

}  // namespace swage
