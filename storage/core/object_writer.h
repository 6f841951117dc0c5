// Writes one object to a part file while it arrives: cuts frames, codes them, hashes. docs/formats/store.md 3.
// For one thread at a time. Nothing is durable before Sync.
//
//   SWAGE_ASSIGN_OR_RETURN(auto writer, ObjectWriter::Create(env, part, digest, size));
//   SWAGE_RETURN_IF_ERROR(writer->Append(bytes));      // any cuts
//   SWAGE_RETURN_IF_ERROR(writer->Finish());           // DIGEST_MISMATCH unless the bytes were what was promised
//   SWAGE_RETURN_IF_ERROR(writer->Sync());             // now it may be renamed
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/env.h"
#include "storage/core/object_format.h"

namespace swage {

// What a part that was left behind is worth: whole frames whose stored bytes are there (not yet checked).
struct PartState {
  uint64_t object_size = 0;
  uint64_t raw_bytes = 0;
  uint64_t part_bytes = 0;  // head and whole frames
  std::vector<FrameEntry> frames;
};
// Zero frames when there is none or it is unusable.
PartState ReadPartState(Env* env, const std::string& part_path);
std::string FramesPathOf(const std::string& part_path);

class ObjectWriter {
 public:
  static StatusOr<std::unique_ptr<ObjectWriter>> Create(Env* env, const std::string& part_path, const Digest& digest,
                                                        uint64_t size);
  // Goes on with a part at `offset`, which must be what ReadPartState gives; reads and checks it all again. When a frame
  // is damaged, the part is cut there and OFFSET_MISMATCH returned: ask again how much there is.
  static StatusOr<std::unique_ptr<ObjectWriter>> Resume(Env* env, const std::string& part_path, const Digest& digest,
                                                        uint64_t size, uint64_t offset);

  Status Append(std::string_view raw);  // INVALID_ARGUMENT/SIZE_EXCEEDED beyond the promised size
  Status Finish();                      // INVALID_ARGUMENT/DIGEST_MISMATCH, OBJECT_INCOMPLETE
  Status Sync();                        // after Finish; closes
  uint64_t received() const { return received_; }
  uint64_t size() const { return size_; }
  uint64_t stored_bytes() const { return stored_bytes_; }  // of the whole file so far
  const Digest& digest() const { return digest_; }
  const std::string& part_path() const { return part_path_; }

 private:
  ObjectWriter(Env* env, std::string part_path, const Digest& digest, uint64_t size)
      : env_(env), part_path_(std::move(part_path)), digest_(digest), size_(size) {}
  Status Start(const std::vector<FrameEntry>& frames, const std::string& copy_from);
  Status CopyChecked(const std::string& from, const std::vector<FrameEntry>& frames);
  Status WriteFrame(std::string_view raw);

  Env* env_;
  std::string part_path_;
  Digest digest_;
  uint64_t size_;
  uint64_t received_ = 0;
  uint64_t stored_bytes_ = 0;
  Sha256 sha_;
  std::string frame_;    // raw bytes of the frame that is not full yet
  std::string scratch_;  // its code
  std::vector<FrameEntry> frames_;
  std::unique_ptr<WritableFile> part_, frames_file_;
};

}  // namespace swage
