// What every server and client of ours shares: errors at the edge, deadlines, server start-up with health and
// reflection, drain, trace context in metadata. The only header of the kit that needs gRPC's.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/telemetry/trace.h"

namespace swage {

// google.rpc.Status with ErrorInfo{reason, domain "swage.dev", metadata{next_step}} in the details, and back. With
// UNAVAILABLE and RESOURCE_EXHAUSTED comes a RetryInfo.
// A bare UNAVAILABLE (nobody of ours answered) comes back with reason UNREACHABLE.
grpc::Status ToGrpc(const Status& status);
Status FromGrpc(const grpc::Status& status);

// "host:port", "unix:/path". Keep-alive and message limits as in base/limits.h. Retries are the caller's.
std::shared_ptr<grpc::Channel> NewChannel(const std::string& address);
// Deadline in ms from now, and the trace context as `traceparent` metadata.
void PrepareContext(grpc::ClientContext* context, int deadline_ms, const SpanContext& trace = {});
SpanContext TraceOf(const grpc::ServerContextBase& context);

// "" -> "default"; otherwise 1-63 of [a-z0-9-] starting with a letter, else INVALID_ARGUMENT/BAD_TENANT.
StatusOr<std::string> CheckTenant(const std::string& tenant);

class DeadlineKeeper;

// A running gRPC server with health and reflection. Thread-safe.
class RpcServer {
 public:
  // `addresses`: "127.0.0.1:0" (the port is chosen), "unix:/path" (made 0600; a stale socket is removed, a live one is
  // UNAVAILABLE/ADDRESS_IN_USE). The services must outlive it.
  // Every call has a deadline: a caller that brings none is given one (limits::kGivenUnaryDeadlineMs,
  // kGivenStreamDeadlineMs); when it passes, the call is cancelled. Health and reflection are left alone.
  static StatusOr<std::unique_ptr<RpcServer>> Start(const std::vector<std::string>& addresses,
                                                    const std::vector<grpc::Service*>& services);
  ~RpcServer();
  const std::vector<std::string>& addresses() const { return addresses_; }  // with chosen ports
  void SetServing(bool serving);
  void Drain(int deadline_ms);  // not serving, then waits for calls in flight, then ends them

 private:
  RpcServer() = default;
  std::vector<std::string> addresses_;
  std::vector<std::string> service_names_;
  std::shared_ptr<DeadlineKeeper> keeper_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace swage
