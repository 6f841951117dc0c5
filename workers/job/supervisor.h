// What every stage of a job shares: progress to the outside, cancellation, the memory limit, spans,
// measured times and peaks. For the engine's thread only.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "workers/job/engine.h"
#include "workers/job/progress_model.h"
#include "workers/report/report.h"

namespace swage {

class Supervisor {
 public:
  // Sets the limit of HostMemory, too: to what remains of it beside the process as it is now. One
  // supervisor with a limit at a time.
  Supervisor(const EngineHooks& hooks, uint64_t memory_limit_bytes, const SpanContext& parent);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  ProgressModel& plan() { return plan_; }
  // Reports the stage, lingers where SWAGE_HOLD says so, and starts its span and measurements.
  Status Begin(const std::string& stage, const std::string& message = {});
  StageReport End(const Status& status);
  // Figures of the running stage so far.
  StageReport Measure() const;
  // CANCELLED, CANCELLED/STOPPED (not within a block), or RESOURCE_EXHAUSTED: OOM_REAL for the
  // process, MEMORY_LIMIT for its buffers; cheap enough to be asked after every micro-batch.
  Status Check();
  // Part of the running stage in [0, 1]; reports at most ten times a second.
  void Advance(double part);
  void SetAttribute(const std::string& key, const std::string& value);  // of the stage's span

  uint64_t peak_bytes() const { return peak_bytes_; }

 private:
  void Report(const std::string& message);
  Status CheckStopping() const;

  const EngineHooks& hooks_;
  uint64_t memory_limit_bytes_;
  SpanContext parent_;
  Clock* clock_;
  ProgressModel plan_;
  std::string stage_;
  Span span_;
  int64_t begun_ = 0, last_report_ = 0, last_memory_ = 0;
  uint64_t peak_bytes_ = 0;
};

}  // namespace swage
