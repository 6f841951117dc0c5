#include "storage/core/upload.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <thread>

#include "base/limits.h"
#include "base/log.h"
#include "base/rng.h"
#include "storage/core/store.h"

namespace swage {
namespace {

// A batch of objects that become durable together; bounds open files and dirty pages.
constexpr size_t kBatchObjects = 64;
constexpr uint64_t kBatchBytes = 256u << 20;
constexpr size_t kSyncThreads = 4;  // file systems commit what several threads sync at once in one go

Status SyncAll(const std::vector<std::unique_ptr<ObjectWriter>>& writers) {
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  Status result;
  const auto work = [&] {
    for (size_t mine = next++; mine < writers.size(); mine = next++) {
      const Status synced = writers[mine]->Sync();
      std::lock_guard lock(mutex);
      if (result.ok()) result = synced;
    }
  };
  std::vector<std::thread> others;
  for (size_t i = 1; i < std::min(kSyncThreads, writers.size() / 2); ++i) others.emplace_back(work);
  work();
  for (std::thread& thread : others) thread.join();
  return result;
}


}  // namespace

Upload::~Upload() {
  // What is whole is kept, so that a client whose stream was cut need not send it again.
  if (const Status kept = Flush(); !kept.ok()) LogWarning("store: objects of a cut upload were dropped: ", MessageOf(kept));
  if (writer_ != nullptr) {
    const bool resumable = ReadPartState(store_->env_, writer_->part_path()).raw_bytes > 0;
    if (resumable) {
      store_->ReleasePart(writer_->part_path());
      writer_.reset();
    } else {
      Discard(std::move(writer_));
    }
  }
  store_->CloseUpload(tenant_, upload_);
}

Status Upload::Fail(const Status& status) {
  failed_ = status;
  in_object_ = false;
  // A part on a full disk would only keep it full; a wrong one can never be completed.
  const bool worthless = status.code() == StatusCode::kResourceExhausted || ReasonOf(status) == "DIGEST_MISMATCH";
  if (writer_ != nullptr && worthless) Discard(std::move(writer_));
  return status;
}

void Upload::Discard(std::unique_ptr<ObjectWriter> writer) {
  const std::string part = writer->part_path();
  writer.reset();
  store_->env_->Remove(part).IgnoreError();
  store_->env_->Remove(FramesPathOf(part)).IgnoreError();
  store_->ReleasePart(part);
}

Status Upload::Begin(const Digest& digest, uint64_t size, uint64_t offset) {
  SWAGE_RETURN_IF_ERROR(failed_);
  const Status begun = BeginInner(digest, size, offset);
  return begun.ok() ? begun : Fail(begun);
}

Status Upload::BeginInner(const Digest& digest, uint64_t size, uint64_t offset) {
  if (in_object_) {
    return InvalidInput("OBJECT_INCOMPLETE", Cat("object ", digest_.Hex(), ": ", position_, " of ", size_, " bytes arrived before the next began"),
                        "send each object to its end");
  }
  if (size > limits::kObjectBytes || offset > size) {
    return InvalidInput("BAD_SIZE", Cat("an object of ", size, " bytes, written from ", offset, ", is out of range"), "send the true size");
  }
  if (complete_.size() + here_.size() >= kBatchObjects || unsynced_bytes_ >= kBatchBytes) SWAGE_RETURN_IF_ERROR(Flush());
  store_->Pin(digest);
  pins_.push_back(digest);
  digest_ = digest;
  size_ = size;
  position_ = offset;
  SWAGE_ASSIGN_OR_RETURN(const auto visible, store_->index_->FindVisible(tenant_, digest));
  if (visible.has_value() && visible->raw_size != size) {
    return InvalidInput("SIZE_MISMATCH", Cat("object ", digest.Hex(), " has ", visible->raw_size, " bytes, not ", size), "send the true size");
  }
  // An object that only others have is verified like any other before this tenant gets it; who resumes goes on with
  // its own part, if it has one.
  SWAGE_ASSIGN_OR_RETURN(const auto place, store_->index_->FindObject(digest));
  const bool here = place.has_value() && !place->damaged;
  if (here && (offset == 0 || visible.has_value())) {
    if (offset == 0) check_ = std::make_unique<Sha256>();
  } else {
    SWAGE_RETURN_IF_ERROR(OpenPart(digest, size, offset));
  }
  in_object_ = true;
  return position_ == size_ ? CompleteObject() : absl::OkStatus();
}

Status Upload::OpenPart(const Digest& digest, uint64_t size, uint64_t offset) {
  SWAGE_RETURN_IF_ERROR(store_->CheckSpace(size - offset));
  const std::string dir = store_->paths_.UploadDir(tenant_, upload_);
  SWAGE_RETURN_IF_ERROR(store_->env_->CreateDirs(dir));
  std::string part = Cat(dir, "/", digest.Hex(), ".part");
  if (!store_->ReservePart(part)) {
    if (offset > 0) {
      return Unavailable("UPLOAD_BUSY", Cat("another stream is still writing object ", digest.Hex()), "try again in a moment");
    }
    part = Cat(dir, "/", digest.Hex(), ".", RandomHex(8), ".part");
    store_->ReservePart(part);
  }
  auto writer = offset == 0 ? ObjectWriter::Create(store_->env_, part, digest, size)
                            : ObjectWriter::Resume(store_->env_, part, digest, size, offset);
  if (!writer.ok()) {
    store_->ReleasePart(part);
    return writer.status();
  }
  writer_ = std::move(*writer);
  return absl::OkStatus();
}

Status Upload::Append(std::string_view raw) {
  SWAGE_RETURN_IF_ERROR(failed_);
  const Status appended = AppendInner(raw);
  return appended.ok() ? appended : Fail(appended);
}

Status Upload::AppendInner(std::string_view raw) {
  if (!in_object_) {
    if (raw.empty()) return absl::OkStatus();
    return InvalidInput("SIZE_EXCEEDED", "bytes arrived that belong to no object", "start each object with its digest and size");
  }
  if (raw.size() > size_ - position_) {
    return InvalidInput("SIZE_EXCEEDED", Cat("object ", digest_.Hex(), " was said to have ", size_, " bytes; more arrived"),
                        "send the size of the whole object with its digest");
  }
  if (writer_ != nullptr) SWAGE_RETURN_IF_ERROR(writer_->Append(raw));
  if (check_ != nullptr) check_->Update(raw);
  position_ += raw.size();
  totals_.bytes += raw.size();
  return position_ == size_ ? CompleteObject() : absl::OkStatus();
}

Status Upload::CompleteObject() {
  if (writer_ != nullptr) {
    SWAGE_RETURN_IF_ERROR(writer_->Finish());
    unsynced_bytes_ += writer_->stored_bytes();
    complete_.push_back(std::move(writer_));
  } else {
    if (check_ != nullptr && check_->Finish() != digest_) {
      return InvalidInput("DIGEST_MISMATCH", Cat("the bytes sent for object ", digest_.Hex(), " are not its bytes"),
                          "read the file again and send what its digest says");
    }
    SWAGE_ASSIGN_OR_RETURN(const auto place, store_->index_->FindObject(digest_));
    SWAGE_CHECK(place.has_value(), "a pinned object went");
    here_.push_back({digest_, size_, place->stored_size});
  }
  check_.reset();
  in_object_ = false;
  ++totals_.objects;
  return absl::OkStatus();
}

Status Upload::Flush() {
  const Status flushed = PublishComplete();
  for (auto& writer : complete_) Discard(std::move(writer));  // published ones have no part any more
  complete_.clear();
  here_.clear();
  unsynced_bytes_ = 0;
  for (const Digest& digest : pins_) store_->Unpin(digest);  // from here the lease holds them
  pins_.clear();
  return flushed;
}

// The order that store.md 6 promises: every file synced, then renamed, then every folder synced, then the index.
Status Upload::PublishComplete() {
  if (complete_.empty() && here_.empty()) return absl::OkStatus();
  SWAGE_RETURN_IF_ERROR(SyncAll(complete_));
  std::set<std::string> dirs;
  uint64_t added = 0;
  for (const auto& writer : complete_) {
    const Digest& digest = writer->digest();
    SWAGE_ASSIGN_OR_RETURN(const auto place, store_->index_->FindObject(digest));
    if (place.has_value() && !place->damaged) {  // somebody else was faster
      here_.push_back({digest, writer->size(), place->stored_size});
      continue;
    }
    SWAGE_RETURN_IF_ERROR(store_->env_->Rename(writer->part_path(), store_->paths_.Object(digest)));
    dirs.insert(store_->paths_.ObjectDir(digest));
    here_.push_back({digest, writer->size(), writer->stored_bytes()});
    added += writer->stored_bytes();
  }
  for (const std::string& dir : dirs) SWAGE_RETURN_IF_ERROR(store_->env_->SyncDir(dir));
  SWAGE_RETURN_IF_ERROR(store_->index_->AddObjects(tenant_, upload_, here_, store_->LeaseEnd()));
  store_->stored_bytes_ += added;
  return absl::OkStatus();
}

StatusOr<UploadTotals> Upload::Finish() {
  SWAGE_RETURN_IF_ERROR(failed_);
  if (in_object_) {
    return Fail(InvalidInput("OBJECT_INCOMPLETE", Cat("object ", digest_.Hex(), ": ", position_, " of ", size_, " bytes arrived"),
                             "ask QueryWrite and send the rest"));
  }
  if (const Status flushed = Flush(); !flushed.ok()) return Fail(flushed);
  return totals_;
}

}  // namespace swage
