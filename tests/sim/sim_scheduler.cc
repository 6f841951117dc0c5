#include "tests/sim/sim_scheduler.h"

#include <algorithm>
#include <utility>

namespace swage::sim {
namespace {

constexpr int64_t kRetry = kSecond / 10, kPublishRetry = 2 * kSecond;
// As in leader.cc.
constexpr int kBeatsPerLease = 6, kLooksPerLease = 20, kSilentPart = 2;
constexpr size_t kEventPage = 1000;

class SimCall : public HeldCall {
 public:
  explicit SimCall(Reply reply) : reply_(std::move(reply)) {}
  void Answer(const SyncAnswer& answer) override { reply_({true, answer}); }
  void Refuse(const Status&) override { reply_({}); }

 private:
  const Reply reply_;
};

}  // namespace

SimScheduler::SimScheduler(World* world, Network* network, Checker* checker, SimState* state,
                           SimArtifacts* artifacts, const SchedulerPlace& place, uint64_t seed,
                           const CoreOptions& options)
    : world_(world),
      network_(network),
      checker_(checker),
      place_(place),
      artifacts_node_(artifacts->node()),
      state_(state->Connect(place.node)),
      artifacts_(artifacts->Connect(place.node)),
      options_(options),
      lease_ms_(options.lease_ms),
      rng_(world->Stream(Cat(place.name, " ", seed))),
      held_(options.lease_ms) {}

void SimScheduler::Later(int64_t delay, Event event) {
  world_->After(delay, [weak = weak_from_this(), event = std::move(event)] {
    const auto self = weak.lock();
    if (self == nullptr || !self->alive_) return;
    const int64_t wait = self->stopped_until_ - self->world_->now();
    if (wait > 0) return self->Later(wait, event);
    event(self.get());
  });
}

void SimScheduler::Start() {
  alive_ = true;
  TryToLead();
}

void SimScheduler::Stop(int64_t nanos) {
  world_->Note(place_.name, " is stopped for ", nanos / kMillisecond, " ms");
  stopped_until_ = std::max(stopped_until_, world_->now() + nanos);
}

void SimScheduler::TryToLead() {
  const uint64_t seed = (static_cast<uint64_t>(rng_()) << 32) | rng_();
  auto leadership = TakeOver(state_.get(), artifacts_.get(), options_, seed, place_.clock);
  if (!leadership.ok()) return Later(kRetry, [](SimScheduler* s) { s->TryToLead(); });
  world_->Note(place_.name, " leads, incarnation ", leadership->incarnation);
  checker_->Leads(leadership->incarnation);
  leader_ = std::move(*leadership);
  beat_mono_ = INT64_MIN / 2;
  ScheduleTurn(0);
}

void SimScheduler::StepDown() {
  const uint64_t mine = leader_->incarnation;
  world_->Note(place_.name, " steps down");
  leader_.reset();
  for (const auto& [report, reply] : std::exchange(arrived_, {})) reply({});
  held_.RefuseAll(absl::OkStatus());
  inputs_.clear();
  next_turn_ = INT64_MAX;
  const auto stored = state_->CurrentIncarnation();
  if (stored.ok() && *stored > mine) return Standby(0, place_.clock->MonotonicNanos());
  Later(kRetry, [](SimScheduler* s) { s->TryToLead(); });
}

// Another one leads, and is left in peace as long as it shows signs of life.
void SimScheduler::Standby(uint64_t seen_beat, int64_t seen_mono) {
  const int64_t now = place_.clock->MonotonicNanos();
  if (now - seen_mono > lease_ms_ * kMillisecond / kSilentPart) return TryToLead();
  const int64_t look = std::max<int64_t>(lease_ms_ / kLooksPerLease, 10) * kMillisecond;
  Later(look, [seen_beat, seen_mono](SimScheduler* s) {
    const auto beat = s->state_->Get(std::string(kBeatKey));
    if (!beat.ok()) return s->Standby(seen_beat, s->place_.clock->MonotonicNanos());
    const uint64_t version = beat->has_value() ? (*beat)->version : seen_beat;
    const bool alive = version != seen_beat;
    s->Standby(version, alive ? s->place_.clock->MonotonicNanos() : seen_mono);
  });
}

void SimScheduler::Synchronize(const WorkerReport& report, Reply reply) {
  if (stopped_until_ > world_->now()) {  // it lies in the socket
    return Later(0, [report, reply](SimScheduler* s) { s->Synchronize(report, reply); });
  }
  if (!leader_.has_value()) return reply({});
  arrived_.emplace_back(report, std::move(reply));
  ScheduleTurn(kMillisecond);
}

void SimScheduler::Wake() {
  if (leads()) ScheduleTurn(Between(&rng_, kMillisecond, 20 * kMillisecond));
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
  const Now now = NowTime();
  ReadRequests();
  for (const auto& input : std::exchange(inputs_, {})) input(leader_->core.get(), now);
  Receive();
  leader_->core->Tick(now);
  CoreOutput output = leader_->core->TakeOutput(now);
  if (!Apply(&output)) {
    if (alive_) StepDown();
    return;
  }
  for (const PublishOrder& order : output.publishes) Publish(order, incarnation);
  ClearAway(output.leftovers);
  held_.AnswerDue(leader_->core.get(), now,
                  [this](AssignmentOrder* order) { return CompleteOrder(order); });
  int64_t next = std::min(leader_->core->NextDeadline(now), held_.Deadline());
  next = std::min(next, beat_mono_ + lease_ms_ * kMillisecond / kBeatsPerLease);
  ScheduleTurn(next - now.mono_nanos);
}

void SimScheduler::Command(std::function<void(Core*, Now)> command) {
  if (!leads()) return;
  inputs_.push_back(std::move(command));
  ScheduleTurn(kMillisecond);
}

Status SimScheduler::CompleteOrder(AssignmentOrder* order) {
  SWAGE_ASSIGN_OR_RETURN(const auto record, state_->Get(SpecKey(order->tenant, order->job)));
  if (!record.has_value()) {
    // Forgotten by a failover together with the job, which this leader is about to notice; or lost.
    if (checker_->jobs().contains(JobKey(order->tenant, order->job)))
      world_->Fail("G1", Cat(order->job, " is assigned, and its spec is lost"));
    return DataLoss("SPEC_MISSING", "no spec");
  }
  SWAGE_ASSIGN_OR_RETURN(order->spec, SpecRecordFromJson(record->value));
  return absl::OkStatus();
}

void SimScheduler::ClearAway(const std::vector<CoreOutput::Leftover>& leftovers) {
  for (const auto& [key, job_id] : leftovers) {
    const auto record = state_->Get(key);
    if (!record.ok() || !record->has_value()) continue;
    if (!job_id.empty() && RequestIdFromJson((*record)->value)->job_id != job_id) continue;
    Transaction t;
    t.writes.push_back({key, (*record)->version, std::nullopt});
    (void)state_->Apply(t);
  }
}

bool SimScheduler::Dies(bool* armed, const char* when) {
  if (!std::exchange(*armed, false)) return false;
  world_->Note(place_.name, " dies ", when, " its write");
  Kill();
  return true;
}

// The beat goes with each write: its version tells the leader at its next write when the state
// store has failed over and lost some of them.
bool SimScheduler::Apply(CoreOutput* output) {
  const Now now = NowTime();
  const bool writes = !output->writes.empty() || !output->events.empty();
  if (!writes && now.mono_nanos - beat_mono_ < lease_ms_ * kMillisecond / kBeatsPerLease)
    return held_.empty() || StillLeads();
  beat_mono_ = now.mono_nanos;
  output->writes.push_back({std::string(kBeatKey), leader_->beat_version++, "{}"});
  Transaction t;
  t.incarnation = leader_->incarnation;
  for (const CoreWrite& w : output->writes)
    t.writes.push_back({w.key, w.expected_version, w.value});
  for (const CoreEvent& e : output->events) t.events.push_back({e.stream, e.value});
  for (const std::string& stream : output->dropped_streams)
    t.trims.push_back({stream, kWholeStream});
  if (Dies(&dies_before_, "before")) return false;
  const ApplyResult result = state_->Apply(t);
  if (Dies(&dies_after_, "after")) return false;
  return result == ApplyResult::kOk;
}

// A leader that was deposed without noticing would tell workers to drop what its successor gave.
bool SimScheduler::StillLeads() {
  const auto stored = state_->CurrentIncarnation();
  return stored.ok() && *stored == leader_->incarnation;
}

void SimScheduler::ReadRequests() {
  const auto events = state_->ReadEvents(leader_->event_position, kEventPage);
  if (!events.ok()) return;
  for (const StoredEvent& event : *events) {
    if (const std::string key = NewsKey(event); !key.empty()) {
      const auto record = state_->Get(key);
      if (!record.ok()) return;
      if (record->has_value()) NewsFrom(**record).value()(*leader_->core, NowTime());
    }
    leader_->event_position = event.sequence;
  }
  if (events->size() == kEventPage) ScheduleTurn(0);
}

void SimScheduler::Receive() {
  for (auto& [report, reply] : std::exchange(arrived_, {})) {
    const Now now = NowTime();
    if (!leader_->core->HandleReport(report, now)) {
      reply({});
      continue;
    }
    held_.Hold(report, std::make_unique<SimCall>(reply), now);
  }
}

// Over the network and back; the answer may be lost after the effect.
void SimScheduler::Publish(const PublishOrder& order, uint64_t incarnation) {
  network_->Send(place_.node, artifacts_node_, [network = network_, artifacts = artifacts_,
                                                place = place_, to = artifacts_node_,
                                                weak = weak_from_this(), order, incarnation] {
    const auto decision = artifacts->Publish(order, incarnation, {});
    network->Send(to, place.node, [weak, order, incarnation, decision] {
      const auto self = weak.lock();
      if (self == nullptr) return;
      self->Later(0, [order, incarnation, decision](SimScheduler* s) {
        s->PublishDecided(order, incarnation, decision);
      });
    });
  });
  Later(kPublishRetry, [order, incarnation](SimScheduler* s) {
    if (!s->leads() || s->leader_->incarnation != incarnation) return;
    const JobRecord* record = s->leader_->core->FindJob(order.tenant, order.job);
    const bool open =
        record != nullptr && record->state == JobState::kFinalizing && record->token == order.token;
    if (open) s->Publish(order, incarnation);
  });
}

void SimScheduler::PublishDecided(const PublishOrder& order, uint64_t incarnation,
                                  const StatusOr<PublishDecision>& decision) {
  if (!leads() || leader_->incarnation != incarnation) return;
  if (!decision.ok()) {
    if (ReasonOf(decision.status()) == "STALE_LEADER") StepDown();
    return;
  }
  inputs_.push_back([order, decision = *decision](Core* core, Now now) {
    core->HandlePublish(order, decision.outcome, decision.artifact, decision.message, now);
  });
  ScheduleTurn(0);
}

}  // namespace swage::sim
