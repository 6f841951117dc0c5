// One attempt of a job on this worker, from its inputs to its prepared result: stage_inputs, the child process,
// upload, commit. Run blocks; Stop may be called from any thread at any time.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "base/env.h"
#include "base/telemetry/trace.h"
#include "services/kit/artifact_client.h"
#include "workers/daemon/input_cache.h"
#include "workers/daemon/slot.h"

namespace swage {

struct AttemptContext {  // what all attempts of a worker share
  Env* env = Env::Posix();
  std::string store_address, child_executable, trace_file;
  std::string scratch_dir;  // <data>/scratch
  int threads = 0;
  InputCache* cache = nullptr;
  Tracer* tracer = nullptr;  // may be null
  Clock* clock = Clock::Real();
  std::function<void(const AttemptToken&, const SlotProgress&)> progress;
  std::function<bool(const AttemptToken&)> may_commit;  // the lease holds and the attempt is still wanted
};

class Attempt {
 public:
  enum class StopKind { kNone, kUnwanted, kDrain };

  Attempt(const AttemptContext& context, Assignment assignment);
  ~Attempt();
  SlotOutcome Run();
  void Stop(StopKind kind);  // the first one counts
  const Assignment& assignment() const { return assignment_; }

 private:
  StatusOr<std::map<std::string, InputCache::Pin>> StageTexts();
  StatusOr<InputCache::Pin> StageModel();
  SlotOutcome RunChild(const std::string& request_line, bool* done);
  StatusOr<std::string> Publishable(const std::string& out_dir);
  StatusOr<std::string> PrepareScratch();
  void Report(const std::string& stage, double fraction, const std::string& message = "");
  Span StartSpan(std::string_view name, const SpanContext& parent);
  StopKind stop_kind();

  const AttemptContext& context_;
  const Assignment assignment_;
  ArtifactClient client_;
  Span span_;
  int wake_fd_ = -1;  // readable once stopped
  std::mutex mutex_;
  StopKind stop_ = StopKind::kNone;
  SlotProgress last_;  // of the run's own thread
};

// <scratch>/<tenant>.<job>: a job's scratch folder, kept over attempts so that a later one resumes.
std::string ScratchOf(const std::string& scratch_dir, const Assignment& assignment);

}  // namespace swage
