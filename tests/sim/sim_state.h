// The state store's server in simulated time. What can go wrong with it: it is away for a while, a
// node does not reach it, a write happens and is not confirmed or is lost and not refused, and a
// failover takes back what it acknowledged last.
//
// Loss window: a failover takes back the writes of at most the last kLossWindow, all of them from
// some moment on (a suffix), be they records, events or the count of incarnations.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <utility>

#include "tests/sim/checker.h"
#include "tests/sim/network.h"
#include "tests/sim/rewindable_state.h"

namespace swage::sim {

inline constexpr int64_t kLossWindow = kSecond;

enum class WriteFault { kNone, kLost, kUnconfirmed };  // both: the caller is told `unknown`

class SimState {
 public:
  SimState(World* world, Network* network, Checker* checker, NodeId node)
      : world_(world), network_(network), checker_(checker), node_(node) {}

  // A client of it on that node. Calls take no simulated time.
  std::shared_ptr<StateStore> Connect(NodeId from);
  void OnEvents(std::function<void()> wake) { wake_ = std::move(wake); }

  void SetDown(bool down) { down_ = down; }
  // The next write, of a leader or of a control plane.
  void FailNextWrite(bool of_leader, WriteFault fault) {
    (of_leader ? leader_fault_ : control_fault_) = fault;
  }
  void Failover(int64_t loss_nanos);
  // A failover the moment the next leader has been told its incarnation.
  void FailoverAtTakeover() { failover_at_takeover_ = true; }
  void Calm();  // the end of all faults

  RewindableState& records() { return state_; }  // what is true now
  uint64_t lost_writes() const { return lost_writes_; }

 private:
  class Link;
  ApplyResult Apply(const Transaction& transaction);
  void NoteChange();

  World* const world_;
  Network* const network_;
  Checker* const checker_;
  const NodeId node_;
  RewindableState state_;
  std::function<void()> wake_;
  bool down_ = false, failover_at_takeover_ = false;
  WriteFault leader_fault_ = WriteFault::kNone, control_fault_ = WriteFault::kNone;
  std::deque<std::pair<int64_t, uint64_t>> recent_;  // when, and the serial before the change
  uint64_t lost_writes_ = 0;
};

}  // namespace swage::sim
