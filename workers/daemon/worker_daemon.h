// The worker daemon: the Synchronize loop, slots, staging of inputs, child processes, upload of results.
// No gRPC in this header.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/status.h"
#include "base/telemetry/trace.h"

namespace swage {

struct WorkerOptions {
  std::string data_dir;           // worker id, cache of staged inputs, scratch of jobs
  std::string scheduler_address;
  std::string store_address;
  std::string child_executable;   // run as: child_executable __job, with fd 3; usually /proc/self/exe
  std::string trace_file;         // handed to the child
  int slots = 1;
  int threads_per_job = 0;        // 0: cores / slots
  uint64_t memory_bytes = 0;      // for jobs; 0: 80 % of the machine's
  Clock* clock = Clock::Real();
  Tracer* tracer = nullptr;
};

class WorkerDaemon {
 public:
  static StatusOr<std::unique_ptr<WorkerDaemon>> Start(const WorkerOptions& options);
  virtual ~WorkerDaemon() = default;
  virtual void Drain() = 0;     // nothing new; children checkpoint and stop; reports, then returns
};

}  // namespace swage
