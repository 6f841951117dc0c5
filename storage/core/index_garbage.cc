// What nothing needs any more.
#include "storage/core/index.h"

namespace swage {
namespace {

// ?1 = now, ?2 = prepared results made before this are stale, ?3 = after this id, ?4 = limit.
constexpr char kVictims[] =
    "SELECT o.id, o.digest, o.stored_size FROM objects o WHERE o.id > ?3 AND "
    "NOT EXISTS(SELECT 1 FROM leases l JOIN uploads u ON u.id = l.upload WHERE l.object = o.id AND u.expires_ms > ?1) AND "
    "NOT EXISTS(SELECT 1 FROM manifest_objects mo WHERE mo.object = o.id AND ("
    "EXISTS(SELECT 1 FROM artifacts a WHERE a.manifest = mo.manifest) OR "
    "EXISTS(SELECT 1 FROM prepared p WHERE p.manifest = mo.manifest AND p.created_ms >= ?2))) "
    "ORDER BY o.id LIMIT ?4";

}  // namespace

StatusOr<std::vector<Index::UploadName>> Index::ExpiredUploads(int64_t now_ms) {
  std::lock_guard lock(mutex_);
  std::vector<UploadName> names;
  SWAGE_ASSIGN_OR_RETURN(Rows rows, db_->Query("SELECT tenant, name FROM uploads WHERE expires_ms <= ?", now_ms));
  while (rows.Next()) names.push_back({rows.Text(0), rows.Text(1)});
  SWAGE_RETURN_IF_ERROR(rows.status());
  return names;
}

StatusOr<bool> Index::HasUpload(const UploadName& name) {
  std::lock_guard lock(mutex_);
  SWAGE_ASSIGN_OR_RETURN(const auto id, db_->QueryInt("SELECT id FROM uploads WHERE tenant = ? AND name = ?", name.tenant, name.upload));
  return id.has_value();
}

Status Index::DropUpload(const UploadName& name, int64_t now_ms) {
  std::lock_guard lock(mutex_);
  Database::Transaction txn(db_.get(), Database::Durability::kSoft);
  SWAGE_ASSIGN_OR_RETURN(const auto expires, db_->QueryInt("SELECT expires_ms FROM uploads WHERE tenant = ? AND name = ?", name.tenant, name.upload));
  if (expires.value_or(0) > now_ms) return absl::OkStatus();
  SWAGE_RETURN_IF_ERROR(db_->Run("DELETE FROM leases WHERE upload = (SELECT id FROM uploads WHERE tenant = ? AND name = ?)",
                                 name.tenant, name.upload));
  SWAGE_RETURN_IF_ERROR(db_->Run("DELETE FROM uploads WHERE tenant = ? AND name = ?", name.tenant, name.upload));
  return txn.Commit();
}

Status Index::DropStalePrepared(int64_t made_before_ms) {
  std::lock_guard lock(mutex_);
  Database::Transaction txn(db_.get(), Database::Durability::kDurable);
  std::vector<std::string> records;
  {
    SWAGE_ASSIGN_OR_RETURN(Rows rows, db_->Query("SELECT p.tenant, p.job, m.digest FROM prepared p JOIN manifests m ON m.id = p.manifest "
                                                 "WHERE p.created_ms < ?", made_before_ms));
    while (rows.Next()) records.push_back(StorePaths::PreparedRecord(rows.Text(0), rows.Text(1), rows.Blob32(2)));
    SWAGE_RETURN_IF_ERROR(rows.status());
  }
  for (const std::string& record : records) SWAGE_RETURN_IF_ERROR(QueueRecord(record, std::nullopt));
  SWAGE_RETURN_IF_ERROR(db_->Run("DELETE FROM prepared WHERE created_ms < ?", made_before_ms));
  SWAGE_RETURN_IF_ERROR(db_->Run("DELETE FROM manifests WHERE NOT EXISTS(SELECT 1 FROM artifacts a WHERE a.manifest = manifests.id) "
                                 "AND NOT EXISTS(SELECT 1 FROM prepared p WHERE p.manifest = manifests.id)"));
  SWAGE_RETURN_IF_ERROR(db_->Run("DELETE FROM manifest_objects WHERE manifest NOT IN (SELECT id FROM manifests)"));
  SWAGE_RETURN_IF_ERROR(db_->Run("DELETE FROM verified_files"));  // only a cache; this keeps it small
  return txn.Commit();
}

StatusOr<std::vector<Index::Victim>> Index::CollectVictims(int64_t now_ms, int64_t prepared_before_ms, int64_t after_id, int limit,
                                                           bool remove, const std::function<bool(const Digest&)>& keep) {
  std::lock_guard lock(mutex_);
  Database::Transaction txn(db_.get(), Database::Durability::kDurable);
  std::vector<Victim> victims;
  {
    SWAGE_ASSIGN_OR_RETURN(Rows rows, db_->Query(kVictims, now_ms, prepared_before_ms, after_id, limit));
    while (rows.Next()) {
      const Victim victim{rows.Int(0), rows.Blob32(1), rows.Uint(2)};
      if (!keep(victim.digest)) victims.push_back(victim);
    }
    SWAGE_RETURN_IF_ERROR(rows.status());
  }
  if (!remove) return victims;
  for (const Victim& victim : victims) {
    SWAGE_RETURN_IF_ERROR(db_->Run("DELETE FROM objects WHERE id = ?", victim.id));
    SWAGE_RETURN_IF_ERROR(db_->Run("DELETE FROM leases WHERE object = ?", victim.id));
    SWAGE_RETURN_IF_ERROR(db_->Run("DELETE FROM manifest_objects WHERE object = ?", victim.id));
    SWAGE_RETURN_IF_ERROR(db_->Run("INSERT OR IGNORE INTO removals VALUES (?)", victim.digest));
  }
  SWAGE_RETURN_IF_ERROR(txn.Commit());
  return victims;
}

StatusOr<std::vector<Digest>> Index::PendingRemovals() {
  std::lock_guard lock(mutex_);
  std::vector<Digest> digests;
  SWAGE_ASSIGN_OR_RETURN(Rows rows, db_->Query("SELECT digest FROM removals"));
  while (rows.Next()) digests.push_back(rows.Blob32(0));
  SWAGE_RETURN_IF_ERROR(rows.status());
  return digests;
}

Status Index::RemovalsDone(std::span<const Digest> digests) {
  std::lock_guard lock(mutex_);
  Database::Transaction txn(db_.get(), Database::Durability::kSoft);
  for (const Digest& digest : digests) SWAGE_RETURN_IF_ERROR(db_->Run("DELETE FROM removals WHERE digest = ?", digest));
  return txn.Commit();
}

}  // namespace swage
