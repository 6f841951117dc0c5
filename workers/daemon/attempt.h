// One attempt of a job on this worker, from its inputs to its prepared result: stage_inputs, the child process,
// upload, commit. Run blocks; Stop, WindDown and Go may be called from any thread at any time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/env.h"
#include "base/limits.h"
#include "base/telemetry/trace.h"
#include "services/kit/artifact_client.h"
#include "workers/daemon/checkpoint_share.h"
#include "workers/daemon/child_process.h"
#include "workers/daemon/input_cache.h"
#include "workers/daemon/share_pace.h"
#include "workers/daemon/slot.h"
#include "workers/job/engine.h"

namespace swage {

struct AttemptContext {  // what all attempts of a worker share
  Env* env = Env::Posix();
  std::string store_address, child_executable, trace_file;
  std::string scratch_dir;  // <data>/scratch
  int threads = 0;
  bool share_checkpoints = true;
  int64_t share_every_ms = limits::kCheckpointShareMs;
  InputCache* cache = nullptr;
  Tracer* tracer = nullptr;  // may be null
  Clock* clock = Clock::Real();
  std::function<std::string(const Assignment&)> refusal;  // "" = there is room; may take a while
  std::function<void(const AttemptToken&, const SlotProgress&)> progress;
  std::function<void(const AttemptToken&, const std::string& artifact)> checkpointed;
  std::function<void(const AttemptToken&, const std::string& said)> rendezvous;  // how its gang's others reach it
  std::function<bool(const AttemptToken&)> may_commit;  // the lease holds and the attempt is still wanted
};

class Attempt {
 public:
  Attempt(const AttemptContext& context, Assignment assignment);
  ~Attempt();
  SlotOutcome Run();
  void Stop();  // at once
  // With a checkpoint of the block under way; after `grace_ms` the child is killed. The outcome's reason is `reason`.
  void WindDown(const std::string& reason, int64_t grace_ms);
  void Go(const Assignment& complete);  // the gang is
  void Met(const Assignment& gathered);  // its members have all said how they are reached
  const AttemptToken& token() const { return assignment_.token; }
  const Assignment& assignment() const { return assignment_; }
  pid_t child_pid() const { return child_pid_.load(); }  // -1: none runs

 private:
  struct Control {
    bool stop = false, wind_down = false, go = false;
    std::string reason;
    int64_t grace_ms = 0;
    std::vector<std::string> peers, rendezvous;
  };
  // Of the whole job's work, what has been done when the child starts, when it ends, and when all is uploaded.
  static constexpr double kStaged = 0.02, kComputed = 0.95, kUploaded = 0.99;
  struct Deadline {  // what a child was told, and when it must have ended
    bool stop_said = false, wind_down_said = false, met_said = false;
    int64_t kill_at = INT64_MAX;
  };
  SlotOutcome Work();
  StatusOr<std::map<std::string, InputCache::Pin>> StageTexts();
  StatusOr<InputCache::Pin> StageModel();
  StatusOr<EngineRequest> MakeRequest(const std::string& model_dir, const std::map<std::string, InputCache::Pin>& texts,
                                      const SpanContext& parent);
  Status AwaitGang();
  // attempt_child.cc
  SlotOutcome RunChild(const std::string& request_line, bool* done);
  bool Hear(ChildProcess* child, const std::string& line, bool* done, SlotOutcome* failure);
  void SayControl(ChildProcess* child, Deadline* deadline);
  void NoteProgress(const Progress& progress);
  void ShareInBackground();
  void ShareCheckpoint();

  StatusOr<std::string> Publishable(const std::string& out_dir);
  StatusOr<std::string> PrepareScratch();
  void Report(const std::string& stage, double fraction, const std::string& message = "");
  Span StartSpan(std::string_view name, const SpanContext& parent);
  Control control();
  bool Wanted();
  void Wake();

  const AttemptContext& context_;
  const Assignment assignment_;
  ArtifactClient client_;
  Span span_;
  int wake_fd_ = -1;  // readable once control_ has changed
  std::atomic<pid_t> child_pid_{-1};
  std::mutex mutex_;
  std::condition_variable changed_;
  Control control_;

  // Of the run's own thread.
  SlotProgress last_;
  CheckpointShare share_;
  SharePace pace_;
  std::thread sharing_;
  std::atomic<bool> shared_{true};  // the thread has nothing to do any more
};

// <scratch>/<tenant>.<job>: a job's scratch folder, kept over attempts so that a later one resumes.
std::string ScratchOf(const std::string& scratch_dir, const Assignment& assignment);

}  // namespace swage
