#include "storage/core/index.h"

namespace swage {
namespace {

constexpr int64_t kIndexVersion = 1;

constexpr char kSchema[] = R"(
CREATE TABLE objects(id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, raw_size INTEGER NOT NULL,
  stored_size INTEGER NOT NULL, pack INTEGER NOT NULL DEFAULT 0, offset INTEGER NOT NULL DEFAULT 0,
  damaged INTEGER NOT NULL DEFAULT 0);
CREATE TABLE uploads(id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL, expires_ms INTEGER NOT NULL,
  UNIQUE(tenant, name));
CREATE TABLE leases(upload INTEGER NOT NULL, object INTEGER NOT NULL, PRIMARY KEY(upload, object)) WITHOUT ROWID;
CREATE INDEX leases_by_object ON leases(object);
CREATE TABLE manifests(id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, kind TEXT NOT NULL,
  total_bytes INTEGER NOT NULL, stored_bytes INTEGER NOT NULL, files INTEGER NOT NULL, objects INTEGER NOT NULL,
  complete INTEGER NOT NULL);
CREATE TABLE manifest_objects(manifest INTEGER NOT NULL, object INTEGER NOT NULL, PRIMARY KEY(manifest, object)) WITHOUT ROWID;
CREATE INDEX manifests_by_object ON manifest_objects(object);
CREATE TABLE artifacts(id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, manifest INTEGER NOT NULL, job TEXT NOT NULL,
  created_ns INTEGER NOT NULL, UNIQUE(tenant, manifest));
CREATE INDEX artifacts_by_manifest ON artifacts(manifest);
CREATE TABLE prepared(tenant TEXT NOT NULL, job TEXT NOT NULL, manifest INTEGER NOT NULL, incarnation INTEGER NOT NULL,
  epoch INTEGER NOT NULL, random INTEGER NOT NULL, created_ms INTEGER NOT NULL, PRIMARY KEY(tenant, job, manifest));
CREATE INDEX prepared_by_manifest ON prepared(manifest);
CREATE TABLE published(tenant TEXT NOT NULL, job TEXT NOT NULL, artifact BLOB NOT NULL, incarnation INTEGER NOT NULL,
  epoch INTEGER NOT NULL, random INTEGER NOT NULL, PRIMARY KEY(tenant, job)) WITHOUT ROWID;
CREATE TABLE alias_names(tenant TEXT NOT NULL, name TEXT NOT NULL, next_version INTEGER NOT NULL,
  PRIMARY KEY(tenant, name)) WITHOUT ROWID;
CREATE TABLE aliases(tenant TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, artifact BLOB NOT NULL,
  PRIMARY KEY(tenant, name, version)) WITHOUT ROWID;
CREATE INDEX aliases_by_artifact ON aliases(tenant, artifact);
CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE verified_files(file BLOB NOT NULL, parts BLOB NOT NULL, PRIMARY KEY(file, parts)) WITHOUT ROWID;
CREATE TABLE records(sequence INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL, content TEXT);
CREATE TABLE removals(digest BLOB PRIMARY KEY) WITHOUT ROWID;
INSERT INTO meta VALUES ('highest_incarnation', 0);
PRAGMA user_version = 1;
)";

}  // namespace

StatusOr<std::unique_ptr<Index>> Index::Open(const std::string& path) {
  SWAGE_ASSIGN_OR_RETURN(auto db, Database::Open(path));
  std::unique_ptr<Index> index(new Index(std::move(db)));
  SWAGE_ASSIGN_OR_RETURN(const auto version, index->db_->QueryInt("PRAGMA user_version"));
  if (version == 0) {
    SWAGE_RETURN_IF_ERROR(index->CreateTables());
  } else if (version != kIndexVersion) {
    return DataLoss("INDEX_VERSION", Cat("the store's index has version ", version.value_or(-1), ", this build knows ", kIndexVersion),
                    "use the newer swage, or move index.sqlite away to have it rebuilt");
  }
  return index;
}

Index::~Index() {
  // So that the next start has nothing to write again. If it fails, it writes it again.
  if (db_ != nullptr && records_done_ > 0) db_->Run("DELETE FROM records WHERE sequence <= ?", records_done_).IgnoreError();
}

Status Index::CreateTables() {
  Database::Transaction txn(db_.get(), Database::Durability::kSoft);
  SWAGE_RETURN_IF_ERROR(db_->Script(kSchema));
  return txn.Commit();
}

Status Index::QueueRecord(const std::string& path, std::optional<std::string> content) {
  if (records_done_ > 0) SWAGE_RETURN_IF_ERROR(db_->Run("DELETE FROM records WHERE sequence <= ?", records_done_));
  if (content.has_value()) return db_->Run("INSERT INTO records(path, content) VALUES (?, ?)", path, *content);
  return db_->Run("INSERT INTO records(path, content) VALUES (?, NULL)", path);
}

StatusOr<std::vector<RecordChange>> Index::PendingRecords(int limit) {
  std::lock_guard lock(mutex_);
  std::vector<RecordChange> changes;
  SWAGE_ASSIGN_OR_RETURN(Rows rows, db_->Query("SELECT sequence, path, content FROM records WHERE sequence > ? ORDER BY sequence LIMIT ?",
                                               records_done_, limit));
  while (rows.Next()) {
    RecordChange change{rows.Int(0), rows.Text(1), std::nullopt};
    if (!rows.IsNull(2)) change.content = rows.Text(2);
    changes.push_back(std::move(change));
  }
  SWAGE_RETURN_IF_ERROR(rows.status());
  return changes;
}

void Index::RecordsDone(int64_t up_to_sequence) {
  std::lock_guard lock(mutex_);
  records_done_ = std::max(records_done_, up_to_sequence);
}

}  // namespace swage
