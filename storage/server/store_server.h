// The store as a service: ArtifactService over storage/core.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/env.h"
#include "base/status.h"
#include "base/telemetry/trace.h"

namespace grpc {
class Service;
}

namespace swage {

struct StoreOptions {
  std::string data_dir;  // one store process at a time holds its lock
  Env* env = Env::Posix();
  Clock* clock = Clock::Real();
  Tracer* tracer = nullptr;
  uint64_t max_bytes = 0;  // 0: no limit but the disk's
};

class StoreServer {
 public:
  static StatusOr<std::unique_ptr<StoreServer>> Open(const StoreOptions& options);  // LOCKED when another runs
  virtual ~StoreServer() = default;
  virtual std::vector<grpc::Service*> services() = 0;
  virtual void Shutdown() = 0;  // ends streams; after RpcServer::Drain
};

}  // namespace swage
