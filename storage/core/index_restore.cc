// Filling a new index from what lies on disk.
#include "storage/core/index.h"

namespace swage {
namespace {

// Holds every object that was found, until its grace ends; no tenant has this name, so nobody sees more by it.
constexpr char kNobody[] = "";
constexpr char kGrace[] = "restored";

}  // namespace

Status Index::RestoreObjects(std::span<const ObjectSizes> objects, int64_t expires_ms) {
  return AddObjects(kNobody, kGrace, objects, expires_ms);
}

Status Index::RestoreUpload(const UploadName& name, int64_t expires_ms) { return TouchUpload(name.tenant, name.upload, expires_ms); }

StatusOr<bool> Index::RestoreArtifact(const ArtifactEntry& entry, const ManifestSummary& manifest) {
  std::lock_guard lock(mutex_);
  Database::Transaction txn(db_.get(), Database::Durability::kSoft);
  bool complete = false;
  SWAGE_ASSIGN_OR_RETURN(const int64_t id, InsertManifest(manifest, &complete));
  SWAGE_RETURN_IF_ERROR(InsertArtifact(entry, id, false));
  SWAGE_RETURN_IF_ERROR(txn.Commit());
  return complete;
}

Status Index::RestorePrepared(const PreparedEntry& entry, const ManifestSummary& manifest) {
  std::lock_guard lock(mutex_);
  Database::Transaction txn(db_.get(), Database::Durability::kSoft);
  bool complete = false;
  SWAGE_ASSIGN_OR_RETURN(const int64_t id, InsertManifest(manifest, &complete));
  SWAGE_RETURN_IF_ERROR(InsertPrepared(entry, id, false));
  return txn.Commit();
}

Status Index::RestorePublished(const PublishedEntry& entry) {
  std::lock_guard lock(mutex_);
  Database::Transaction txn(db_.get(), Database::Durability::kSoft);
  SWAGE_RETURN_IF_ERROR(db_->Run("INSERT OR REPLACE INTO published VALUES (?, ?, ?, ?, ?, ?)", entry.tenant, entry.job, entry.artifact,
                                 entry.token.incarnation, entry.token.epoch, entry.token.random));
  return txn.Commit();
}

Status Index::RestoreAlias(const AliasEntry& entry) {
  std::lock_guard lock(mutex_);
  Database::Transaction txn(db_.get(), Database::Durability::kSoft);
  SWAGE_RETURN_IF_ERROR(db_->Run("INSERT OR REPLACE INTO alias_names VALUES (?, ?, ?)", entry.tenant, entry.name, entry.next_version));
  for (const auto& [version, artifact] : entry.versions) {
    SWAGE_RETURN_IF_ERROR(db_->Run("INSERT OR REPLACE INTO aliases VALUES (?, ?, ?, ?)", entry.tenant, entry.name, version, artifact));
  }
  return txn.Commit();
}

StatusOr<bool> Index::IsBuilt() {
  std::lock_guard lock(mutex_);
  SWAGE_ASSIGN_OR_RETURN(const auto built, db_->QueryInt("SELECT value FROM meta WHERE key = 'built'"));
  return built.has_value();
}

Status Index::SetBuilt() {
  std::lock_guard lock(mutex_);
  Database::Transaction txn(db_.get(), Database::Durability::kDurable);
  SWAGE_RETURN_IF_ERROR(db_->Run("INSERT OR IGNORE INTO meta VALUES ('built', 1)"));
  SWAGE_RETURN_IF_ERROR(txn.Commit());
  // Until now the file itself was not synced, and SQLite drops the log of a file that a power cut left empty.
  return db_->Script("PRAGMA wal_checkpoint(TRUNCATE)");
}

}  // namespace swage
