// The control plane: JobService. Stateless; writes requests into the state store and reads what the leader wrote.
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

struct ControlOptions {
  std::shared_ptr<StateStore> state;
  std::string store_address;               // where control itself finds the store
  std::string advertised_store_address;    // what clients are told; "" = this server
  std::string advertised_scheduler_address;
  Clock* clock = Clock::Real();
  Tracer* tracer = nullptr;
};

class ControlServer {
 public:
  static StatusOr<std::unique_ptr<ControlServer>> Start(const ControlOptions& options);
  virtual ~ControlServer() = default;
  virtual std::vector<grpc::Service*> services() = 0;
  virtual void Shutdown() = 0;  // ends watches
};

}  // namespace swage
