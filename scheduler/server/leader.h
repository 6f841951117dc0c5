// The leader: drives scheduler/core with requests from the event log, with workers' calls and with
// the store's decisions; applies what it decides; only then lets it take effect. No gRPC here.
//
//   one thread decides    (inputs -> core -> Apply -> answers, publishing), in batches
//   one thread follows    the event log and brings requests
//   the outbox's threads  publish
// Thread-safe.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/telemetry/trace.h"
#include "scheduler/core/core.h"
#include "scheduler/server/artifact_store.h"
#include "scheduler/server/held_calls.h"
#include "scheduler/server/outbox.h"
#include "scheduler/server/takeover.h"
#include "scheduler/state/state_store.h"

namespace swage {

struct LeaderOptions {
  std::shared_ptr<StateStore> state;
  ArtifactStore* artifacts = nullptr;
  int64_t lease_ms = limits::kLeaseMs;
  Clock* clock = Clock::Real();
  Tracer* tracer = nullptr;
};

struct LeaderStats {
  uint64_t incarnation = 0, passes = 0, assigned = 0;
  double last_pass_seconds = 0, longest_pass_seconds = 0;
  double wait_p50_seconds = 0, wait_p99_seconds = 0;  // of the last kWaitsKept assigned
};

class Leader {
 public:
  explicit Leader(const LeaderOptions& options);  // starts at once
  ~Leader();

  // Held until the worker's desired state differs from the report, or its time is up.
  void Synchronize(WorkerReport report, std::unique_ptr<HeldCall> call);
  // Looks at the core; UNAVAILABLE/NOT_LEADER when there is none.
  Status Look(const std::function<Status(const Core&, Now)>& look);
  // Changes something; returns when that is durable.
  Status Command(const std::function<Status(Core&, Now)>& command);
  LeaderStats Stats();
  uint64_t incarnation();  // 0: not leading
  void Stop();             // refuses what is held

 private:
  using Input = std::function<void(Core&, Now)>;
  struct Arrived {
    WorkerReport report;
    std::unique_ptr<HeldCall> call;
  };

  void Run();
  void Standby();                    // until the other leader is silent
  void Lead(Leadership leadership);  // returns when leadership is over
  bool Turn(uint64_t incarnation);   // one batch; false: leadership is over
  void Receive(Now now);             // calls that have arrived, into the core
  bool ApplyOutput(const CoreOutput& output, uint64_t incarnation, Now now);
  void Beat(CoreOutput* output, Now now, uint64_t incarnation);
  void Record(const CoreSpan& span);
  void CountPass(const CoreOutput& output, double seconds);
  Status CompleteOrder(AssignmentOrder* order);  // with its spec, from the store
  void ClearAway(const std::vector<CoreOutput::Leftover>& leftovers);
  void WaitForWork();
  void Follow(uint64_t position);  // the following thread
  Status BringNews(const std::vector<StoredEvent>& events);
  void PushInput(Input input);
  void PublishDecided(const PublishOrder& order, const StatusOr<PublishDecision>& decision);
  void RefuseAll(const Status& status);
  void Pause(int ms);  // or until stopped

  const LeaderOptions options_;

  std::mutex core_mu_;  // core_; taken after mu_ is let go, never before
  std::unique_ptr<Core> core_;

  std::mutex mu_;  // all below, up to the threads
  std::condition_variable changed_;
  bool stopping_ = false, following_ = false, deposed_ = false;
  bool accepting_ = true;  // calls may wait for leadership to begin
  uint64_t incarnation_ = 0;
  LeaderStats stats_;
  std::deque<double> waits_;
  std::deque<Input> inputs_;
  size_t pages_ = 0;  // of requests among them
  std::map<std::string, Arrived> arrived_;  // the newest call of each worker

  // The deciding thread's own.
  HeldCalls held_;
  std::map<std::string, SpecRecord> specs_;  // of jobs lately assigned
  std::vector<std::function<void(bool)>> after_apply_;
  uint64_t requests_handled_ = 0, requests_trimmed_ = 0;  // of the request stream
  uint64_t beat_version_ = 0;
  int64_t beat_mono_ = 0;

  std::unique_ptr<Outbox> outbox_;
  std::thread thread_;
};

}  // namespace swage
