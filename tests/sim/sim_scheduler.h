// A scheduler process in simulated time: the real core and the real take-over, with the leader's
// turn (see scheduler/server/leader.cc) laid out in events.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "scheduler/server/takeover.h"
#include "tests/sim/stores.h"
#include "tests/sim/world.h"

namespace swage::sim {

struct SimAnswer {
  bool ok = false, superseded = false;
  int64_t lease_ms = 0;
  std::vector<AssignmentOrder> assignments;
};
using Reply = std::function<void(const SimAnswer&)>;

class SimScheduler : public std::enable_shared_from_this<SimScheduler> {
 public:
  SimScheduler(World* world, std::string name, StateStore* state, SimArtifactStore* artifacts,
               int64_t lease_ms);

  void Start();
  void Kill() { alive_ = false; }  // everything it knew and had under way is gone
  bool alive() const { return alive_; }
  void Synchronize(const WorkerReport& report, Reply reply);
  void Wake();  // there may be new requests

 private:
  struct Held {
    Reply reply;
    int64_t until = 0;
  };
  void Later(int64_t delay,
             std::function<void(SimScheduler*)> event);  // only if it still lives then
  void TryToLead();
  void Turn();
  bool Apply(const CoreOutput& output);
  void ReadRequests();
  void Receive();
  void AnswerHeld();
  void Publish(const PublishOrder& order, uint64_t incarnation);
  void StepDown();
  void ScheduleTurn(int64_t delay);
  Now NowTime();

  World* const world_;
  const std::string name_;
  StateStore* const state_;
  SimArtifactStore* const artifacts_;
  const int64_t lease_ms_;
  SimClock clock_;
  bool alive_ = false;
  std::optional<Leadership> leader_;
  std::vector<std::pair<WorkerReport, Reply>> arrived_;
  std::vector<std::function<void()>> decided_;
  std::map<std::string, Held> held_;
  std::map<std::string, std::pair<int64_t, std::vector<DesiredSlot>>> said_;
  int64_t next_turn_ = INT64_MAX;
};

}  // namespace swage::sim
