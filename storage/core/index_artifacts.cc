// Artifacts: what a tenant sees.
#include <charconv>

#include "storage/core/index.h"

namespace swage {
namespace {

Status NoArtifact(std::string_view name) {
  return NotFound("ARTIFACT_NOT_FOUND", Cat("there is no artifact '", name, "'"), "list the artifacts with `swage artifacts`");
}

constexpr char kInsertManifestObject[] = "INSERT OR IGNORE INTO manifest_objects SELECT ?, id FROM objects WHERE digest = ? AND damaged = 0";

}  // namespace

StatusOr<std::optional<int64_t>> Index::ManifestId(const Digest& artifact) {
  return db_->QueryInt("SELECT id FROM manifests WHERE digest = ?", artifact);
}

StatusOr<int64_t> Index::InsertManifest(const ManifestSummary& manifest, bool* complete) {
  SWAGE_RETURN_IF_ERROR(db_->Run("INSERT OR IGNORE INTO manifests(digest, kind, total_bytes, stored_bytes, files, objects, complete) "
                                 "VALUES (?, ?, ?, 0, ?, ?, 0)",
                                 manifest.id, manifest.kind, manifest.total_bytes, manifest.files, manifest.objects.size() - 1));
  SWAGE_ASSIGN_OR_RETURN(const auto id, ManifestId(manifest.id));
  if (!id.has_value()) return Internal("a manifest that was just written is not there");
  for (const ObjectSizes& object : manifest.objects) SWAGE_RETURN_IF_ERROR(db_->Run(kInsertManifestObject, *id, object.digest));
  SWAGE_ASSIGN_OR_RETURN(const auto there, db_->QueryInt("SELECT COUNT(*) FROM manifest_objects WHERE manifest = ?", *id));
  *complete = there == static_cast<int64_t>(manifest.objects.size());
  SWAGE_RETURN_IF_ERROR(db_->Run("UPDATE manifests SET complete = ?, stored_bytes = (SELECT COALESCE(SUM(o.stored_size), 0) "
                                 "FROM manifest_objects mo JOIN objects o ON o.id = mo.object WHERE mo.manifest = ?) WHERE id = ?",
                                 *complete ? 1 : 0, *id, *id));
  return *id;
}

Status Index::InsertArtifact(const ArtifactEntry& entry, int64_t manifest, bool queue) {
  SWAGE_RETURN_IF_ERROR(db_->Run("INSERT OR IGNORE INTO artifacts(tenant, manifest, job, created_ns) VALUES (?, ?, ?, ?)", entry.tenant,
                                 manifest, entry.job, entry.create_unix_nanos));
  if (!queue || db_->changes() == 0) return absl::OkStatus();
  return QueueRecord(StorePaths::ArtifactRecord(entry.tenant, entry.artifact), ToJson(entry));
}

StatusOr<ArtifactRecord> Index::Commit(const std::string& tenant, const std::string& upload, const ManifestSummary& manifest,
                                       const std::string& alias, int64_t now_nanos) {
  std::lock_guard lock(mutex_);
  Database::Transaction txn(db_.get(), Database::Durability::kDurable);
  bool complete = false;
  SWAGE_ASSIGN_OR_RETURN(const int64_t id, InsertManifest(manifest, &complete));
  if (!complete) {
    return Precondition("OBJECT_MISSING", "objects of the manifest went while it was committed", "send them again, then commit again");
  }
  SWAGE_RETURN_IF_ERROR(InsertArtifact({tenant, manifest.id, "", now_nanos}, id, true));
  if (!alias.empty()) SWAGE_RETURN_IF_ERROR(PointAlias(tenant, alias, manifest.id));
  // The artifact holds its objects now; without this, what is deleted soon after would stay for the rest of the lease.
  SWAGE_RETURN_IF_ERROR(db_->Run("DELETE FROM leases WHERE upload = (SELECT id FROM uploads WHERE tenant = ? AND name = ?) "
                                 "AND object IN (SELECT object FROM manifest_objects WHERE manifest = ?)", tenant, upload, id));
  SWAGE_RETURN_IF_ERROR(txn.Commit());
  return GetLocked(tenant, manifest.id);
}

StatusOr<std::vector<std::string>> Index::AliasesOf(const std::string& tenant, const Digest& artifact) {
  std::vector<std::string> aliases;
  SWAGE_ASSIGN_OR_RETURN(Rows rows, db_->Query("SELECT a.name, a.version, a.version = (SELECT MAX(version) FROM aliases b WHERE "
                                               "b.tenant = a.tenant AND b.name = a.name) FROM aliases a WHERE a.tenant = ? AND "
                                               "a.artifact = ? ORDER BY a.name, a.version", tenant, artifact));
  while (rows.Next()) {
    aliases.push_back(AliasText(rows.Text(0), static_cast<uint32_t>(rows.Int(1))));
    if (rows.Int(2) != 0) aliases.push_back(rows.Text(0));
  }
  SWAGE_RETURN_IF_ERROR(rows.status());
  return aliases;
}

StatusOr<ArtifactRecord> Index::GetLocked(const std::string& tenant, const Digest& artifact) {
  ArtifactRecord record;
  {
    SWAGE_ASSIGN_OR_RETURN(Rows rows, db_->Query("SELECT m.kind, a.job, m.total_bytes, m.stored_bytes, m.files, m.objects, a.created_ns "
                                                 "FROM manifests m JOIN artifacts a ON a.manifest = m.id "
                                                 "WHERE m.digest = ? AND a.tenant = ? AND m.complete = 1", artifact, tenant));
    if (!rows.Next()) return rows.status().ok() ? NoArtifact(artifact.Hex()) : rows.status();
    record = {artifact, rows.Text(0), rows.Text(1), {}, rows.Uint(2), rows.Uint(3), rows.Uint(4), rows.Uint(5), rows.Int(6)};
  }
  SWAGE_ASSIGN_OR_RETURN(record.aliases, AliasesOf(tenant, artifact));
  return record;
}

StatusOr<ArtifactRecord> Index::Get(const std::string& tenant, const Digest& artifact) {
  std::lock_guard lock(mutex_);
  return GetLocked(tenant, artifact);
}

StatusOr<ArtifactPage> Index::List(const std::string& tenant, int page_size, const std::string& page_token) {
  int64_t after = 0;
  if (!page_token.empty()) {
    const auto [end, error] = std::from_chars(page_token.data(), page_token.data() + page_token.size(), after);
    if (error != std::errc() || end != page_token.data() + page_token.size()) {
      return InvalidInput("BAD_PAGE_TOKEN", "the page token is not one of ours", "start again without a page token");
    }
  }
  const int limit = page_size <= 0 ? 100 : std::min(page_size, 1000);
  std::lock_guard lock(mutex_);
  std::vector<Digest> ids;
  ArtifactPage page;
  {
    SWAGE_ASSIGN_OR_RETURN(Rows rows, db_->Query("SELECT a.id, m.digest FROM artifacts a JOIN manifests m ON m.id = a.manifest "
                                                 "WHERE a.tenant = ? AND a.id > ? AND m.complete = 1 ORDER BY a.id LIMIT ?",
                                                 tenant, after, limit + 1));
    int64_t last = 0;
    while (rows.Next()) {
      if (static_cast<int>(ids.size()) == limit) {
        page.next_page_token = std::to_string(last);
        break;
      }
      last = rows.Int(0);
      ids.push_back(rows.Blob32(1));
    }
    SWAGE_RETURN_IF_ERROR(rows.status());
  }
  for (const Digest& id : ids) {
    SWAGE_ASSIGN_OR_RETURN(ArtifactRecord record, GetLocked(tenant, id));
    page.artifacts.push_back(std::move(record));
  }
  return page;
}

Status Index::Delete(const std::string& tenant, const std::string& id_or_alias) {
  std::lock_guard lock(mutex_);
  Database::Transaction txn(db_.get(), Database::Durability::kDurable);
  SWAGE_ASSIGN_OR_RETURN(const Digest artifact, ResolveLocked(tenant, id_or_alias));
  SWAGE_ASSIGN_OR_RETURN(std::vector<std::string> aliases, AliasesOf(tenant, artifact));
  if (!Digest::FromHex(id_or_alias).ok()) {
    // By a name: that name goes, and the artifact with it when no other name is left.
    SWAGE_ASSIGN_OR_RETURN(AliasName alias, ParseAlias(id_or_alias));
    SWAGE_ASSIGN_OR_RETURN(const auto versions, db_->QueryInt("SELECT COUNT(*) FROM aliases WHERE tenant = ? AND name = ?", tenant, alias.name));
    if (!alias.version.has_value() && versions > 1) {
      return Precondition("ALIAS_HAS_VERSIONS", Cat("'", alias.name, "' has ", *versions, " versions"), "delete one by its full name, such as models/tiny@v1");
    }
    SWAGE_RETURN_IF_ERROR(db_->Run("DELETE FROM aliases WHERE tenant = ?1 AND name = ?2 AND version = "
                                   "COALESCE(?3, (SELECT MAX(version) FROM aliases WHERE tenant = ?1 AND name = ?2))", tenant, alias.name,
                                   alias.version.has_value() ? SqlValue(*alias.version) : SqlValue(nullptr)));
    SWAGE_RETURN_IF_ERROR(QueueAliasRecord(tenant, alias.name));
    SWAGE_ASSIGN_OR_RETURN(aliases, AliasesOf(tenant, artifact));
    if (!aliases.empty()) return txn.Commit();
  }
  if (!aliases.empty()) {
    return Precondition("ARTIFACT_HAS_ALIAS", Cat("the artifact is named ", aliases.front()), Cat("delete it by that name: ", aliases.front()));
  }
  SWAGE_ASSIGN_OR_RETURN(const auto manifest, ManifestId(artifact));
  SWAGE_RETURN_IF_ERROR(db_->Run("DELETE FROM artifacts WHERE tenant = ? AND manifest = ?", tenant, manifest.value_or(0)));
  if (db_->changes() == 0) return NoArtifact(id_or_alias);
  SWAGE_RETURN_IF_ERROR(QueueRecord(StorePaths::ArtifactRecord(tenant, artifact), std::nullopt));
  return txn.Commit();
}

}  // namespace swage
