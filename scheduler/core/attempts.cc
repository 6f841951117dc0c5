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
  worker.devices = report.devices;
  worker.capacity_bytes = 0;
  for (const DeviceReport& device : report.devices) worker.capacity_bytes += device.total_bytes;
  worker.methods.clear();
  for (const std::string& method : report.methods)
    worker.methods.insert(method.substr(0, method.find('/')));
  worker.reported.clear();
  for (const SlotReport& slot : report.slots) {
    worker.reported.push_back(
        {JobKey(slot.tenant, slot.job), slot.token, slot.outcome.has_value()});
    HandleSlot(&worker, slot, now);
  }
  NoteMissing(&worker, now);
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
  const bool present = job != nullptr && IsActive(*job) && job->record.worker == worker->id &&
                       job->record.token == slot.token;
  if (!present) {
    if (slot.outcome.has_value()) ++refused_outcomes_;
    return;
  }
  job->unseen = 0;
  NoteProgress(job, slot.progress, now);
  if (slot.outcome.has_value()) Conclude(job, *slot.outcome, now);
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

void Core::Conclude(Job* job, const OutcomeReport& outcome, Now now) {
  if (outcome.manifest_digest.empty()) {
    const Reason reason = ParseReason(outcome.reason);
    // A reason that is not ours is kept for people to read.
    const bool known = ReasonName(reason) == outcome.reason || outcome.reason.empty();
    return FailAttempt(job, reason,
                       known ? outcome.message : Cat(outcome.reason, ": ", outcome.message), now);
  }
  if (!IsDigest(outcome.manifest_digest)) {
    return FailAttempt(job, Reason::kInternal,
                       "the worker reported a result whose name is not a digest", now);
  }
  // The decision: from here on this artifact, and no other, is the job's result.
  Detach(job);
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

void Core::FailAttempt(Job* job, Reason reason, const std::string& said, Now now) {
  JobRecord& record = job->record;
  if (reason == Reason::kOomPrediction) {
    uint64_t largest = 0;
    for (const auto& [id, worker] : workers_) {
      if (worker.connected) largest = std::max(largest, worker.capacity_bytes);
    }
    // With all of the largest worker it was not enough: more of the same does not help.
    if (record.reserved_bytes >= largest) reason = Reason::kOomReal;
    const uint64_t grown =
        std::max(record.progress.peak_bytes / 4 * 5, record.reserved_bytes / 2 * 3);
    record.learned_bytes = std::max(record.learned_bytes, std::min(grown, largest));
  }
  const ReasonPolicy policy = PolicyOf(reason);
  const std::string name(policy.name);
  std::string message = said.empty() ? std::string(policy.text) : said;
  Detach(job);
  CloseAttempt(job, name, message, now);
  record.token = {};
  record.worker.clear();
  record.worker_boot.clear();
  if (!ChargeBudget(job, policy, &message))
    return SetState(job, policy.final_state, name, message, now);
  int failures = 0;
  if (policy.budget == Budget::kUser) failures = record.user_failures;
  if (policy.budget == Budget::kInfra) failures = record.infra_losses;
  const int64_t wait = BackoffNanos(failures);
  job->not_before_mono = now.mono_nanos + wait;
  record.not_before_unix_nanos = now.unix_nanos + wait;
  record.progress = {};
  SetState(job, JobState::kQueued, name, message, now);
}

// Full jitter: uniform in [0, min(cap, 1 s x 2^n)). The first retry is at once.
int64_t Core::BackoffNanos(int failures) {
  if (failures <= 1) return 0;
  int64_t bound = kBackoffBaseNanos;
  for (int i = 2; i < failures && bound < kBackoffCapNanos; ++i) bound *= 2;
  return static_cast<int64_t>(
      rng_.Uniform(static_cast<uint64_t>(std::min(bound, kBackoffCapNanos))));
}

void Core::Detach(Job* job) {
  auto it = workers_.find(job->record.worker);
  if (it != workers_.end())
    it->second.jobs.erase(JobKey(job->record.job.tenant, job->record.job.id));
  job->delivered.reset();
  job->unseen = 0;
}

bool Core::Withdraw(Job* job) {
  const JobRecord& record = job->record;
  const std::optional<uint64_t> delivered = job->delivered;
  Worker& worker = WorkerOf(record.worker);
  Detach(job);
  if (!delivered.has_value()) return false;  // it was never told
  worker.releasing.push_back({JobKey(record.job.tenant, record.job.id), record.worker_boot,
                              record.token, record.reserved_bytes, *delivered});
  return true;
}

void Core::Released(const Releasing& entry, Now now) {
  Job* job = Find(entry.job_key);
  if (job == nullptr || job->record.state != JobState::kCancelling ||
      job->record.token != entry.token)
    return;
  const std::string reason = job->record.reason, message = job->record.message;
  SetState(job, JobState::kCancelled, reason, message, now);
}

// Takes away what the worker has, but for what it was given in the boot named.
void Core::LoseWorker(Worker* worker, Reason reason, const std::string& boot_id_kept, Now now) {
  for (const std::string& key : std::set<std::string>(worker->jobs)) {
    Job* job = Find(key);
    if (job != nullptr && (boot_id_kept.empty() || job->record.worker_boot != boot_id_kept)) {
      FailAttempt(job, reason, "", now);
    }
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
    if (job == nullptr || !job->delivered.has_value() || running(job->record.token)) continue;
    if (worker->sequence > *job->delivered && ++job->unseen >= kUnseenReports) {
      FailAttempt(job, Reason::kWorkerLost,
                  "the worker was told to run the job and did not take it", now);
    }
  }
}

void Core::Tick(Now now) {
  for (auto& [id, worker] : workers_) {
    const bool held = worker.connected || !worker.jobs.empty() || !worker.releasing.empty();
    if (!held || worker.lease_mono > now.mono_nanos) continue;
    worker.connected = false;
    worker.reported.clear();
    // Boots have no order: what was taken for the later one may have been a late call of one that
    // is dead. Whoever calls next is believed.
    worker.retired_boots.clear();
    LoseWorker(&worker, Reason::kWorkerLost, "", now);
  }
}

void Core::Finish(Job* job, const std::string& artifact, Now now) {
  job->record.artifact = artifact;
  job->record.progress.stage = "commit";
  job->record.progress.fraction = 1;
  job->record.progress.eta_seconds = 0;
  SetState(job, JobState::kSucceeded, "", "", now);
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
      job->record.artifact.clear();
      return FailAttempt(job, Reason::kResultMissing, message, now);
    case PublishOutcome::kRefused:
      job->record.artifact.clear();
      return FailAttempt(job, Reason::kPublishRefused, message, now);
  }
}

