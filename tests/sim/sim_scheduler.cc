#include "tests/sim/sim_scheduler.h"

namespace swage::sim {
namespace {

constexpr int64_t kHold = 3 * kSecond, kBusyHold = kSecond / 2, kRepeat = kSecond / 5;
constexpr double kDiesBeforeApply = 0.0005, kDiesAfterApply = 0.0005;

}  // namespace

SimScheduler::SimScheduler(World* world, std::string name, StateStore* state,
                           SimArtifactStore* artifacts, int64_t lease_ms)
    : world_(world),
      name_(std::move(name)),
      state_(state),
      artifacts_(artifacts),
      lease_ms_(lease_ms),
      clock_(world) {}

Now SimScheduler::NowTime() { return NowOf(&clock_); }

void SimScheduler::Later(int64_t delay, std::function<void(SimScheduler*)> event) {
  world_->After(delay, [weak = weak_from_this(), event = std::move(event)] {
    auto self = weak.lock();
    if (self != nullptr && self->alive_) event(self.get());
  });
}

void SimScheduler::Start() {
  alive_ = true;
  TryToLead();
}

void SimScheduler::TryToLead() {
  auto leadership =
      TakeOver(state_, artifacts_, lease_ms_,
               (static_cast<uint64_t>(world_->rng()()) << 32) | world_->rng()(), &clock_);
  if (!leadership.ok()) return Later(kSecond / 2, [](SimScheduler* s) { s->TryToLead(); });
  world_->Note(name_, " leads, incarnation ", leadership->incarnation);
  leader_ = std::move(*leadership);
  ScheduleTurn(0);
}

void SimScheduler::StepDown() {
  world_->Note(name_, " steps down");
  leader_.reset();
  held_.clear();
  arrived_.clear();
  decided_.clear();
  said_.clear();
  next_turn_ = INT64_MAX;
}

void SimScheduler::Synchronize(const WorkerReport& report, Reply reply) {
  if (!leader_.has_value()) return reply({});
  arrived_.emplace_back(report, std::move(reply));
  ScheduleTurn(kMillisecond);
}

void SimScheduler::Wake() {
  if (leader_.has_value()) ScheduleTurn(world_->Between(kMillisecond, 20 * kMillisecond));
}

void SimScheduler::ScheduleTurn(int64_t delay) {
  const int64_t at = world_->now() + std::max<int64_t>(0, delay);
  if (at >= next_turn_) return;
  next_turn_ = at;
  Later(at - world_->now(), [at](SimScheduler* s) {
    if (s->next_turn_ == at) s->Turn();
  });
}

void SimScheduler::Turn() {
  next_turn_ = INT64_MAX;
  if (!leader_.has_value()) return;
  const uint64_t incarnation = leader_->incarnation;
  ReadRequests();
  Receive();
  for (const auto& decision : std::exchange(decided_, {})) decision();
  if (!leader_.has_value()) return;
  leader_->core->Tick(NowTime());
  const CoreOutput output = leader_->core->TakeOutput(NowTime());
  if (world_->faults() && world_->Chance(kDiesBeforeApply)) {
    world_->CountFault();
    world_->Note(name_, " dies before its write");
    return Kill();
  }
  if (!Apply(output)) {
    StepDown();
    // Deposed: the process ends; the simulation starts another when it wants one.
    if (state_->CurrentIncarnation().value() > incarnation) return Kill();
    return Later(kSecond / 2, [](SimScheduler* s) {
      if (!s->leader_.has_value()) s->TryToLead();
    });
  }
  if (world_->faults() && world_->Chance(kDiesAfterApply)) {
    world_->CountFault();
    world_->Note(name_, " dies after its write");
    return Kill();
  }
  for (const PublishOrder& order : output.publishes) Publish(order, incarnation);
  AnswerHeld();
  int64_t next = leader_->core->NextDeadline(NowTime());
  for (const auto& [id, held] : held_) next = std::min(next, held.until);
  if (next != INT64_MAX) ScheduleTurn(next - world_->now());
}

bool SimScheduler::Apply(const CoreOutput& output) {
  if (output.writes.empty() && output.events.empty()) {
    return held_.empty() || state_->CurrentIncarnation().value() == leader_->incarnation;
  }
  Transaction t;
  t.incarnation = leader_->incarnation;
  for (const CoreWrite& w : output.writes) t.writes.push_back({w.key, w.expected_version, w.value});
  for (const CoreEvent& e : output.events) t.events.push_back({e.stream, e.value});
  const ApplyResult result = state_->Apply(t);
  if (result == ApplyResult::kConflict &&
      state_->CurrentIncarnation().value() == leader_->incarnation) {
    world_->Fail(Cat(name_, ": a write of the only leader conflicts"));
  }
  return result == ApplyResult::kOk;
}

void SimScheduler::ReadRequests() {
  const auto events = state_->ReadEvents(leader_->event_position, 1000).value();
  for (const StoredEvent& event : events) {
    leader_->event_position = event.sequence;
    if (event.stream != kRequestStream) continue;
    const auto record = state_->Get(event.value).value();
    if (!record.has_value()) continue;
    leader_->core->HandleRequest(event.value, record->version,
                                 RequestFromJson(record->value).value(), NowTime());
  }
  if (events.size() == 1000) ScheduleTurn(0);
}

void SimScheduler::Receive() {
  for (auto& [report, reply] : std::exchange(arrived_, {})) {
    world_->Note(name_, " hears ", report.worker_id, " call ", report.sequence, " slots ",
                 report.slots.size());
    if (!leader_->core->HandleReport(report, NowTime())) {
      reply({});
      continue;
    }
    auto held = held_.find(report.worker_id);
    if (held != held_.end()) held->second.reply({true, true, lease_ms_, {}});
    const int64_t hold =
        std::min(report.slots.empty() ? kHold : kBusyHold, lease_ms_ * kMillisecond / 3);
    held_[report.worker_id] = {reply, world_->now() + hold};
  }
}

void SimScheduler::AnswerHeld() {
  for (auto it = held_.begin(); it != held_.end();) {
    auto& [said_at, said] = said_[it->first];
    bool due = world_->now() >= it->second.until;
    if (!due && leader_->core->NeedsAnswer(it->first)) {
      due = world_->now() - said_at >= kRepeat || leader_->core->Desired(it->first) != said;
      if (!due) it->second.until = std::min(it->second.until, said_at + kRepeat);
    }
    if (!due) {
      ++it;
      continue;
    }
    const Reply reply = it->second.reply;
    SimAnswer answer{true, false, lease_ms_, leader_->core->Answer(it->first)};
    said_at = world_->now();
    said = leader_->core->Desired(it->first);
    world_->Note(name_, " tells ", it->first, " to run ", said.size());
    it = held_.erase(it);
    reply(answer);
  }
}

void SimScheduler::Publish(const PublishOrder& order, uint64_t incarnation) {
  // Over the network and back; the answer may be lost after the effect.
  world_->Send("store", [world = world_, artifacts = artifacts_, weak = weak_from_this(), order,
                         incarnation] {
    const auto decision = artifacts->Publish(order, incarnation, {});
    if (!decision.ok()) return;
    world->Send("store", [weak, order, decision = *decision, incarnation] {
      auto self = weak.lock();
      if (self == nullptr || !self->alive_ || !self->leader_.has_value() ||
          self->leader_->incarnation != incarnation)
        return;
      self->decided_.push_back([s = self.get(), order, decision] {
        s->leader_->core->HandlePublish(order, decision.outcome, decision.artifact,
                                        decision.message, s->NowTime());
      });
      self->ScheduleTurn(0);
    });
  });
  Later(2 * kSecond, [order, incarnation](SimScheduler* s) {
    if (!s->leader_.has_value() || s->leader_->incarnation != incarnation) return;
    const JobRecord* record = s->leader_->core->FindJob(order.tenant, order.job);
    const bool open =
        record != nullptr && record->state == JobState::kFinalizing && record->token == order.token;
    if (open) s->Publish(order, incarnation);
  });
}

}  // namespace swage::sim
