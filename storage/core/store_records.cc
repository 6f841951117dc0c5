// The outbox of record files, and folders that are durable.
#include "base/log.h"
#include "storage/core/store.h"

namespace swage {

Status Store::EnsureDir(const std::string& path) {
  std::lock_guard lock(dirs_mutex_);
  if (dirs_.contains(path)) return absl::OkStatus();
  SWAGE_RETURN_IF_ERROR(env_->CreateDirs(path, 0700));
  // Each folder on the way may be new, and a new folder is durable once its parent is synced.
  std::vector<std::string> chain;
  for (std::string dir = path; dir.size() > paths_.root().size() && !dirs_.contains(dir); dir = DirName(dir)) chain.push_back(dir);
  for (const std::string& dir : chain) SWAGE_RETURN_IF_ERROR(env_->SyncDir(DirName(dir)));
  dirs_.insert(chain.begin(), chain.end());
  return absl::OkStatus();
}

Status Store::ApplyRecord(const RecordChange& change) {
  const std::string path = paths_.Absolute(change.path);
  if (change.content.has_value()) {
    SWAGE_RETURN_IF_ERROR(EnsureDir(DirName(path)));
    return WriteFileAtomic(env_, path, *change.content);
  }
  if (!env_->Exists(path)) return absl::OkStatus();
  SWAGE_RETURN_IF_ERROR(env_->Remove(path));
  return env_->SyncDir(DirName(path));
}

Status Store::WriteRecords() {
  std::lock_guard lock(records_mutex_);
  while (true) {
    SWAGE_ASSIGN_OR_RETURN(const std::vector<RecordChange> changes, index_->PendingRecords(64));
    if (changes.empty()) return absl::OkStatus();
    for (const RecordChange& change : changes) {
      SWAGE_RETURN_IF_ERROR(ApplyRecord(change));
      index_->RecordsDone(change.sequence);
    }
  }
}

}  // namespace swage
