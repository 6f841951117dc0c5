// A worker in simulated time: the daemon's own slot table and lease clock, with fake work. It
// crashes, is stopped and continued, is cut off, loses its disk, refuses work, has devices that
// fail, and its clock drifts.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/sim_scheduler.h"
#include "tests/sim/workload.h"
#include "workers/daemon/lease.h"
#include "workers/daemon/slot.h"

namespace swage::sim {

// As the scheduler knows it.
inline JobToken TokenOf(const AttemptToken& t) { return {t.incarnation, t.epoch, t.random}; }

struct WorkerShape {
  std::string id;
  NodeId node = 0;
  int slots = 1;
  std::vector<DeviceReport> devices;  // the host's memory first
  std::vector<std::string> methods, features;
};

struct WorkerWorld {  // what surrounds it
  World* world = nullptr;
  Network* network = nullptr;
  Checker* checker = nullptr;
  SimArtifacts* artifacts = nullptr;
  const Workload* workload = nullptr;
  std::vector<NodeId> schedulers;  // machines; whether a process runs there shows
  std::function<std::shared_ptr<SimScheduler>(NodeId)> scheduler_at;  // null: none
  std::shared_ptr<std::map<std::string, int>> checkpoints;  // digest -> steps that are done
};

class SimWorker {
 public:
  SimWorker(WorkerWorld around, WorkerShape shape);

  void Start();                              // a new boot
  void Crash(int64_t away, bool disk_lost);  // and starts again
  void Stop(int64_t nanos);                  // SIGSTOP, SIGCONT
  void FailNextAttempt(const std::string& reason) { next_failure_ = reason; }
  void RefuseFor(int64_t nanos);
  void SickenDevice(uint64_t number, int64_t nanos);
  // The next report that tells of an outcome arrives so late, and the worker stands still meanwhile.
  void HoldUpNextOutcome(int64_t nanos) { hold_up_ = nanos; }
  void Drift(double rate) { clock_.SetRate(rate); }
  void Calm();  // the end of all faults
  const std::string& id() const { return shape_.id; }
  size_t computing() const;

 private:
  struct Run {  // a process that exists, wanted or not
    Assignment assignment;
    bool computing = false;
    int steps_done = 0;
  };
  void Later(int64_t delay, std::function<void()> event);  // of this boot, and not while stopped
  void Call();
  void Answered(uint64_t sequence, const SimAnswer& answer);
  void Converge(const SyncAnswer& answer);
  void Execute(const SlotTable::Actions& actions);
  void WindDown(const SlotTable::WindDown& order);
  void Begin(const Assignment& assignment);
  void Compute(const AttemptToken& token);
  void Meet(const Assignment& gathered);
  void Work(const AttemptToken& token);
  void Done(const AttemptToken& token);
  void End(const AttemptToken& token, const SlotOutcome& outcome);
  void Upload(const AttemptToken& token, const std::string& artifact);
  void SendPrepare(const AttemptToken& token, const std::string& artifact,
                   const std::function<void()>& acknowledged);
  void WriteCheckpoint(const AttemptToken& token, const Run& run);
  void CheckMemory();
  void News();
  void CheckFence();
  const JobSpec& SpecOf(const Assignment& assignment) const;
  int64_t Now() { return clock_.MonotonicNanos(); }
  WorkerReport Report() const;

  const WorkerWorld around_;
  WorkerShape shape_;
  Rng rng_;
  SimClock clock_;
  const std::string name_;

  uint64_t boot_ = 0, sequence_ = 0, disks_ = 0, digests_ = 0;
  bool running_ = false;
  int64_t stopped_until_ = 0, refuses_until_ = 0;
  size_t target_ = 0;     // of around_.schedulers
  uint64_t in_call_ = 0;  // sequence of the call under way; 0: none
  bool news_due_ = false;
  std::string next_failure_;
  int64_t hold_up_ = 0;
  std::unique_ptr<SlotTable> table_;
  LeaseClock lease_;
  int64_t fenced_ = 0;
  std::map<AttemptToken, Run> runs_;
};

}  // namespace swage::sim
