// The worker daemon: the Synchronize loop, slots, staging of inputs, child processes, upload of results, hand-over of
// checkpoints, health of the devices. No gRPC in this header.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/limits.h"
#include "base/status.h"
#include "base/telemetry/trace.h"

namespace swage {

struct WorkerOptions {
  std::string data_dir;           // worker id, cache of staged inputs, scratch of jobs
  std::string scheduler_address;
  std::string store_address;
  std::string child_executable;   // run as: child_executable __job, with fd 3; usually /proc/self/exe
  std::string trace_file;         // handed to the child
  std::string address = {};       // where the other members of a gang reach this machine; "" = nowhere
  int slots = 1;
  int threads_per_job = 0;        // 0: cores / slots
  uint64_t memory_bytes = 0;      // for all jobs; 0: 80 % of the machine's, or of its control group's
  std::vector<std::string> devices = {};  // accelerators by id or kind; empty: all; {"none"}
  // Drain: how long running jobs may go on before they are stopped with a checkpoint; -1: to their end.
  int drain_seconds = 0;
  int64_t drain_grace_ms = limits::kStopGraceMs;  // for that checkpoint
  bool share_checkpoints = true;  // with other workers, through the store
  int64_t share_every_ms = limits::kCheckpointShareMs;
  int64_t self_test_every_ms = limits::kSelfTestMs;
  Clock* clock = Clock::Real();
  Tracer* tracer = nullptr;
};

class WorkerDaemon {
 public:
  static StatusOr<std::unique_ptr<WorkerDaemon>> Start(const WorkerOptions& options);
  virtual ~WorkerDaemon() = default;  // stops at once
  virtual std::string worker_id() const = 0;
  virtual void Drain() = 0;     // nothing new; what runs ends as the options say; reports, then returns
};

}  // namespace swage
