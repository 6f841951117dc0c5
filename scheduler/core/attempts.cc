// What workers say about their assignments, and what becomes of the jobs.
#include <algorithm>
#include <cmath>
#include <utility>

#include "scheduler/core/core.h"

namespace swage {
namespace {

constexpr size_t kAttemptsKept = 20;
constexpr size_t kRetiredBoots = 16;
constexpr int kUnseenReports =
    5;  // a worker that was told so often and does not take the job will not
constexpr int64_t kProgressIntervalNanos = 1'000'000'000 / limits::kWatchEventsPerSecond;
constexpr int64_t kBackoffBaseNanos = 1'000'000'000, kBackoffCapNanos = 100'000'000'000;
constexpr int64_t kRefusalCapNanos = 300'000'000'000;
constexpr int64_t kGangBackoffNanos = 60'000'000'000, kGangBackoffCapNanos = 3600'000'000'000;

bool IsDigest(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

bool Core::IsActive(const Job& job) {
  return job.record.state == JobState::kStarting || job.record.state == JobState::kRunning;
}

bool Core::HandleReport(const WorkerReport& report, Now now) {
  Worker& worker = WorkerOf(report.worker_id);
  const auto& retired = worker.retired_boots;
  if (std::find(retired.begin(), retired.end(), report.boot_id) != retired.end()) return false;
  if (worker.boot_id != report.boot_id) {
    AdoptBoot(&worker, report.boot_id, now);
  } else if (report.sequence <= worker.sequence) {
    return false;
  }
  LoseWorker(&worker, Reason::kWorkerRestarted, report.boot_id, now);  // what an earlier boot had
  worker.sequence = report.sequence;
  worker.connected = true;
  worker.lease_mono = now.mono_nanos + options_.lease_ms * 1000000;
  worker.last_seen_unix = now.unix_nanos;
  worker.draining = report.draining;
  worker.slot_count = std::max(0, report.slot_count);
  worker.address = report.address;
  worker.devices = report.devices;
  worker.methods.clear();
  for (const std::string& method : report.methods)
    worker.methods.insert(method.substr(0, method.find('/')));
  worker.features = {report.features.begin(), report.features.end()};
  std::set<std::string> cached(report.cached.begin(), report.cached.end());
  if (cached != worker.cached) {
    for (const std::string& model : worker.cached) cached_[model].erase(worker.id);
    for (const std::string& model : cached) cached_[model].insert(worker.id);
    worker.cached = std::move(cached);
  }
  worker.reported.clear();
  for (const SlotReport& slot : report.slots) {
    worker.reported.push_back({JobKey(slot.tenant, slot.job), slot.token, slot.outcome.has_value(),
                               slot.started, slot.stopping, slot.gathered});
    HandleSlot(&worker, slot, now);
  }
  NoteMissing(&worker, now);
  Touch(worker.id);
  return true;
}

void Core::AdoptBoot(Worker* worker, const std::string& boot_id, Now now) {
  if (!worker->boot_id.empty()) worker->retired_boots.push_back(worker->boot_id);
  if (worker->retired_boots.size() > kRetiredBoots) worker->retired_boots.pop_front();
  worker->boot_id = boot_id;
  worker->sequence = 0;
}

void Core::HandleSlot(Worker* worker, const SlotReport& slot, Now now) {
  Job* job = Find(JobKey(slot.tenant, slot.job));
  const bool present = job != nullptr && IsActive(*job) && job->members.contains(worker->id) &&
                       job->record.token == slot.token;
  if (!present) {
    if (slot.outcome.has_value()) ++refused_outcomes_;
    // What the last attempt wrote down on its way out; only a hint, so no token has to guard it.
    const bool last = job != nullptr && slot.token.epoch == job->record.epoch &&
                      !IsFinal(job->record.state) && !IsActive(*job);
    if (last && IsDigest(slot.checkpoint) && job->record.checkpoint != slot.checkpoint) {
      job->record.checkpoint = slot.checkpoint;
      Dirty(*job);
    }
    return;
  }
  Member& member = job->members[worker->id];
  member.unseen = 0;
  if (!member.ready) {
    member.ready = true;
    NoteReady(job, now);
  }
  // Only here, behind the comparison of tokens: `members` is emptied with every assignment, so that what was said
  // under another epoch is neither kept nor passed on. A member that began anew may speak anew until all have spoken;
  // after that it finds its own word changed, and fails the attempt.
  if (job->record.started && !slot.rendezvous.empty() && !HasMet(*job)) member.rendezvous = slot.rendezvous;
  const bool first = job->record.members[0].worker == worker->id;
  if (IsDigest(slot.checkpoint) && job->record.checkpoint != slot.checkpoint) {
    job->record.checkpoint = slot.checkpoint;
    Dirty(*job);
  }
  if (first) NoteProgress(job, slot.progress, now);
  if (!slot.outcome.has_value()) return;
  // Of a gang the first member brings the result; the others only say that they are done.
  const bool done = slot.outcome->manifest_digest.empty() && slot.outcome->reason.empty();
  if (!first && done) return;
  Conclude(job, worker, *slot.outcome, now);
}

// All members of a gang are there: they may compute.
void Core::NoteReady(Job* job, Now now) {
  if (job->record.started) return;
  for (const auto& [worker, member] : job->members) {
    if (!member.ready) return;
  }
  job->record.started = true;
  job->record.gang_failures = 0;
  job->started_mono = now.mono_nanos;
  gangs_waiting_.erase(JobKey(job->record.job.tenant, job->record.job.id));
  Dirty(*job);
}

// All members have said how they are reached. Not part of the record: a new leader hears it again with the next reports.
bool Core::HasMet(const Job& job) {
  return job.record.members.size() > 1 && job.members.size() == job.record.members.size() &&
         std::all_of(job.members.begin(), job.members.end(),
                     [](const auto& m) { return !m.second.rendezvous.empty(); });
}

void Core::PassOn(const Job& job, const Worker& to, AssignmentOrder* order) const {
  if (!HasMet(job)) return;
  const bool has = std::any_of(to.reported.begin(), to.reported.end(), [&](const Reported& r) {
    return r.token == job.record.token && r.gathered;
  });
  if (has) return;
  for (const MemberRecord& member : job.record.members)
    order->rendezvous.push_back(job.members.at(member.worker).rendezvous);
}

void Core::NoteProgress(Job* job, const ProgressRecord& progress, Now now) {
  JobRecord& record = job->record;
  if (progress.stage.empty()) return;
  record.progress = progress;
  if (!std::isfinite(record.progress.fraction)) record.progress.fraction = 0;
  record.progress.fraction = std::clamp(record.progress.fraction, 0.0, 1.0);
  if (!record.attempts.empty()) record.attempts.back().last_stage = progress.stage;
  if (record.state == JobState::kStarting && progress.stage != "stage_inputs") {
    SetState(job, JobState::kRunning, "", "", now);
  } else {
    const bool moved = progress.stage != job->progress_stage ||
                       std::abs(record.progress.fraction - job->progress_fraction) >= 0.01;
    if (!moved || now.mono_nanos - job->progress_mono < kProgressIntervalNanos) return;
    Dirty(*job);
    Emit(*job, "progress", "", "", now);
  }
  job->progress_mono = now.mono_nanos;
  job->progress_stage = progress.stage;
  job->progress_fraction = record.progress.fraction;
}

void Core::Conclude(Job* job, Worker* worker, const OutcomeReport& outcome, Now now) {
  if (outcome.manifest_digest.empty()) {
    const Reason reason = ParseReason(outcome.reason);
    if (reason == Reason::kDeviceFailed) {
      const std::string device = outcome.device.empty() ? "cpu0" : outcome.device;
      Cordon(worker, device, outcome.message.empty() ? "failed under a job" : outcome.message);
    }
    if (reason == Reason::kRefused) {
      Refusal& refusal = refusals_[{job->shape, worker->id}];
      refusal.until_mono =
          now.mono_nanos + std::min<int64_t>(kRefusalCapNanos, kBackoffBaseNanos << std::min(refusal.times, 20));
      ++refusal.times;
    }
    // A reason that is not ours is kept for people to read.
    const bool known = ReasonName(reason) == outcome.reason || outcome.reason.empty();
    return FailAttempt(job, reason,
                       known ? outcome.message : Cat(outcome.reason, ": ", outcome.message),
                       worker->id, now);
  }
  if (!IsDigest(outcome.manifest_digest) || job->record.members[0].worker != worker->id) {
    return FailAttempt(job, Reason::kInternal,
                       "the worker reported a result whose name is not a digest, or that is not its "
                       "to report",
                       worker->id, now);
  }
  refusals_.erase({job->shape, worker->id});
  // The decision: from here on this artifact, and no other, is the job's result.
  Withdraw(job, Reason::kInternal, worker->id, 0, now);
  job->record.members.clear();
  job->record.started = false;
  job->record.artifact = outcome.manifest_digest;
  job->record.progress.stage = "commit";
  CloseAttempt(job, "", "", now);
  SetState(job, JobState::kFinalizing, "", "", now);
  output_.publishes.push_back(PublishOrderOf(*job));
}

void Core::CloseAttempt(Job* job, const std::string& reason, const std::string& message, Now now) {
  JobRecord& record = job->record;
  if (record.attempts.empty() || record.attempts.back().end_unix_nanos != 0) return;
  AttemptRecord& attempt = record.attempts.back();
  attempt.end_unix_nanos = now.unix_nanos;
  attempt.reason = reason;
  attempt.message = message;
  if (record.attempts.size() > kAttemptsKept) record.attempts.erase(record.attempts.begin());
  Dirty(*job);
  Emit(*job, "attempt", reason, message, now);
}

bool Core::ChargeBudget(Job* job, const ReasonPolicy& policy, std::string* message) {
  JobRecord& record = job->record;
  switch (policy.budget) {
    case Budget::kNone: return policy.retryable;
    case Budget::kUser:
      if (++record.user_failures < limits::kJobAttempts || !policy.retryable)
        return policy.retryable;
      *message = Cat(*message, " (failed ", record.user_failures, " times; not tried again)");
      return false;
    case Budget::kInfra:
      if (++record.infra_losses < limits::kInfraLosses || !policy.retryable)
        return policy.retryable;
      *message = Cat(*message, " (lost ", record.infra_losses, " times; not tried again)");
      return false;
  }
  return false;
}

void Core::LearnFromOom(Job* job, Reason* reason) const {
  JobRecord& record = job->record;
  // The most that each member can be given: more would fit nowhere, and the job would wait for ever.
  std::vector<uint64_t> hosts;
  for (const auto& [id, worker] : workers_) {
    const auto group = groups_.find(worker.group);
    if (!worker.connected || group == groups_.end() || !Offers(group->second, record)) continue;
    Room whole{worker.slot_count, {}};
    uint64_t host = 0;
    for (const DeviceReport& d : worker.devices) {
      whole.bytes.push_back(Usable(worker, d) ? d.total_bytes : 0);
      if (d.kind == "cpu") host = std::max(host, whole.bytes.back());
    }
    if (FitInto(worker, whole, record)) hosts.push_back(host);
  }
  const auto members = static_cast<size_t>(record.job.shape.gang);
  if (hosts.size() < members) return;
  std::sort(hosts.rbegin(), hosts.rend());
  const uint64_t largest = hosts[members - 1];
  uint64_t reserved = 0;
  if (!record.members.empty()) {
    for (const DeviceShare& share : record.members[0].devices) {
      if (reserved == 0) reserved = share.bytes;  // the host's comes first
    }
  }
  // With all of the largest worker it was not enough: more of the same does not help.
  if (reserved >= largest) *reason = Reason::kOomReal;
  const uint64_t grown = std::max(record.progress.peak_bytes / 4 * 5, reserved / 2 * 3);
  record.learned_bytes = std::max(record.learned_bytes, std::min(grown, largest));
}

// A job under which workers die, again and again at the same point, is kept from the next worker.
// With one worker only it is given more tries: there the machine itself is as likely to blame.
bool Core::IsPoison(Job* job, Reason reason) {
  JobRecord& record = job->record;
  if (reason != Reason::kWorkerLost && reason != Reason::kWorkerRestarted) return false;
  if (record.state != JobState::kRunning) return false;
  const std::string point = Cat(record.progress.stage, " ", record.progress.fraction);
  record.crashes = point == record.crash_stage ? record.crashes + 1 : 1;
  record.crash_stage = point;
  std::set<std::string> workers;
  const size_t seen = std::min<size_t>(record.attempts.size(), static_cast<size_t>(record.crashes));
  for (size_t i = record.attempts.size() - seen; i < record.attempts.size(); ++i)
    workers.insert(record.attempts[i].worker);
  const int bound = limits::kPoisonCrashes * (workers.size() > 1 ? 1 : 2);
  return record.crashes >= bound;
}

void Core::FailAttempt(Job* job, Reason reason, const std::string& said, const std::string& gone,
                       Now now) {
  JobRecord& record = job->record;
  if (reason == Reason::kOomPrediction) LearnFromOom(job, &reason);
  const bool poison = IsPoison(job, reason);
  const ReasonPolicy policy = PolicyOf(reason);
  const std::string name(policy.name);
  std::string message = said.empty() ? std::string(policy.text) : said;
  Withdraw(job, reason, gone, 0, now);
  CloseAttempt(job, name, message, now);
  record.token = {};
  record.members.clear();
  record.started = false;
  if (poison) {
    const ReasonPolicy end = PolicyOf(Reason::kQuarantined);
    return SetState(job, end.final_state, std::string(end.name), std::string(end.text), now);
  }
  if (!ChargeBudget(job, policy, &message))
    return SetState(job, policy.final_state, name, message, now);
  int64_t wait = 0;
  if (policy.budget == Budget::kUser) wait = BackoffNanos(record.user_failures);
  if (policy.budget == Budget::kInfra) wait = BackoffNanos(record.infra_losses);
  if (reason == Reason::kGangTimeout) {
    wait = std::min(kGangBackoffCapNanos, kGangBackoffNanos << std::min(record.gang_failures, 20));
    ++record.gang_failures;
  }
  Requeue(job, reason, message, wait, now);
}

// Not charged to a budget.
void Core::Requeue(Job* job, Reason reason, const std::string& message, int64_t wait_nanos,
                   Now now) {
  JobRecord& record = job->record;
  job->not_before_mono = now.mono_nanos + wait_nanos;
  record.not_before_unix_nanos = wait_nanos == 0 ? 0 : now.unix_nanos + wait_nanos;
  record.progress = {};
  SetState(job, JobState::kQueued, std::string(ReasonName(reason)), message, now);
}

// Full jitter: uniform in [0, min(cap, 1 s x 2^n)). The first retry is at once.
int64_t Core::BackoffNanos(int failures) {
  if (failures <= 1) return 0;
  int64_t bound = kBackoffBaseNanos;
  for (int i = 2; i < failures && bound < kBackoffCapNanos; ++i) bound *= 2;
  return static_cast<int64_t>(
      rng_.Uniform(static_cast<uint64_t>(std::min(bound, kBackoffCapNanos))));
}

bool Core::Withdraw(Job* job, Reason reason, const std::string& gone, int64_t grace_ms, Now now) {
  JobRecord& record = job->record;
  const std::string key = JobKey(record.job.tenant, record.job.id);
  bool wait = false;
  CountUse(job, false, now);
  for (const MemberRecord& member : record.members) {
    Worker& worker = WorkerOf(member.worker);
    worker.jobs.erase(key);
    Touch(member.worker);
    const std::optional<uint64_t> delivered = job->members[member.worker].delivered;
    if (member.worker == gone || !delivered.has_value()) continue;  // it has it not, or was never told
    worker.releasing.push_back({key, member.boot, record.token, member.devices, *delivered,
                                std::string(ReasonName(reason)),
                                grace_ms == 0 ? 0 : now.mono_nanos + grace_ms * 1'000'000});
    if (grace_ms > 0) {
      Stopping& stopping = stopping_[key];
      if (stopping.epoch != record.token.epoch) stopping = {record.token.epoch, 0, 0};
      stopping.until_mono = worker.releasing.back().stop_by_mono;
      ++stopping.members;
    }
    wait = true;
  }
  job->members.clear();
  gangs_waiting_.erase(key);
  return wait;
}

void Core::Released(const Releasing& entry, Now now) {
  Job* job = Find(entry.job_key);
  auto stopping = stopping_.find(entry.job_key);
  if (stopping != stopping_.end() && stopping->second.epoch == entry.token.epoch &&
      --stopping->second.members == 0) {
    const int64_t until = stopping->second.until_mono;
    stopping_.erase(stopping);
    if (job != nullptr && delayed_.erase({until, entry.job_key}) > 0) {
      job->not_before_mono = 0;
      Enqueue(job, now);
    }
  }
  if (job == nullptr || job->record.state != JobState::kCancelling ||
      job->record.token != entry.token)
    return;
  for (const MemberRecord& member : job->record.members) {
    const auto& others = WorkerOf(member.worker).releasing;
    const bool held = std::any_of(others.begin(), others.end(), [&](const Releasing& r) {
      return r.token == entry.token && r.job_key == entry.job_key;
    });
    if (held) return;
  }
  const std::string reason = job->record.reason, message = job->record.message;
  SetState(job, JobState::kCancelled, reason, message, now);
}

// Takes away what the worker has, but for what it was given in the boot named.
void Core::LoseWorker(Worker* worker, Reason reason, const std::string& boot_id_kept, Now now) {
  for (const std::string& key : std::set<std::string>(worker->jobs)) {
    Job* job = Find(key);
    if (job == nullptr) continue;
    const auto& members = job->record.members;
    const bool kept = std::any_of(members.begin(), members.end(), [&](const MemberRecord& m) {
      return m.worker == worker->id && !boot_id_kept.empty() && m.boot == boot_id_kept;
    });
    if (kept) continue;
    FailAttempt(job, members.size() > 1 ? Reason::kGangMemberLost : reason, "", worker->id, now);
  }
  std::vector<Releasing> kept;
  for (const Releasing& entry : std::exchange(worker->releasing, {})) {
    if (!boot_id_kept.empty() && entry.boot_id == boot_id_kept) {
      kept.push_back(entry);
    } else {
      Released(entry, now);
    }
  }
  worker->releasing = std::move(kept);
  Touch(worker->id);
}

// A worker answers each call before it makes the next: a report that came after the call in whose
// answer an assignment was listed, and does not list it, says that the worker does not run it.
void Core::NoteMissing(Worker* worker, Now now) {
  auto running = [&](const JobToken& token) {
    return std::any_of(worker->reported.begin(), worker->reported.end(),
                       [&](const Reported& r) { return r.token == token && !r.ended; });
  };
  std::vector<Releasing> kept;
  for (const Releasing& entry : std::exchange(worker->releasing, {})) {
    if (running(entry.token) || worker->sequence <= entry.delivered) {
      kept.push_back(entry);
    } else {
      Released(entry, now);
    }
  }
  worker->releasing = std::move(kept);
  for (const std::string& key : std::set<std::string>(worker->jobs)) {
    Job* job = Find(key);
    if (job == nullptr) continue;
    Member& member = job->members[worker->id];
    if (!member.delivered.has_value() || running(job->record.token)) continue;
    // An outcome that was listed has been dealt with above, unless it waits for the others'.
    const bool done = std::any_of(worker->reported.begin(), worker->reported.end(),
                                  [&](const Reported& r) { return r.token == job->record.token; });
    if (!done && worker->sequence > *member.delivered && ++member.unseen >= kUnseenReports) {
      FailAttempt(job, Reason::kWorkerLost,
                  "the worker was told to run the job and did not take it", worker->id, now);
    }
  }
}

void Core::Tick(Now now) {
  for (auto& [id, worker] : workers_) {
    for (Releasing& entry : worker.releasing) {
      if (entry.stop_by_mono != 0 && entry.stop_by_mono <= now.mono_nanos) entry.stop_by_mono = 0;
    }
    const size_t earmarks = worker.earmarks.size();
    std::erase_if(worker.earmarks,
                  [&](const auto& e) { return e.second.until_mono <= now.mono_nanos; });
    if (worker.earmarks.size() != earmarks) Touch(id);
    const bool held = worker.connected || !worker.jobs.empty() || !worker.releasing.empty();
    if (!held || worker.lease_mono > now.mono_nanos) continue;
    worker.connected = false;
    worker.reported.clear();
    // Boots have no order: what was taken for the later one may have been a late call of one that
    // is dead. Whoever calls next is believed.
    worker.retired_boots.clear();
    LoseWorker(&worker, Reason::kWorkerLost, "", now);
  }
  for (const std::string& key : std::set<std::string>(gangs_waiting_)) {
    Job* job = Find(key);
    if (job == nullptr) continue;
    if (job->assigned_mono + options_.gang_barrier_ms * 1'000'000 > now.mono_nanos) continue;
    FailAttempt(job, Reason::kGangTimeout, "", "", now);
  }
  DeleteOld(now);
}

void Core::Finish(Job* job, const std::string& artifact, Now now) {
  job->record.artifact = artifact;
  job->record.progress.stage = "commit";
  job->record.progress.fraction = 1;
  job->record.progress.eta_seconds = 0;
  const AdmittedJob& spec = job->record.job;
  if (!spec.action_key.empty() && !job->record.shared) {
    const std::string key = ActionKey(spec.tenant, spec.action_key);
    Action& action = actions_[key];
    action.record = {artifact, spec.id, now.unix_nanos};
    action.deleted = false;
    dirty_actions_.insert(key);
  }
  const bool shared = job->record.shared;
  SetState(job, JobState::kSucceeded, shared ? "CACHE_HIT" : "",
           shared ? job->record.message : std::string(), now);
}

PublishOrder Core::PublishOrderOf(const Job& job) const {
  const AdmittedJob& spec = job.record.job;
  const std::string alias = spec.output_alias.empty() ? Cat("jobs/", spec.id) : spec.output_alias;
  return {spec.tenant, spec.id, job.record.token, job.record.artifact, alias, spec.traceparent};
}

void Core::HandlePublish(const PublishOrder& order, PublishOutcome outcome,
                         const std::string& artifact, const std::string& message, Now now) {
  Job* job = Find(JobKey(order.tenant, order.job));
  if (job == nullptr || job->record.state != JobState::kFinalizing ||
      job->record.token != order.token)
    return;
  switch (outcome) {
    case PublishOutcome::kPublished:
    case PublishOutcome::kAlreadyPublished: return Finish(job, artifact, now);
    case PublishOutcome::kMissing:
      if (job->record.shared) ForgetAction(*job);
      job->record.artifact.clear();
      if (std::exchange(job->record.shared, false))
        return Requeue(job, Reason::kResultMissing,
                       "the earlier result is no longer whole; the job runs itself", 0, now);
      return EndPublish(job, Reason::kResultMissing, message, now);
    case PublishOutcome::kRefused:
      job->record.artifact.clear();
      job->record.shared = false;
      return EndPublish(job, Reason::kPublishRefused, message, now);
  }
}

// The attempt itself is over and closed; what it made could not be published.
void Core::EndPublish(Job* job, Reason reason, const std::string& said, Now now) {
  const ReasonPolicy policy = PolicyOf(reason);
  std::string message = said.empty() ? std::string(policy.text) : said;
  job->record.token = {};
  job->record.members.clear();
  job->record.started = false;
  if (!ChargeBudget(job, policy, &message))
    return SetState(job, policy.final_state, std::string(policy.name), message, now);
  Requeue(job, reason, message, BackoffNanos(job->record.infra_losses), now);
}

std::vector<DesiredSlot> Core::Desired(const std::string& worker_id) const {
  std::vector<DesiredSlot> slots;
  auto it = workers_.find(worker_id);
  if (it == workers_.end()) return slots;
  for (const std::string& key : it->second.jobs) {
    const Job& job = jobs_.at(key);
    slots.push_back({job.record.token, job.record.started, false, HasMet(job)});
  }
  for (const Releasing& entry : it->second.releasing) {
    if (entry.stop_by_mono != 0) slots.push_back({entry.token, false, true});
  }
  return slots;
}

bool Core::NeedsAnswer(const std::string& worker_id) const {
  auto it = workers_.find(worker_id);
  if (it == workers_.end()) return false;
  const Worker& worker = it->second;
  size_t wanted = 0;
  for (const Reported& reported : worker.reported) {
    auto job = worker.jobs.contains(reported.job_key) ? jobs_.find(reported.job_key) : jobs_.end();
    if (job != jobs_.end() && job->second.record.token == reported.token) {
      if (job->second.record.members.size() > 1 && job->second.record.started != reported.started)
        return true;
      if (!reported.gathered && !reported.ended && HasMet(job->second)) return true;
      ++wanted;
      continue;
    }
    // Stopping as it should: there is nothing new to say.
    const bool stopping = std::any_of(
        worker.releasing.begin(), worker.releasing.end(), [&](const Releasing& entry) {
          return entry.token == reported.token && entry.stop_by_mono != 0 && reported.stopping;
        });
    if (!stopping) return true;
  }
  return wanted != worker.jobs.size();
}

std::vector<AssignmentOrder> Core::Answer(const std::string& worker_id) {
  std::vector<AssignmentOrder> orders;
  auto it = workers_.find(worker_id);
  if (it == workers_.end()) return orders;
  for (const std::string& key : it->second.jobs) {
    Job& job = jobs_.at(key);
    const JobRecord& record = job.record;
    job.members[worker_id].delivered = it->second.sequence;
    AssignmentOrder& order = orders.emplace_back();
    order.tenant = record.job.tenant;
    order.job = record.job.id;
    order.token = record.token;
    order.model_digest = record.job.model_digest;
    order.traceparent = record.job.traceparent;
    order.checkpoint = record.checkpoint;
    order.attempt = static_cast<int>(record.epoch);
    order.world = static_cast<int>(record.members.size());
    order.started = record.started;
    PassOn(job, it->second, &order);
    for (size_t rank = 0; rank < record.members.size(); ++rank) {
      const MemberRecord& member = record.members[rank];
      const Worker& peer = workers_.at(member.worker);
      if (record.members.size() > 1) order.peers.push_back(peer.address);
      if (member.worker != worker_id) continue;
      order.rank = static_cast<int>(rank);
      for (const DeviceShare& share : member.devices) {
        const bool host = std::any_of(peer.devices.begin(), peer.devices.end(), [&](const auto& d) {
          return d.id == share.device && d.kind == "cpu";
        });
        if (host) {
          order.memory_limit_bytes += share.bytes;
        } else {
          order.devices.push_back(share);
        }
      }
    }
  }
  return orders;
}

std::vector<StopOrder> Core::Stops(const std::string& worker_id) const {
  std::vector<StopOrder> stops;
  auto it = workers_.find(worker_id);
  if (it == workers_.end()) return stops;
  for (const Releasing& entry : it->second.releasing) {
    if (entry.stop_by_mono == 0) continue;
    const KeyParts parts = SplitKey(entry.job_key);
    stops.push_back({std::string(parts.tenant), std::string(parts.name), entry.token, entry.reason,
                     options_.stop_grace_ms});
  }
  return stops;
}

}  // namespace swage
