// A scheduler process in simulated time: the real core, the real take-over and the real held calls,
// with the leader's turn (scheduler/server/leader.cc) and its outbox laid out in events.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "scheduler/server/held_calls.h"
#include "scheduler/server/takeover.h"
#include "tests/sim/checker.h"
#include "tests/sim/network.h"
#include "tests/sim/sim_artifacts.h"
#include "tests/sim/sim_state.h"

namespace swage::sim {

struct SimAnswer {
  bool ok = false;  // false: refused, try another
  SyncAnswer answer;
};
using Reply = std::function<void(const SimAnswer&)>;

struct SchedulerPlace {  // the machine that a process runs on
  NodeId node = 0;
  SimClock* clock = nullptr;
  std::string name;
};

class SimScheduler : public std::enable_shared_from_this<SimScheduler> {
 public:
  SimScheduler(World* world, Network* network, Checker* checker, SimState* state,
               SimArtifacts* artifacts, const SchedulerPlace& place, uint64_t seed,
               const CoreOptions& options);

  void Start();  // takes leadership at once, as the real one does
  void Kill() { alive_ = false; }  // everything it knew and had under way is gone
  void Stop(int64_t nanos);        // SIGSTOP, SIGCONT
  void DieAtNextWrite(bool after) { (after ? dies_after_ : dies_before_) = true; }
  bool alive() const { return alive_; }
  bool leads() const { return alive_ && leader_.has_value(); }
  // An operator's wish, with the next turn.
  void Command(std::function<void(Core*, Now)> command);
  const Core* core() const { return leader_.has_value() ? leader_->core.get() : nullptr; }

  void Synchronize(const WorkerReport& report, Reply reply);
  void Wake();  // there may be new requests

 private:
  using Event = std::function<void(SimScheduler*)>;
  void Later(int64_t delay, Event event);  // if it still lives then; not while it is stopped
  void TryToLead();
  void Turn();
  void Receive();
  void ReadRequests();
  bool Apply(CoreOutput* output);
  bool StillLeads();
  void StepDown();
  void Standby(uint64_t seen_beat, int64_t seen_mono);
  void Publish(const PublishOrder& order, uint64_t incarnation);
  void PublishDecided(const PublishOrder& order, uint64_t incarnation,
                      const StatusOr<PublishDecision>& decision);
  void ScheduleTurn(int64_t delay);
  Status CompleteOrder(AssignmentOrder* order);
  void ClearAway(const std::vector<CoreOutput::Leftover>& leftovers);
  bool Dies(bool* armed, const char* when);
  Now NowTime() { return NowOf(place_.clock); }

  World* const world_;
  Network* const network_;
  Checker* const checker_;
  const SchedulerPlace place_;
  const NodeId artifacts_node_;
  const std::shared_ptr<StateStore> state_;
  const std::shared_ptr<ArtifactStore> artifacts_;
  const CoreOptions options_;
  const int64_t lease_ms_;
  Rng rng_;
  bool alive_ = false, dies_before_ = false, dies_after_ = false;
  int64_t stopped_until_ = 0;
  std::optional<Leadership> leader_;
  HeldCalls held_;
  std::vector<std::pair<WorkerReport, Reply>> arrived_;
  std::vector<std::function<void(Core*, Now)>> inputs_;
  int64_t next_turn_ = INT64_MAX, beat_mono_ = INT64_MIN / 2;
};

}  // namespace swage::sim
