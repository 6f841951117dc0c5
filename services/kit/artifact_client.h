// Moves artifacts between folders and the store, for the CLI, the worker and control. No gRPC in this header.
// Thread-safe. Every call has a deadline; transient failures (UNAVAILABLE, a cut stream) are retried with back-off
// and go on where they stopped, up to `retry_ms` without any progress.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/digest.h"
#include "base/env.h"
#include "base/modelfile/manifest.h"
#include "base/status.h"
#include "base/telemetry/trace.h"

namespace swage {

struct Transfer {
  uint64_t done = 0, total = 0;
  uint64_t skipped = 0;  // already in the store (upload) or in the folder (download)
};
using TransferCallback = std::function<void(const Transfer&)>;  // may be null; at most ten a second

struct TokenFields {  // swage.v1.Token
  uint64_t incarnation = 0, epoch = 0, random = 0;
};

struct ArtifactInfo {
  std::string id, kind, job;
  std::vector<std::string> aliases;
  uint64_t total_bytes = 0, stored_bytes = 0, files = 0, objects = 0;
  int64_t create_unix_nanos = 0;
};

class ArtifactClient {
 public:
  ArtifactClient(std::string address, std::string tenant, int retry_ms = 30000);
  ~ArtifactClient();
  void SetTraceParent(const SpanContext& parent);
  void Cancel();  // from any thread: calls in flight and later ones fail with CANCELLED

  // Hashes, asks what is missing, sends that, commits. alias may be "".
  StatusOr<ArtifactInfo> UploadFolder(const std::string& dir, const std::string& kind, const std::string& alias,
                                      const TransferCallback& progress);
  // The same, but prepares it as the result of a job: nothing becomes visible. Returns the artifact id.
  // `before_prepare` (may be null) runs when all objects are there; an error from it ends the call before Prepare.
  StatusOr<std::string> PrepareFolder(const std::string& dir, const std::string& job, const TokenFields& token,
                                      const TransferCallback& progress,
                                      const std::function<Status()>& before_prepare = nullptr);
  // One file as one object; visible to nobody until a manifest names it.
  StatusOr<Digest> UploadFile(const std::string& path, const std::string& upload_id);
  // Commits a manifest over objects that are in the store already (control pins a job's inputs with it).
  StatusOr<ArtifactInfo> Commit(const Manifest& manifest, const std::string& upload_id, const std::string& alias);

  StatusOr<ArtifactInfo> Get(const std::string& id_or_alias);
  StatusOr<Manifest> GetManifest(const std::string& id_or_alias);
  StatusOr<std::vector<ArtifactInfo>> List();
  // Into dir (made if missing). Files that are there already with the right size and digest are kept; a half file is
  // resumed; every file is verified, synced, renamed into place. Never leaves a wrong file under its final name.
  Status Download(const std::string& id_or_alias, const std::string& dir, const TransferCallback& progress);
  Status DownloadObject(const Digest& object, const std::string& path);
  // Bytes [offset, offset + size) of a file of an artifact; beyond its end: OUT_OF_RANGE.
  StatusOr<std::string> ReadRange(const std::string& id_or_alias, const std::string& path, uint64_t offset, uint64_t size);
  StatusOr<std::string> ReadObject(const Digest& object, uint64_t max_bytes);
  StatusOr<uint64_t> ObjectSize(const Digest& object);  // NOT_FOUND/OBJECT_MISSING
  StatusOr<ArtifactInfo> SetAlias(const std::string& alias, const std::string& id);
  Status Delete(const std::string& id_or_alias);

  struct State;  // services/kit/artifact_state.h; of the client's own files

 private:
  std::unique_ptr<State> state_;
};

}  // namespace swage
