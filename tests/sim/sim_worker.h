// A worker in simulated time: the daemon's own slot table and lease clock, with fake work. It
// crashes, is stopped and continued, and is cut off.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/sim/sim_scheduler.h"
#include "workers/daemon/lease.h"
#include "workers/daemon/slot.h"

namespace swage::sim {

using FindScheduler = std::function<std::shared_ptr<SimScheduler>()>;  // null: none answers

class SimWorker {
 public:
  SimWorker(World* world, Checker* checker, SimArtifactStore* artifacts, FindScheduler find,
            std::string id, uint64_t bytes, int slots);

  void Start();              // a new boot
  void Crash(int64_t away);  // and starts again
  void Stop(int64_t nanos);  // SIGSTOP, SIGCONT
  const std::string& id() const { return id_; }

 private:
  void Later(int64_t delay, std::function<void()> event);  // of this boot, and not while stopped
  void Call();
  void Answered(uint64_t sequence, const SimAnswer& answer);
  void Execute(const SlotTable::Actions& actions);
  void Begin(const Assignment& assignment);
  void Work(const AttemptToken& token, int steps_left, int64_t step);
  void End(const AttemptToken& token, const SlotOutcome& outcome);
  void Upload(const AttemptToken& token, const std::string& artifact);
  void News();
  void CheckFence();
  WorkerReport Report() const;

  World* const world_;
  Checker* const checker_;
  SimArtifactStore* const artifacts_;
  const FindScheduler find_;
  const std::string id_;
  const uint64_t bytes_;
  const int slots_;

  uint64_t boot_ = 0, sequence_ = 0;
  bool running_ = false;
  int64_t stopped_until_ = 0;
  uint64_t in_call_ = 0;  // sequence of the call under way; 0: none
  bool news_due_ = false;
  std::unique_ptr<SlotTable> table_;
  LeaseClock lease_;
  int64_t fenced_ = 0;
  std::map<AttemptToken, Assignment> runs_;  // processes that exist, wanted or not
};

}  // namespace swage::sim
