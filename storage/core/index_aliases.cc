// Names of artifacts. Each time a name is pointed at another artifact it gets the next version; versions never change.
#include "storage/core/index.h"

namespace swage {

Status Index::PointAlias(const std::string& tenant, const std::string& alias_text, const Digest& artifact) {
  SWAGE_ASSIGN_OR_RETURN(const AliasName alias, ParseAlias(alias_text));
  if (alias.version.has_value()) {
    return InvalidInput("BAD_ALIAS", Cat("'", alias_text, "' names a version; the store gives versions itself"), Cat("use ", alias.name));
  }
  {
    SWAGE_ASSIGN_OR_RETURN(Rows rows, db_->Query("SELECT artifact FROM aliases WHERE tenant = ? AND name = ? ORDER BY version DESC LIMIT 1",
                                                 tenant, alias.name));
    if (rows.Next() && rows.Blob32(0) == artifact) return absl::OkStatus();  // a call that is made again changes nothing
    SWAGE_RETURN_IF_ERROR(rows.status());
  }
  SWAGE_RETURN_IF_ERROR(db_->Run("INSERT OR IGNORE INTO alias_names VALUES (?, ?, 1)", tenant, alias.name));
  SWAGE_RETURN_IF_ERROR(db_->Run("INSERT INTO aliases SELECT tenant, name, next_version, ? FROM alias_names WHERE tenant = ? AND name = ?",
                                 artifact, tenant, alias.name));
  SWAGE_RETURN_IF_ERROR(db_->Run("UPDATE alias_names SET next_version = next_version + 1 WHERE tenant = ? AND name = ?", tenant, alias.name));
  return QueueAliasRecord(tenant, alias.name);
}

Status Index::QueueAliasRecord(const std::string& tenant, const std::string& name) {
  AliasEntry entry{tenant, name, 1, {}};
  SWAGE_ASSIGN_OR_RETURN(const auto next, db_->QueryInt("SELECT next_version FROM alias_names WHERE tenant = ? AND name = ?", tenant, name));
  entry.next_version = static_cast<uint32_t>(next.value_or(1));
  SWAGE_ASSIGN_OR_RETURN(Rows rows, db_->Query("SELECT version, artifact FROM aliases WHERE tenant = ? AND name = ?", tenant, name));
  while (rows.Next()) entry.versions[static_cast<uint32_t>(rows.Int(0))] = rows.Blob32(1);
  SWAGE_RETURN_IF_ERROR(rows.status());
  return QueueRecord(StorePaths::AliasRecord(tenant, name), ToJson(entry));
}

StatusOr<Digest> Index::ResolveLocked(const std::string& tenant, const std::string& id_or_alias) {
  auto id = Digest::FromHex(id_or_alias);
  if (id.ok()) return *id;
  SWAGE_ASSIGN_OR_RETURN(const AliasName alias, ParseAlias(id_or_alias));
  SWAGE_ASSIGN_OR_RETURN(Rows rows, db_->Query("SELECT artifact FROM aliases WHERE tenant = ?1 AND name = ?2 AND version = "
                                               "COALESCE(?3, (SELECT MAX(version) FROM aliases WHERE tenant = ?1 AND name = ?2))",
                                               tenant, alias.name, alias.version.has_value() ? SqlValue(*alias.version) : SqlValue(nullptr)));
  if (rows.Next()) return rows.Blob32(0);
  SWAGE_RETURN_IF_ERROR(rows.status());
  return NotFound("ARTIFACT_NOT_FOUND", Cat("no artifact is named '", id_or_alias, "'"), "list the artifacts with `swage artifacts`");
}

StatusOr<Digest> Index::Resolve(const std::string& tenant, const std::string& id_or_alias) {
  std::lock_guard lock(mutex_);
  return ResolveLocked(tenant, id_or_alias);
}

StatusOr<ArtifactRecord> Index::SetAlias(const std::string& tenant, const std::string& alias, const Digest& artifact) {
  std::lock_guard lock(mutex_);
  Database::Transaction txn(db_.get(), Database::Durability::kDurable);
  SWAGE_RETURN_IF_ERROR(GetLocked(tenant, artifact).status());
  SWAGE_RETURN_IF_ERROR(PointAlias(tenant, alias, artifact));
  SWAGE_RETURN_IF_ERROR(txn.Commit());
  return GetLocked(tenant, artifact);
}

}  // namespace swage
