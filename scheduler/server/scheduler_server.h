// The scheduler as a service: WorkerService and AdminService, leadership, the outbox. Deciding is
// scheduler/core's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "base/telemetry/trace.h"
#include "scheduler/state/state_store.h"

namespace grpc {
class Service;
}

namespace swage {

struct SchedulerOptions {
  std::shared_ptr<StateStore> state;
  std::string store_address;  // of ArtifactService
  int lease_ms = 10000;
  Clock* clock = Clock::Real();
  Tracer* tracer = nullptr;
};

class SchedulerServer {
 public:
  // Returns at once; takes leadership and reconciles with the store in its own thread, retrying
  // until both answer.
  static StatusOr<std::unique_ptr<SchedulerServer>> Start(const SchedulerOptions& options);
  virtual ~SchedulerServer() = default;
  virtual std::vector<grpc::Service*> services() = 0;
  virtual void Shutdown() = 0;  // answers held calls, stops its threads
};

}  // namespace swage
