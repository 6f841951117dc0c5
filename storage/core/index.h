// The index: what is stored, who sees it, who needs it (docs/formats/store.md 5). Each method is one transaction; what makes
// objects or artifacts present, named or gone is durable when it returns. Thread-safe. Nothing here touches object or record files: changes leave the record files to write in
// an outbox, which the store empties before it answers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/status.h"
#include "storage/core/paths.h"
#include "storage/core/records.h"
#include "storage/core/sqlite.h"

namespace swage {

struct ObjectSizes {
  Digest digest;
  uint64_t raw_size = 0, stored_size = 0;
};
struct ObjectPlace {
  int64_t id = 0;
  uint64_t raw_size = 0, stored_size = 0;
  bool damaged = false;  // reading it failed: as good as missing until somebody writes it again
};
// A manifest as the index sees it. `objects`: each digest once, with its raw size; the manifest's own is among them.
struct ManifestSummary {
  Digest id;
  std::string kind;
  uint64_t total_bytes = 0, files = 0;
  std::vector<ObjectSizes> objects;
};
struct ArtifactRecord {
  Digest id;
  std::string kind, job;
  std::vector<std::string> aliases;  // "models/tiny@v3", and "models/tiny" where it is the newest
  uint64_t total_bytes = 0, stored_bytes = 0, files = 0, objects = 0;
  int64_t create_unix_nanos = 0;
};
struct ArtifactPage {
  std::vector<ArtifactRecord> artifacts;
  std::string next_page_token;  // "" = done
};
struct RecordChange {
  int64_t sequence = 0;
  std::string path;                    // relative to the store's folder
  std::optional<std::string> content;  // nullopt: remove
};

class Index {
 public:
  ~Index();
  // Makes the tables when the file is new. DATA_LOSS/INDEX_CORRUPT, or /INDEX_VERSION for a newer one.
  static StatusOr<std::unique_ptr<Index>> Open(const std::string& path);

  // Objects and leases (index_objects.cc).
  StatusOr<std::optional<ObjectPlace>> FindObject(const Digest& digest);
  StatusOr<std::optional<ObjectPlace>> FindVisible(const std::string& tenant, const Digest& digest);  // never a damaged one
  StatusOr<std::vector<Digest>> FindMissing(const std::string& tenant, const std::string& upload,
                                            std::span<const Digest> digests, int64_t expires_ms);
  Status TouchUpload(const std::string& tenant, const std::string& upload, int64_t expires_ms);
  // Makes them present (and sound again) and leases them to the upload.
  Status AddObjects(const std::string& tenant, const std::string& upload, std::span<const ObjectSizes> objects, int64_t expires_ms);
  // That the tenant may name each of them, with these raw sizes; leases them. OBJECT_MISSING, SIZE_MISMATCH.
  Status LeaseForManifest(const std::string& tenant, const std::string& upload, const ManifestSummary& manifest, int64_t expires_ms);
  Status MarkDamaged(const Digest& digest);
  StatusOr<uint64_t> StoredBytes();
  StatusOr<bool> IsVerifiedFile(const Digest& file, const Digest& parts);
  Status AddVerifiedFile(const Digest& file, const Digest& parts);

  // Artifacts, aliases, results of jobs (index_artifacts.cc, index_aliases.cc, index_jobs.cc). alias "" = none.
  StatusOr<ArtifactRecord> Commit(const std::string& tenant, const std::string& upload, const ManifestSummary& manifest,
                                  const std::string& alias, int64_t now_nanos);
  Status Prepare(const PreparedEntry& entry, const ManifestSummary& manifest);
  StatusOr<ArtifactRecord> Publish(const PublishedEntry& entry, uint64_t incarnation, const std::string& alias, int64_t now_nanos);
  StatusOr<uint64_t> RaiseIncarnation(uint64_t incarnation);  // returns the highest
  StatusOr<std::vector<PublishedEntry>> ListPublished(const std::string& after_tenant, const std::string& after_job, int limit);
  StatusOr<Digest> Resolve(const std::string& tenant, const std::string& id_or_alias);
  StatusOr<ArtifactRecord> Get(const std::string& tenant, const Digest& artifact);
  StatusOr<ArtifactPage> List(const std::string& tenant, int page_size, const std::string& page_token);
  StatusOr<ArtifactRecord> SetAlias(const std::string& tenant, const std::string& alias, const Digest& artifact);
  Status Delete(const std::string& tenant, const std::string& id_or_alias);

