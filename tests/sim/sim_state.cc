#include "tests/sim/sim_state.h"

namespace swage::sim {

// One node's connection. A call that does not arrive fails; one whose answer does not come back has
// happened.
class SimState::Link : public StateStore {
 public:
  Link(SimState* server, NodeId from) : server_(server), from_(from) {}

  ApplyResult Apply(const Transaction& transaction) override {
    if (!Arrives()) return ApplyResult::kUnknown;
    const ApplyResult result = server_->Apply(transaction);
    return Returns() ? result : ApplyResult::kUnknown;
  }
  StatusOr<std::optional<Record>> Get(const std::string& key) override {
    SWAGE_RETURN_IF_ERROR(Usable());
    return server_->state_.Get(key);
  }
  StatusOr<std::vector<std::optional<Record>>> MultiGet(
      const std::vector<std::string>& keys) override {
    SWAGE_RETURN_IF_ERROR(Usable());
    return server_->state_.MultiGet(keys);
  }
  StatusOr<std::vector<Record>> Scan(const std::string& prefix, const std::string& after,
                                     size_t limit) override {
    SWAGE_RETURN_IF_ERROR(Usable());
    return server_->state_.Scan(prefix, after, limit);
  }
  StatusOr<std::vector<Record>> ScanBack(const std::string& prefix, const std::string& before,
                                         size_t limit) override {
    SWAGE_RETURN_IF_ERROR(Usable());
    return server_->state_.ScanBack(prefix, before, limit);
  }
  StatusOr<std::vector<StoredEvent>> ReadEvents(uint64_t after, size_t limit) override {
    SWAGE_RETURN_IF_ERROR(Usable());
    return server_->state_.ReadEvents(after, limit);
  }
  StatusOr<std::vector<StoredEvent>> ReadStream(const std::string& stream, uint64_t after,
                                                size_t limit) override {
    SWAGE_RETURN_IF_ERROR(Usable());
    return server_->state_.ReadStream(stream, after, limit);
  }
  StatusOr<uint64_t> WaitForEvents(uint64_t after, int timeout_ms) override {
    SWAGE_RETURN_IF_ERROR(Usable());
    return server_->state_.WaitForEvents(after, timeout_ms);
  }
  StatusOr<uint64_t> TakeLeadership(uint64_t at_least) override {
    if (!Arrives()) return Unavailable("DOWN", "the state store does not answer");
    auto incarnation = server_->state_.TakeLeadership(at_least);
    server_->NoteChange();
    if (server_->failover_at_takeover_) {
      server_->failover_at_takeover_ = false;
      server_->Failover(0);
    }
    if (!Returns()) return Unavailable("DOWN", "the state store does not answer");
    return incarnation;
  }
  StatusOr<uint64_t> CurrentIncarnation() override {
    SWAGE_RETURN_IF_ERROR(Usable());
    return server_->state_.CurrentIncarnation();
  }

 private:
  bool Arrives() const {
    return !server_->down_ && server_->network_->Reaches(from_, server_->node_);
  }
  bool Returns() const { return server_->network_->Reaches(server_->node_, from_); }
  Status Usable() const {
    if (Arrives() && Returns()) return absl::OkStatus();
    return Unavailable("DOWN", "the state store does not answer");
  }

  SimState* const server_;
  const NodeId from_;
};

std::shared_ptr<StateStore> SimState::Connect(NodeId from) {
  return std::make_shared<Link>(this, from);
}

ApplyResult SimState::Apply(const Transaction& transaction) {
  WriteFault& armed = transaction.incarnation != 0 ? leader_fault_ : control_fault_;
  const WriteFault fault = std::exchange(armed, WriteFault::kNone);
  if (fault != WriteFault::kNone) {
    world_->Note("the state store ", fault == WriteFault::kLost ? "loses" : "does not confirm",
                 " a write");
  }
  if (fault == WriteFault::kLost) return ApplyResult::kUnknown;
  const ApplyResult result = state_.Apply(transaction);
  if (result != ApplyResult::kOk) return result;
  NoteChange();
  checker_->Applied(state_.serial() - 1, transaction);
  if (!transaction.events.empty() && wake_) wake_();
  return fault == WriteFault::kUnconfirmed ? ApplyResult::kUnknown : result;
}

void SimState::NoteChange() {
  recent_.emplace_back(world_->now(), state_.serial() - 1);
  while (recent_.front().first < world_->now() - kLossWindow) recent_.pop_front();
  state_.Forget(recent_.front().second);
  checker_->Forget(recent_.front().second);
}

void SimState::Failover(int64_t loss_nanos) {
  const uint64_t before = state_.serial();
  uint64_t keep = before;
  while (!recent_.empty() && recent_.back().first >= world_->now() - loss_nanos) {
    keep = recent_.back().second;
    recent_.pop_back();
  }
  world_->Note("the state store fails over and loses its last ", before - keep, " writes");
  lost_writes_ += before - keep;
  state_.RewindTo(keep);
  checker_->Rewound(keep);
}

void SimState::Calm() {
  down_ = failover_at_takeover_ = false;
  leader_fault_ = control_fault_ = WriteFault::kNone;
}

}  // namespace swage::sim
