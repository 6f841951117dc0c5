// The store: content-addressed objects, artifacts made of them, and the results of jobs, in one local folder.
// docs/formats/store.md says what lies on disk and what a crash leaves. Thread-safe. Times out nothing itself.
//
// Names: `tenant` is never empty; `artifact` is an id (64 hex digits) or an alias. What a tenant may read or name by digest is
// what it has uploaded itself and the closure of its own manifests; everything else is NOT_FOUND or missing to it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/env.h"
#include "base/modelfile/manifest.h"
#include "storage/core/index.h"
#include "storage/core/object_reader.h"
#include "storage/core/paths.h"
#include "storage/core/upload.h"

namespace swage {

struct StoreConfig {
  std::string data_dir;
  Env* env = Env::Posix();
  Clock* clock = Clock::Real();
  uint64_t max_bytes = 0;  // of stored objects; 0: no limit but the disk's
  // For tests: where the index lies ("" = in data_dir), and whether its next commit may happen.
  std::string index_path;
  std::function<bool()> allow_commit;
};

struct WriteState {
  uint64_t committed_bytes = 0;
  bool complete = false;
};

struct GarbageTotals {
  uint64_t objects = 0;
  uint64_t bytes = 0;  // stored
};

struct PublishedPage {
  uint64_t highest_incarnation = 0;
  std::vector<PublishedEntry> published;
  std::string next_after;  // "" = done
};

class Store {
 public:
  // Rebuilds the index when it is not there or is corrupt. UNAVAILABLE/LOCKED while another process has the folder.
  static StatusOr<std::unique_ptr<Store>> Open(const StoreConfig& config);
  ~Store();

  StatusOr<std::vector<Digest>> FindMissing(const std::string& tenant, const std::string& upload, std::span<const Digest> digests);
  StatusOr<WriteState> QueryWrite(const std::string& tenant, const std::string& upload, const Digest& digest);
  StatusOr<std::unique_ptr<Upload>> NewUpload(const std::string& tenant, const std::string& upload);  // ends before the store
  Status PutBytes(const std::string& tenant, const std::string& upload, const Digest& digest, std::string_view bytes);

  StatusOr<std::unique_ptr<ByteSource>> OpenObject(const std::string& tenant, const Digest& digest);
  StatusOr<std::unique_ptr<ByteSource>> OpenFile(const std::string& tenant, const std::string& artifact, const std::string& path);

  // Verifies that every object is there and every file's digest is that of its parts, then makes the artifact visible.
  StatusOr<ArtifactRecord> Commit(const std::string& tenant, const std::string& upload, std::string_view manifest_json,
                                  const std::string& alias);
  StatusOr<Digest> Prepare(const std::string& tenant, const std::string& upload, const std::string& job, const ResultToken& token,
                           std::string_view manifest_json);
  StatusOr<ArtifactRecord> Publish(const std::string& tenant, const std::string& job, const ResultToken& token, uint64_t incarnation,
                                   const std::string& artifact, const std::string& alias);
  StatusOr<PublishedPage> Reconcile(uint64_t incarnation, const std::string& after, int page_size = 1000);

  StatusOr<ArtifactRecord> GetArtifact(const std::string& tenant, const std::string& artifact);
  StatusOr<std::pair<Digest, std::string>> GetManifest(const std::string& tenant, const std::string& artifact);  // id, JSON
  StatusOr<ArtifactPage> ListArtifacts(const std::string& tenant, int page_size, const std::string& page_token);
  StatusOr<ArtifactRecord> SetAlias(const std::string& tenant, const std::string& alias, const std::string& artifact);
  // By id: FAILED_PRECONDITION/ARTIFACT_HAS_ALIAS while a name points at it. By name: that name goes, and the artifact with
  // its last name.
  Status DeleteArtifact(const std::string& tenant, const std::string& artifact);
  // Safe beside everything else. A dry run counts and changes nothing.
  StatusOr<GarbageTotals> CollectGarbage(bool dry_run);

 private:
  friend class Upload;
  explicit Store(StoreConfig config);
  Status PrepareFolders();
  Status SyncFolders();
  Status OpenIndex();
  Status RebuildIndex();
  Status ReadObjectFiles();
  Status ReadRecordFiles();
  int64_t NowMillis() const { return config_.clock->UnixNanos() / 1000000; }
  int64_t LeaseEnd() const;

  // For Upload.
  Status CheckSpace(uint64_t bytes);
  void Pin(const Digest& digest);
  void Unpin(const Digest& digest);
  bool ReservePart(const std::string& path);  // false: another stream writes it
  void ReleasePart(const std::string& path);
  void CloseUpload(const std::string& tenant, const std::string& upload);

  StatusOr<std::unique_ptr<ByteSource>> OpenStored(const Digest& digest);
  StatusOr<std::string> ReadStored(const Digest& digest, uint64_t max_bytes);
  StatusOr<std::shared_ptr<const Manifest>> LoadManifest(const Digest& artifact);
  Status StoreManifest(const std::string& tenant, const std::string& upload, std::string_view json, ManifestSummary* summary);
  Status VerifyFiles(const Manifest& manifest);
  Status VerifyFile(const ManifestFile& file);
  Status EnsureDir(const std::string& path);  // made and durable
  Status WriteRecords();                      // empties the outbox
  Status ApplyRecord(const RecordChange& change);

  Status DropExpiredUploads();
  Status RemoveFiles();  // of objects that were taken out of the index; with gc_mutex_ held
  Status CollectOrphans(bool dry_run, GarbageTotals* totals);

  StoreConfig config_;
  Env* env_;
  StorePaths paths_;
  std::unique_ptr<FileLock> lock_;
  std::unique_ptr<Index> index_;
  int64_t open_millis_ = 0;

  std::mutex gc_mutex_;  // pins are taken, and files removed, under it: a pinned object is never removed
  std::unordered_map<std::string, int> pins_;  // by digest bytes
  std::set<std::string> parts_;                // paths of parts being written
  std::unordered_map<std::string, int> open_uploads_;  // "tenant/upload" of streams that are open
  std::atomic<uint64_t> stored_bytes_ = 0;
  std::mutex records_mutex_;                   // record files are written in the outbox's order
  std::mutex dirs_mutex_;
  std::set<std::string> dirs_;                 // known to be durable
  std::mutex manifests_mutex_;
  std::vector<std::pair<Digest, std::shared_ptr<const Manifest>>> manifests_;  // a few, most recent first
};

// The objects a manifest names, each once, and its own. INVALID_ARGUMENT/SIZE_MISMATCH when one digest has two sizes.
StatusOr<ManifestSummary> SummarizeManifest(const Manifest& manifest, const Digest& id, uint64_t json_bytes);

}  // namespace swage
