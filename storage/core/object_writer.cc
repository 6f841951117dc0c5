#include "storage/core/object_writer.h"

#include <algorithm>
#include <cstring>

#include "base/limits.h"
#include "storage/codecs/registry.h"

namespace swage {
namespace {

constexpr char kPartMagic[] = "SWGPART1";
constexpr size_t kFramesHeadBytes = 16;
constexpr uint32_t kFrame = static_cast<uint32_t>(limits::kFrameBytes);

Status OffsetMismatch(uint64_t held, uint64_t offset) {
  return Precondition("OFFSET_MISMATCH", Cat("the store holds ", held, " bytes of this object, the write goes on at ", offset),
                      "ask QueryWrite and go on from there");
}

std::string FramesHead(uint64_t size) {
  std::string out(kPartMagic, 8);
  out.append(reinterpret_cast<const char*>(&size), sizeof(size));
  return out;
}

// Reads and decodes one frame of a part at `at`; the stored bytes stay in *stored, the raw bytes in *raw.
Status ReadFrame(const ReadableFile& file, uint64_t at, const FrameEntry& entry, std::string* stored, std::string* raw) {
  stored->resize(entry.stored_size);
  SWAGE_RETURN_IF_ERROR(file.ReadAt(at, stored->size(), stored->data()));
  if (Xxh3_128(*stored) != entry.checksum) return FrameCorrupt("a part's frame does not match its checksum");
  raw->resize(entry.raw_size);
  return DecodeFrame(entry.codec, *stored, {}, raw->data(), raw->size());
}

}  // namespace

std::string FramesPathOf(const std::string& part_path) {
  return Cat(std::string_view(part_path).substr(0, part_path.size() - 5), ".frames");  // ".part"
}

PartState ReadPartState(Env* env, const std::string& part_path) {
  PartState state;
  auto part_size = env->FileSize(part_path);
  if (!part_size.ok()) return state;
  auto bytes = ReadFile(env, FramesPathOf(part_path), limits::kObjectBytes / kFrame * kFrameEntryBytes + kFramesHeadBytes);
  if (!bytes.ok() || bytes->size() < kFramesHeadBytes || bytes->compare(0, 8, kPartMagic, 8) != 0) return state;
  std::memcpy(&state.object_size, bytes->data() + 8, sizeof(uint64_t));
  state.part_bytes = kObjectHeadBytes;
  const std::string_view table = std::string_view(*bytes).substr(kFramesHeadBytes);
  for (size_t at = 0; at + kFrameEntryBytes <= table.size(); at += kFrameEntryBytes) {
    auto entry = ParseFrameEntry(table.substr(at, kFrameEntryBytes));
    if (!entry.ok() || state.part_bytes + entry->stored_size > *part_size) break;
    if (entry->raw_size != std::min<uint64_t>(kFrame, state.object_size - state.raw_bytes)) break;
    state.part_bytes += entry->stored_size;
    state.raw_bytes += entry->raw_size;
    state.frames.push_back(*entry);
  }
  if (state.frames.empty()) state = PartState{};
  return state;
}

StatusOr<std::unique_ptr<ObjectWriter>> ObjectWriter::Create(Env* env, const std::string& part_path, const Digest& digest,
                                                             uint64_t size) {
  std::unique_ptr<ObjectWriter> writer(new ObjectWriter(env, part_path, digest, size));
  SWAGE_RETURN_IF_ERROR(writer->Start({}, ""));
  return writer;
}

StatusOr<std::unique_ptr<ObjectWriter>> ObjectWriter::Resume(Env* env, const std::string& part_path, const Digest& digest,
                                                             uint64_t size, uint64_t offset) {
  const PartState state = ReadPartState(env, part_path);
  if (state.raw_bytes != offset || state.object_size != size) {
    return OffsetMismatch(state.object_size == size ? state.raw_bytes : 0, offset);
  }
  // The old bytes are copied to a new part, checked on the way: a file cannot be cut, and its end may be torn.
  const std::string old_part = Cat(part_path, ".old");
  SWAGE_RETURN_IF_ERROR(env->Rename(part_path, old_part));
  std::unique_ptr<ObjectWriter> writer(new ObjectWriter(env, part_path, digest, size));
  const Status started = writer->Start(state.frames, old_part);
  (void)env->Remove(old_part);
  SWAGE_RETURN_IF_ERROR(started);
  if (writer->received() != offset) return OffsetMismatch(writer->received(), offset);
  return writer;
}

Status ObjectWriter::Start(const std::vector<FrameEntry>& frames, const std::string& copy_from) {
  SWAGE_ASSIGN_OR_RETURN(part_, env_->NewWritableFile(part_path_));
  const std::string head = ObjectHead();
  SWAGE_RETURN_IF_ERROR(part_->Append(head));
  stored_bytes_ = head.size();
  if (size_ > kFrame) {
    SWAGE_ASSIGN_OR_RETURN(frames_file_, env_->NewWritableFile(FramesPathOf(part_path_)));
    SWAGE_RETURN_IF_ERROR(frames_file_->Append(FramesHead(size_)));
  }
  return copy_from.empty() ? absl::OkStatus() : CopyChecked(copy_from, frames);
}

Status ObjectWriter::CopyChecked(const std::string& from, const std::vector<FrameEntry>& frames) {
  SWAGE_ASSIGN_OR_RETURN(auto file, env_->NewReadableFile(from));
  std::string stored, raw;
  for (const FrameEntry& entry : frames) {
    if (!ReadFrame(*file, stored_bytes_, entry, &stored, &raw).ok()) break;  // the caller sees what was received
    SWAGE_RETURN_IF_ERROR(part_->Append(stored));
    SWAGE_RETURN_IF_ERROR(frames_file_->Append(EncodeFrameEntry(entry)));
    sha_.Update(raw);
    stored_bytes_ += stored.size();
    received_ += raw.size();
    frames_.push_back(entry);
  }
  return absl::OkStatus();
}

Status ObjectWriter::WriteFrame(std::string_view raw) {
  const CodecId codec = EncodeFrame(raw, &scratch_);
  const std::string_view stored = codec == CodecId::kRaw ? raw : std::string_view(scratch_);
  FrameEntry entry;
  entry.codec = static_cast<uint8_t>(codec);
  entry.raw_size = static_cast<uint32_t>(raw.size());
  entry.stored_size = static_cast<uint32_t>(stored.size());
  entry.checksum = Xxh3_128(stored);
  SWAGE_RETURN_IF_ERROR(part_->Append(stored));
  if (frames_file_ != nullptr) SWAGE_RETURN_IF_ERROR(frames_file_->Append(EncodeFrameEntry(entry)));
  frames_.push_back(entry);
  stored_bytes_ += stored.size();
  return absl::OkStatus();
}

Status ObjectWriter::Append(std::string_view raw) {
  if (raw.size() > size_ - received_) {
    return InvalidInput("SIZE_EXCEEDED", Cat("object ", digest_.Hex(), " was said to have ", size_, " bytes; more arrived"),
                        "send the size of the whole object with its digest");
  }
  sha_.Update(raw);
  received_ += raw.size();
  while (!raw.empty()) {
    if (frame_.empty() && raw.size() >= kFrame) {  // a whole frame: no copy
      SWAGE_RETURN_IF_ERROR(WriteFrame(raw.substr(0, kFrame)));
      raw.remove_prefix(kFrame);
      continue;
    }
    const size_t n = std::min<size_t>(raw.size(), kFrame - frame_.size());
    frame_.append(raw.substr(0, n));
    raw.remove_prefix(n);
    if (frame_.size() == kFrame) {
      SWAGE_RETURN_IF_ERROR(WriteFrame(frame_));
      frame_.clear();
    }
  }
  return absl::OkStatus();
}

Status ObjectWriter::Finish() {
  if (received_ != size_) {
    return InvalidInput("OBJECT_INCOMPLETE", Cat("object ", digest_.Hex(), ": ", received_, " of ", size_, " bytes arrived"),
                        "ask QueryWrite and send the rest");
  }
  const Digest actual = sha_.Finish();
  if (actual != digest_) {
    return InvalidInput("DIGEST_MISMATCH", Cat("the bytes sent for object ", digest_.Hex(), " have SHA-256 ", actual.Hex()),
                        "read the file again and send what its digest says");
  }
  if (!frame_.empty()) SWAGE_RETURN_IF_ERROR(WriteFrame(frame_));
  const std::string tail = ObjectTail(digest_, size_, kFrame, frames_);
  SWAGE_RETURN_IF_ERROR(part_->Append(tail));
  stored_bytes_ += tail.size();
  // Until Sync only the file is needed: hundreds of finished objects may wait for it.
  std::string().swap(frame_);
  std::string().swap(scratch_);
  frames_file_.reset();
  return absl::OkStatus();
}

Status ObjectWriter::Sync() {
  SWAGE_RETURN_IF_ERROR(part_->Sync());
  return part_->Close();
}

}  // namespace swage
