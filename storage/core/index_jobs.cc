// Results of jobs: prepared by a worker, published by the leader (DESIGN 5).
#include "storage/core/index.h"

namespace swage {
namespace {

Status AlreadyPublished(const std::string& job, const Digest& first) {
  return Error(StatusCode::kFailedPrecondition, "ALREADY_PUBLISHED", Cat("job ", job, " has published artifact ", first.Hex()),
               "take that one: a job commits exactly one result");
}

}  // namespace

StatusOr<std::optional<Digest>> Index::PublishedArtifact(const std::string& tenant, const std::string& job) {
  SWAGE_ASSIGN_OR_RETURN(Rows rows, db_->Query("SELECT artifact FROM published WHERE tenant = ? AND job = ?", tenant, job));
  std::optional<Digest> artifact;
  if (rows.Next()) artifact = rows.Blob32(0);
  SWAGE_RETURN_IF_ERROR(rows.status());
  return artifact;
}

Status Index::InsertPrepared(const PreparedEntry& entry, int64_t manifest, bool queue) {
  SWAGE_RETURN_IF_ERROR(db_->Run("INSERT OR REPLACE INTO prepared VALUES (?, ?, ?, ?, ?, ?, ?)", entry.tenant, entry.job, manifest,
                                 entry.token.incarnation, entry.token.epoch, entry.token.random, entry.create_unix_millis));
  return queue ? QueueRecord(StorePaths::PreparedRecord(entry.tenant, entry.job, entry.artifact), ToJson(entry)) : absl::OkStatus();
}

Status Index::Prepare(const PreparedEntry& entry, const ManifestSummary& manifest) {
  std::lock_guard lock(mutex_);
  Database::Transaction txn(db_.get(), Database::Durability::kDurable);
  SWAGE_ASSIGN_OR_RETURN(const auto published, PublishedArtifact(entry.tenant, entry.job));
  if (published.has_value()) {
    return *published == entry.artifact ? absl::OkStatus() : AlreadyPublished(entry.job, *published);
  }
  bool complete = false;
  SWAGE_ASSIGN_OR_RETURN(const int64_t id, InsertManifest(manifest, &complete));
  if (!complete) {
    return Precondition("OBJECT_MISSING", "objects of the manifest went while it was prepared", "send them again, then prepare again");
  }
  SWAGE_RETURN_IF_ERROR(InsertPrepared(entry, id, true));
  return txn.Commit();
}

Status Index::DropPreparedOf(const std::string& tenant, const std::string& job) {
  std::vector<Digest> artifacts;
  {
    SWAGE_ASSIGN_OR_RETURN(Rows rows, db_->Query("SELECT m.digest FROM prepared p JOIN manifests m ON m.id = p.manifest "
                                                 "WHERE p.tenant = ? AND p.job = ?", tenant, job));
    while (rows.Next()) artifacts.push_back(rows.Blob32(0));
    SWAGE_RETURN_IF_ERROR(rows.status());
  }
  for (const Digest& artifact : artifacts) {
    SWAGE_RETURN_IF_ERROR(QueueRecord(StorePaths::PreparedRecord(tenant, job, artifact), std::nullopt));
  }
  return db_->Run("DELETE FROM prepared WHERE tenant = ? AND job = ?", tenant, job);
}

StatusOr<ArtifactRecord> Index::Publish(const PublishedEntry& entry, uint64_t incarnation, const std::string& alias, int64_t now_nanos) {
  std::lock_guard lock(mutex_);
  Database::Transaction txn(db_.get(), Database::Durability::kDurable);
  SWAGE_ASSIGN_OR_RETURN(const uint64_t highest, RaiseLocked(incarnation));
  if (incarnation < highest) {
    return Precondition("STALE_LEADER", Cat("a leader of incarnation ", highest, " has been here, this one is ", incarnation),
                        "stop: another scheduler leads");
  }
  SWAGE_ASSIGN_OR_RETURN(const auto published, PublishedArtifact(entry.tenant, entry.job));
  if (published.has_value()) {
    if (*published != entry.artifact) return AlreadyPublished(entry.job, *published);
    SWAGE_RETURN_IF_ERROR(txn.Commit());
    auto record = GetLocked(entry.tenant, entry.artifact);
    // Published and deleted since: the call made again still succeeds.
    if (absl::IsNotFound(record.status())) return ArtifactRecord{entry.artifact, "", entry.job, {}, 0, 0, 0, 0, 0};
    return record;
  }
  SWAGE_ASSIGN_OR_RETURN(const auto manifest, db_->QueryInt(
      "SELECT m.id FROM manifests m WHERE m.digest = ?1 AND m.complete = 1 AND ("
      "EXISTS(SELECT 1 FROM prepared p WHERE p.manifest = m.id AND p.tenant = ?2 AND p.job = ?3) OR "
      "EXISTS(SELECT 1 FROM artifacts a WHERE a.manifest = m.id AND a.tenant = ?2))", entry.artifact, entry.tenant, entry.job));
  if (!manifest.has_value()) {
    return NotFound("NOT_PREPARED", Cat("job ", entry.job, " has not prepared artifact ", entry.artifact.Hex()), "run the job again");
  }
  SWAGE_RETURN_IF_ERROR(InsertArtifact({entry.tenant, entry.artifact, entry.job, now_nanos}, *manifest, true));
  SWAGE_RETURN_IF_ERROR(db_->Run("INSERT INTO published VALUES (?, ?, ?, ?, ?, ?)", entry.tenant, entry.job, entry.artifact,
                                 entry.token.incarnation, entry.token.epoch, entry.token.random));
  // The alias's record before "published": an index rebuilt from the first half must let the call be made again.
  if (!alias.empty()) SWAGE_RETURN_IF_ERROR(PointAlias(entry.tenant, alias, entry.artifact));
  SWAGE_RETURN_IF_ERROR(QueueRecord(StorePaths::PublishedRecord(entry.tenant, entry.job), ToJson(entry)));
  SWAGE_RETURN_IF_ERROR(DropPreparedOf(entry.tenant, entry.job));
  SWAGE_RETURN_IF_ERROR(txn.Commit());
  return GetLocked(entry.tenant, entry.artifact);
}

StatusOr<uint64_t> Index::RaiseLocked(uint64_t incarnation) {
  SWAGE_ASSIGN_OR_RETURN(const auto held, db_->QueryInt("SELECT value FROM meta WHERE key = 'highest_incarnation'"));
  const auto highest = static_cast<uint64_t>(held.value_or(0));
  if (incarnation <= highest) return highest;
  SWAGE_RETURN_IF_ERROR(db_->Run("UPDATE meta SET value = ? WHERE key = 'highest_incarnation'", incarnation));
  SWAGE_RETURN_IF_ERROR(QueueRecord(StorePaths::IncarnationRecord(), IncarnationJson(incarnation)));
  return incarnation;
}

StatusOr<uint64_t> Index::RaiseIncarnation(uint64_t incarnation) {
  std::lock_guard lock(mutex_);
  Database::Transaction txn(db_.get(), Database::Durability::kDurable);
  SWAGE_ASSIGN_OR_RETURN(const uint64_t highest, RaiseLocked(incarnation));
  SWAGE_RETURN_IF_ERROR(txn.Commit());
  return highest;
}

StatusOr<std::vector<PublishedEntry>> Index::ListPublished(const std::string& after_tenant, const std::string& after_job, int limit) {
  std::lock_guard lock(mutex_);
  std::vector<PublishedEntry> entries;
  SWAGE_ASSIGN_OR_RETURN(Rows rows, db_->Query("SELECT tenant, job, artifact, incarnation, epoch, random FROM published "
                                               "WHERE (tenant, job) > (?, ?) ORDER BY tenant, job LIMIT ?", after_tenant, after_job, limit));
  while (rows.Next()) {
    entries.push_back({rows.Text(0), rows.Text(1), rows.Blob32(2), {rows.Uint(3), rows.Uint(4), rows.Uint(5)}});
  }
  SWAGE_RETURN_IF_ERROR(rows.status());
  return entries;
}

}  // namespace swage
