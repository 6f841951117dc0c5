#include "tests/sim/sim_worker.h"

#include "base/digest.h"

namespace swage::sim {
namespace {

constexpr int64_t kCallTimeout = 6 * kSecond, kCallRetry = kSecond / 5;

JobToken Of(const AttemptToken& t) { return {t.incarnation, t.epoch, t.random}; }

Assignment Of(const AssignmentOrder& order) {
  Assignment a;
  a.tenant = order.tenant;
  a.job = order.job;
  a.token = {order.token.incarnation, order.token.epoch, order.token.random};
  a.memory_limit_bytes = order.memory_limit_bytes;
  a.attempt = order.attempt;
  return a;
}

}  // namespace

SimWorker::SimWorker(World* world, Checker* checker, SimArtifactStore* artifacts,
                     FindScheduler find, std::string id, uint64_t bytes, int slots)
    : world_(world),
      checker_(checker),
      artifacts_(artifacts),
      find_(std::move(find)),
      id_(std::move(id)),
      bytes_(bytes),
      slots_(slots) {}

void SimWorker::Later(int64_t delay, std::function<void()> event) {
  world_->After(delay, [this, boot = boot_, event = std::move(event)] {
    if (boot != boot_ || !running_) return;
    if (world_->now() < stopped_until_) return Later(stopped_until_ - world_->now(), event);
    event();
  });
}

void SimWorker::Start() {
  ++boot_;
  running_ = true;
  sequence_ = in_call_ = 0;
  news_due_ = false;
  fenced_ = 0;
  table_ = std::make_unique<SlotTable>(slots_);
  lease_ = {};
  runs_.clear();
  Call();
}

void SimWorker::Crash(int64_t away) {
  if (!running_) return;
  world_->Note(id_, " crashes");
  running_ = false;
  world_->After(away, [this] { Start(); });
}

void SimWorker::Stop(int64_t nanos) {
  if (!running_) return;
  world_->Note(id_, " is stopped for ", nanos / kMillisecond, " ms");
  stopped_until_ = std::max(stopped_until_, world_->now() + nanos);
}

WorkerReport SimWorker::Report() const {
  WorkerReport report;
  report.worker_id = id_;
  report.boot_id = Cat("boot", boot_);
  report.sequence = sequence_;
  report.slot_count = slots_;
  report.methods = {"rtn/1"};
  report.devices = {{"cpu0", "cpu", "", bytes_}};
  for (const auto& [token, slot] : table_->slots()) {
    SlotReport& out = report.slots.emplace_back();
    out.tenant = slot.assignment.tenant;
    out.job = slot.assignment.job;
    out.token = Of(token);
    out.progress = {slot.progress.stage, "", slot.progress.fraction, -1, slot.progress.peak_bytes};
    if (slot.state == SlotState::kReporting) {
      out.outcome = OutcomeReport{slot.outcome.manifest_digest, slot.outcome.reason, ""};
    }
  }
  return report;
}

void SimWorker::Call() {
  in_call_ = ++sequence_;
  news_due_ = false;
  lease_.Sent(world_->now());
  const uint64_t sequence = sequence_;
  const auto reply = [this, sequence, boot = boot_](const SimAnswer& answer) {
    world_->Send(id_, [this, sequence, boot, answer] {
      if (boot == boot_) Later(0, [this, sequence, answer] { Answered(sequence, answer); });
    });
  };
  world_->Send(id_,
               [this, find = find_, report = Report(), reply, sent = world_->now(), boot = boot_] {
                 // A call that was given up is cancelled on the connection that carries it: what is
                 // heard of it is heard soon.
                 const bool given_up = boot == boot_ && in_call_ != report.sequence;
                 if (given_up && world_->now() - sent > kSecond) return;
                 auto scheduler = find();
                 if (scheduler != nullptr) scheduler->Synchronize(report, reply);
               });
  Later(kCallTimeout, [this, sequence] {
    if (in_call_ == sequence) Answered(sequence, {});
  });
}

void SimWorker::Answered(uint64_t sequence, const SimAnswer& answer) {
  if (in_call_ != sequence) return;  // a call that was given up
  in_call_ = 0;
  if (!answer.ok) {
    Later(kCallRetry, [this] {
      if (in_call_ == 0) Call();
    });
    return;
  }
  if (!answer.superseded && lease_.Answered(answer.lease_ms, world_->now())) {
    std::vector<Assignment> desired;
    for (const AssignmentOrder& order : answer.assignments) desired.push_back(Of(order));
    Execute(table_->Converge(desired));
    Later(lease_.fence_at() - world_->now(), [this] { CheckFence(); });
  }
  if (in_call_ == 0) Call();
}

void SimWorker::CheckFence() {
  if (table_->slots().empty() || lease_.fence_at() == 0 || fenced_ == lease_.fence_at()) return;
  if (world_->now() < lease_.fence_at()) return;
  fenced_ = lease_.fence_at();
  world_->Note(id_, " fences itself");
  Execute(table_->Fence());
}

// Cuts the call under way short to tell news, as the daemon does.
void SimWorker::News() {
  if (in_call_ == 0 || news_due_) return;
  const int64_t at = lease_.MayInterruptAt();
  if (at == INT64_MAX) return;
  news_due_ = true;
  Later(std::max<int64_t>(0, at - world_->now()), [this, sequence = in_call_] {
    if (in_call_ == sequence) Call();
  });
}

void SimWorker::Execute(const SlotTable::Actions& actions) {
  for (const AttemptToken& token : actions.stop) {
    Later(world_->Between(5 * kMillisecond, kSecond / 2), [this, token] { End(token, {}); });
  }
  for (const Assignment& assignment : actions.start) Begin(assignment);
  if (!actions.start.empty() || !actions.stop.empty()) News();
}

void SimWorker::Begin(const Assignment& assignment) {
  world_->Note(id_, " starts ", assignment.job, " epoch ", assignment.token.epoch);
  checker_->Started(id_, JobKey(assignment.tenant, assignment.job), Of(assignment.token));
  runs_[assignment.token] = assignment;
  uint64_t reserved = 0;
  for (const auto& [token, run] : runs_) reserved += run.memory_limit_bytes;
  if (reserved > bytes_) {
    for (const auto& [token, run] : runs_) {
      world_->Note(id_, " has ", run.job, " epoch ", token.epoch, " with ", run.memory_limit_bytes,
                   " bytes");
    }
  }
  if (reserved > bytes_) world_->Fail(Cat(id_, " runs jobs of ", reserved, " bytes on ", bytes_));
  const int steps = static_cast<int>(world_->Between(2, 5));
  // Most are short, some outlast many leases.
  const int64_t whole = world_->Chance(0.1) ? world_->Between(kMinute, 5 * kMinute)
                                            : world_->Between(kSecond, 20 * kSecond);
  Later(whole / steps, [this, token = assignment.token, steps, step = whole / steps] {
    Work(token, steps - 1, step);
  });
}

void SimWorker::Work(const AttemptToken& token, int steps_left, int64_t step) {
  const auto it = runs_.find(token);
  if (it == runs_.end()) return;  // ended meanwhile
  if (steps_left > 0) {
    SlotProgress progress;
    progress.stage = Cat("block[", steps_left, "]");
    progress.fraction = 1.0 / (1 + steps_left);
    table_->Progress(token, progress);
    News();
    return Later(step, [this, token, steps_left, step] { Work(token, steps_left - 1, step); });
  }
  if (world_->faults() && world_->Chance(0.12)) {
    static constexpr const char* kReasons[] = {
        "CHILD_CRASHED",  "CHILD_KILLED",  "INTERNAL",      "STORE_UNAVAILABLE",
        "OOM_PREDICTION", "INPUT_CORRUPT", "NEVER_HEARD_OF"};
    world_->CountFault();
    return End(token, {"", kReasons[world_->Between(0, 6)], "simulated"});
  }
  // Another attempt makes another artifact, so that a doubled result shows.
  Upload(token, Sha256Of(Cat(it->second.job, world_->rng()(), world_->rng()())).Hex());
}

void SimWorker::Upload(const AttemptToken& token, const std::string& artifact) {
  const auto it = runs_.find(token);
  if (it == runs_.end()) return;
  if (!lease_.held(world_->now()) || !table_->MayCommit(token)) {
    return Later(kSecond, [this, token, artifact] {
      Upload(token, artifact);
    });  // until it is stopped, or held again
  }
  const Assignment& a = it->second;
  const auto acked = std::make_shared<bool>(false);
  world_->Send(id_, [this, boot = boot_, artifacts = artifacts_, tenant = a.tenant, job = a.job,
                     token, artifact, acked] {
    artifacts->Prepare(tenant, job, Of(token), artifact);
    world_->Send(id_, [this, boot, token, artifact, acked] {
      if (boot != boot_) return;
      Later(0, [this, token, artifact, acked] {
        if (std::exchange(*acked, true) || !runs_.contains(token)) return;
        const bool may = lease_.held(world_->now()) && table_->MayCommit(token);
        End(token, may ? SlotOutcome{artifact, "", ""} : SlotOutcome{"", "LEASE_LOST", ""});
      });
    });
  });
  Later(3 * kSecond, [this, token, artifact, acked] {
    if (!*acked) Upload(token, artifact);
  });
}

void SimWorker::End(const AttemptToken& token, const SlotOutcome& outcome) {
  if (runs_.erase(token) == 0) return;
  Execute(table_->Finished(token, outcome));
  News();
}

}  // namespace swage::sim
