// Inside of ArtifactClient: the connection, retries, cancellation. Shared by its three source files only.
#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <string>

#include "base/limits.h"
#include "services/kit/artifact_client.h"
#include "services/kit/rpc.h"
#include "swage/v1/artifact.grpc.pb.h"

namespace swage {

inline std::string Bytes(const Digest& digest) {
  return std::string(reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size());
}
StatusOr<Digest> DigestFromBytes(const std::string& bytes);
ArtifactInfo ToInfo(const v1::Artifact& artifact);

// Waits between attempts: 20 ms, doubled up to 1 s, until `retry_ms` have passed without Progress.
class Backoff {
 public:
  explicit Backoff(int retry_ms) : retry_ms_(retry_ms) { Progress(); }
  void Progress();
  bool Wait();  // false: time is over

 private:
  int retry_ms_;
  int wait_ms_ = 20;
  std::chrono::steady_clock::time_point last_progress_;
};

// At most ten calls a second, and always the last one. Thread-safe.
class ProgressMeter {
 public:
  ProgressMeter(const TransferCallback& callback, uint64_t total) : callback_(callback) { state_.total = total; }
  void Add(uint64_t bytes, bool skipped = false);
  void SetDone(uint64_t done);
  void Last();

 private:
  void Maybe(bool force);
  const TransferCallback& callback_;
  std::mutex mutex_;
  Transfer state_;
  std::chrono::steady_clock::time_point last_{};
};

struct ArtifactClient::State {
  std::string address, tenant;
  int retry_ms = 0;
  std::unique_ptr<v1::ArtifactService::Stub> stub;
  std::mutex mutex;
  SpanContext trace;
  bool cancelled = false;
  std::set<grpc::ClientContext*> calls;

  // A context that Cancel reaches, with deadline and trace.
  class Call {
   public:
    Call(State* state, int deadline_ms);
    ~Call();
    grpc::ClientContext context;

   private:
    State* state_;
  };

  bool Cancelled();
  bool ShouldRetry(const Status& status);
  Status Explain(const Status& status);  // says which store did not answer

  template <typename Method, typename Request, typename Response>
  Status Unary(Method method, const Request& request, Response* response,
               int deadline_ms = limits::kUnaryDeadlineMs) {
    Backoff backoff(retry_ms);
    while (true) {
      Call call(this, deadline_ms);
      const Status status = FromGrpc((stub.get()->*method)(&call.context, request, response));
      if (status.ok()) return status;
      if (!ShouldRetry(status) || !backoff.Wait()) return Explain(status);
    }
  }

  // One object of an upload: a range of a local file.
  struct Source {
    Digest digest;
    std::string path;
    uint64_t offset = 0, size = 0;
  };
  StatusOr<std::vector<Source>> Missing(const std::string& upload_id, const std::vector<Source>& sources);
  Status Upload(const std::string& upload_id, std::vector<Source> sources, const TransferCallback& progress);
  StatusOr<Manifest> UploadDir(const std::string& dir, const std::string& kind, const std::string& upload_id,
                               const TransferCallback& progress);

  // Feeds bytes [offset, offset + size) of an object or file to `sink`, going on after a cut.
  using Sink = std::function<Status(std::string_view)>;
  Status Read(v1::ReadRequest request, uint64_t offset, uint64_t size, const Sink& sink);
  StatusOr<uint64_t> TotalSize(v1::ReadRequest request);
};

}  // namespace swage