  // Garbage (index_garbage.cc).
  struct UploadName {
    std::string tenant, upload;
  };
  StatusOr<std::vector<UploadName>> ExpiredUploads(int64_t now_ms);
  StatusOr<bool> HasUpload(const UploadName& name);
  Status DropUpload(const UploadName& name, int64_t now_ms);  // unless it was renewed meanwhile
  // Prepared results made before `made_before_ms`, then manifests that nothing names.
  Status DropStalePrepared(int64_t made_before_ms);
  // Up to `limit` objects that nothing names, by id after `after_id`; `keep` is asked for each. With `remove` they are
  // taken out and noted for removal of their files.
  struct Victim {
    int64_t id = 0;
    Digest digest;
    uint64_t stored_size = 0;
  };
  StatusOr<std::vector<Victim>> CollectVictims(int64_t now_ms, int64_t prepared_before_ms, int64_t after_id, int limit, bool remove,
                                               const std::function<bool(const Digest&)>& keep);
  StatusOr<std::vector<Digest>> PendingRemovals();
  Status RemovalsDone(std::span<const Digest> digests);

  // The outbox of record files, oldest first; those reported done are not given again (and are deleted with the next change).
  StatusOr<std::vector<RecordChange>> PendingRecords(int limit);
  void RecordsDone(int64_t up_to_sequence);

  // Rebuilding (index_restore.cc): into a new index, without leaving records in the outbox.
  Status RestoreObjects(std::span<const ObjectSizes> objects, int64_t expires_ms);
  Status RestoreUpload(const UploadName& name, int64_t expires_ms);
  StatusOr<bool> RestoreArtifact(const ArtifactEntry& entry, const ManifestSummary& manifest);  // false: objects are missing
  Status RestorePrepared(const PreparedEntry& entry, const ManifestSummary& manifest);
  Status RestorePublished(const PublishedEntry& entry);
  Status RestoreAlias(const AliasEntry& entry);
  // Whether this index was filled to its end; a crash while it was being rebuilt leaves one that was not.
  StatusOr<bool> IsBuilt();
  Status SetBuilt();

  Database* database_for_tests() { return db_.get(); }

 private:
  explicit Index(std::unique_ptr<Database> db) : db_(std::move(db)) {}
  // Called inside a transaction, with mutex_ held.
  Status CreateTables();
  Status QueueRecord(const std::string& path, std::optional<std::string> content);
  StatusOr<int64_t> UploadId(const std::string& tenant, const std::string& upload, int64_t expires_ms);
  StatusOr<std::optional<ObjectPlace>> PlaceWhere(const char* sql, const std::string* tenant, const Digest& digest);
  StatusOr<int64_t> InsertManifest(const ManifestSummary& manifest, bool* complete);
  StatusOr<std::optional<int64_t>> ManifestId(const Digest& artifact);
  Status InsertArtifact(const ArtifactEntry& entry, int64_t manifest, bool queue);
  Status InsertPrepared(const PreparedEntry& entry, int64_t manifest, bool queue);
  StatusOr<ArtifactRecord> GetLocked(const std::string& tenant, const Digest& artifact);
  StatusOr<std::vector<std::string>> AliasesOf(const std::string& tenant, const Digest& artifact);
  Status PointAlias(const std::string& tenant, const std::string& alias, const Digest& artifact);
  Status QueueAliasRecord(const std::string& tenant, const std::string& name);
  StatusOr<Digest> ResolveLocked(const std::string& tenant, const std::string& id_or_alias);
  StatusOr<uint64_t> RaiseLocked(uint64_t incarnation);
  StatusOr<std::optional<Digest>> PublishedArtifact(const std::string& tenant, const std::string& job);
  Status DropPreparedOf(const std::string& tenant, const std::string& job);

  std::mutex mutex_;
  std::unique_ptr<Database> db_;
  int64_t records_done_ = 0;
};

}  // namespace swage
