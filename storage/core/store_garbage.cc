// Mark and sweep. What is marked is decided by the index in one transaction; files go under the same lock that pins are taken.
#include <algorithm>

#include "base/limits.h"
#include "base/log.h"
#include "storage/core/store.h"

namespace swage {
namespace {

constexpr int kBatch = 512;  // uploads wait for at most so many removals

}  // namespace

Status Store::DropExpiredUploads() {
  SWAGE_ASSIGN_OR_RETURN(const auto expired, index_->ExpiredUploads(NowMillis()));
  for (const Index::UploadName& name : expired) {
    std::lock_guard lock(gc_mutex_);
    if (open_uploads_.contains(Cat(name.tenant, "/", name.upload))) continue;
    SWAGE_RETURN_IF_ERROR(index_->DropUpload(name, NowMillis()));
  }
  // Then the folders of uploads that are no more. A folder is made only by a stream that is open.
  SWAGE_ASSIGN_OR_RETURN(const std::vector<DirEntry> tenants, env_->ListDir(paths_.Uploads()));
  for (const DirEntry& tenant : tenants) {
    std::lock_guard lock(gc_mutex_);
    SWAGE_ASSIGN_OR_RETURN(const std::vector<DirEntry> uploads, env_->ListDir(Cat(paths_.Uploads(), "/", tenant.name)));
    for (const DirEntry& upload : uploads) {
      if (open_uploads_.contains(Cat(tenant.name, "/", upload.name))) continue;
      SWAGE_ASSIGN_OR_RETURN(const bool known, index_->HasUpload({tenant.name, upload.name}));
      if (!known) SWAGE_RETURN_IF_ERROR(env_->RemoveTree(paths_.UploadDir(tenant.name, upload.name)));
    }
  }
  return absl::OkStatus();
}

Status Store::RemoveFiles() {
  SWAGE_ASSIGN_OR_RETURN(const std::vector<Digest> removals, index_->PendingRemovals());
  if (removals.empty()) return absl::OkStatus();
  for (const Digest& digest : removals) {
    // It may have come back between a crash and now; then its file is wanted.
    SWAGE_ASSIGN_OR_RETURN(const auto place, index_->FindObject(digest));
    const std::string path = paths_.Object(digest);
    if (!place.has_value() && env_->Exists(path)) SWAGE_RETURN_IF_ERROR(env_->Remove(path));
  }
  return index_->RemovalsDone(removals);
}

Status Store::CollectOrphans(bool dry_run, GarbageTotals* totals) {
  SWAGE_ASSIGN_OR_RETURN(const std::vector<DirEntry> dirs, env_->ListDir(paths_.Objects()));
  for (const DirEntry& dir : dirs) {
    std::lock_guard lock(gc_mutex_);
    SWAGE_ASSIGN_OR_RETURN(const std::vector<DirEntry> files, env_->ListDir(Cat(paths_.Objects(), "/", dir.name)));
    for (const DirEntry& file : files) {
      const auto digest = StorePaths::ObjectOf(Cat("objects/", dir.name, "/", file.name));
      if (!digest.has_value() || pins_.contains(std::string(reinterpret_cast<const char*>(digest->bytes.data()), 32))) continue;
      SWAGE_ASSIGN_OR_RETURN(const auto place, index_->FindObject(*digest));
      if (place.has_value()) continue;
      ++totals->objects;
      totals->bytes += file.size;
      if (!dry_run) SWAGE_RETURN_IF_ERROR(env_->Remove(paths_.Object(*digest)));
    }
  }
  return absl::OkStatus();
}

StatusOr<GarbageTotals> Store::CollectGarbage(bool dry_run) {
  GarbageTotals totals;
  const int64_t now = NowMillis();
  // A result waits for its leader as long as both could be up: time in which this store was down does not count.
  const int64_t prepared_before =
      now - open_millis_ < limits::kLeaseOfObjectsMs ? 0 : now - limits::kLeaseOfObjectsMs;
  if (!dry_run) {
    SWAGE_RETURN_IF_ERROR(DropExpiredUploads());
    SWAGE_RETURN_IF_ERROR(index_->DropStalePrepared(prepared_before));
    SWAGE_RETURN_IF_ERROR(WriteRecords());
  }
  int64_t after = 0;
  while (true) {
    std::lock_guard lock(gc_mutex_);
    const auto keep = [this](const Digest& digest) {
      return pins_.contains(std::string(reinterpret_cast<const char*>(digest.bytes.data()), 32));
    };
    SWAGE_ASSIGN_OR_RETURN(const auto victims, index_->CollectVictims(now, prepared_before, after, kBatch, !dry_run, keep));
    if (victims.empty()) break;
    for (const Index::Victim& victim : victims) {
      ++totals.objects;
      totals.bytes += victim.stored_size;
      if (!dry_run) stored_bytes_ -= std::min<uint64_t>(stored_bytes_, victim.stored_size);
    }
    after = victims.back().id;
    if (!dry_run) SWAGE_RETURN_IF_ERROR(RemoveFiles());
  }
  SWAGE_RETURN_IF_ERROR(CollectOrphans(dry_run, &totals));
  return totals;
}

}  // namespace swage