std::vector<JobToken> Core::Desired(const std::string& worker_id) const {
  std::vector<JobToken> tokens;
  auto it = workers_.find(worker_id);
  if (it == workers_.end()) return tokens;
  for (const std::string& key : it->second.jobs) tokens.push_back(jobs_.at(key).record.token);
  return tokens;
}

bool Core::NeedsAnswer(const std::string& worker_id) const {
  auto it = workers_.find(worker_id);
  if (it == workers_.end()) return false;
  const Worker& worker = it->second;
  if (worker.reported.size() != worker.jobs.size()) return true;
  for (const Reported& reported : worker.reported) {
    auto job = worker.jobs.contains(reported.job_key) ? jobs_.find(reported.job_key) : jobs_.end();
    if (job == jobs_.end() || job->second.record.token != reported.token) return true;
  }
  return false;
}

std::vector<AssignmentOrder> Core::Answer(const std::string& worker_id) {
  std::vector<AssignmentOrder> orders;
  auto it = workers_.find(worker_id);
  if (it == workers_.end()) return orders;
  for (const std::string& key : it->second.jobs) {
    Job& job = jobs_.at(key);
    job.delivered = it->second.sequence;
    const AdmittedJob& spec = job.record.job;
    orders.push_back({spec.tenant, spec.id, job.record.token, spec.recipe_json, spec.model_digest,
                      spec.traceparent, spec.files, job.record.reserved_bytes,
                      static_cast<int>(job.record.epoch)});
  }
  return orders;
}

}  // namespace swage
