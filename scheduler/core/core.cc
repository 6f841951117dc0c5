#include "scheduler/core/core.h"

#include <algorithm>
#include <utility>

namespace swage {
namespace {

constexpr size_t kDeletedPerTick = 64;
constexpr int64_t kDayNanos = 86'400'000'000'000;

}  // namespace

Core::Core(const CoreOptions& options, Rng rng)
    : options_(options),
      rng_(rng),
      shares_(options.usage_half_life_seconds * 1'000'000'000) {}

Core::Worker& Core::WorkerOf(const std::string& id) {
  Worker& worker = workers_[id];
  worker.id = id;
  return worker;
}

Core::Job* Core::Find(const std::string& key) {
  auto it = jobs_.find(key);
  return it == jobs_.end() || it->second.deleted ? nullptr : &it->second;
}

const Core::Job* Core::Find(const std::string& key) const {
  return const_cast<Core*>(this)->Find(key);
}

Status Core::Load(const std::string& key, uint64_t version, const std::string& value) {
  const KeyParts parts = SplitKey(key);
  if (parts.kind == "worker") {
    SWAGE_ASSIGN_OR_RETURN(const WorkerRecord record, WorkerRecordFromJson(value));
    Worker& worker = WorkerOf(record.worker_id);
    worker.drain_wanted = record.drain;
    worker.cordoned = record.cordoned;
    worker.version = version;
  } else if (parts.kind == "tenant") {
    SWAGE_ASSIGN_OR_RETURN(const TenantRecord record, TenantRecordFromJson(value));
    TenantState& tenant = TenantOf(record.tenant);
    tenant.settings = record;
    tenant.version = version;
  } else if (parts.kind == "action") {
    SWAGE_ASSIGN_OR_RETURN(ActionRecord record, ActionRecordFromJson(value));
    actions_[key] = {std::move(record), version, false};
  } else if (key == kLoadKey) {
    load_version_ = version;
  } else if (parts.kind == "job") {
    auto record = JobRecordFromJson(value);
    if (!record.ok()) return Annotate(record.status(), key);
    Job& job = jobs_[key];
    job.record = std::move(*record);
    job.version = version;
  }
  return absl::OkStatus();
}

void Core::FinishLoad(Now now) {
  for (auto& [name, tenant] : tenants_) {
    const TenantRecord& r = tenant.settings;
    shares_.SetWeight(name, r.weight);
    shares_.Restore(name, {r.slots, r.host_bytes, r.device_bytes},
                    now.unix_nanos - r.usage_unix_nanos, now.mono_nanos);
  }
  for (auto& [key, job] : jobs_) {
    Index(&job);
    const JobRecord& record = job.record;
    const bool open = !IsFinal(record.state) && record.state != JobState::kPaused;
    if (open && !record.job.action_key.empty() && record.follows.empty() && !record.shared)
      doing_.try_emplace(ActionKey(record.job.tenant, record.job.action_key), key);
  }
  for (auto& [key, job] : jobs_) {
    JobRecord& record = job.record;
    if (IsActive(job) || record.state == JobState::kCancelling) {
      for (const MemberRecord& member : record.members) {
        Worker& worker = WorkerOf(member.worker);
        if (worker.boot_id.empty()) worker.boot_id = member.boot;
        worker.lease_mono = now.mono_nanos + options_.lease_ms * 1000000;
        if (IsActive(job)) {
          worker.jobs.insert(key);
          job.members[member.worker].delivered = 0;  // perhaps: the next report tells
        } else {
          worker.releasing.push_back({key, member.boot, record.token, member.devices, 0});
        }
        Touch(member.worker);
      }
      if (!IsActive(job)) continue;
      job.assigned_mono = job.started_mono = now.mono_nanos;
      if (!record.started) gangs_waiting_.insert(key);
      CountUse(&job, true, now);
    } else if (record.state == JobState::kFinalizing) {
      output_.publishes.push_back(PublishOrderOf(job));
    } else if (record.state == JobState::kQueued) {
      // The wall clock may have been set meanwhile, or be another machine's: never wait longer than
      // the longest back-off there is for what happened.
      const bool of_gang = record.reason == ReasonName(Reason::kGangTimeout);
      const int64_t wait = std::clamp<int64_t>(record.not_before_unix_nanos - now.unix_nanos, 0,
                                               of_gang ? 3600'000'000'000 : 100'000'000'000);
      job.not_before_mono = now.mono_nanos + wait;
      job.queued_unix = now.unix_nanos;
      Admit(&job, now);
    }
  }
}

void Core::Reconciled(const std::string& tenant, const std::string& id, const std::string& artifact,
                      Now now) {
  Job* job = Find(JobKey(tenant, id));
  if (job == nullptr || IsFinal(job->record.state)) return;
  if (IsActive(*job)) {
    CloseAttempt(job, "", "its result had been published before", now);
    Withdraw(job, Reason::kInternal, "", 0, now);
  }
  Finish(job, artifact, now);
}

void Core::HandleRequest(const std::string& key, uint64_t version, const Request& request,
                         Now now) {
  if (!handled_requests_.insert(key).second) return;  // told twice
  output_.writes.push_back({key, version, std::nullopt});
  Job* job = Find(JobKey(request.tenant, request.job_id));
  if (job == nullptr) return;
  const JobState state = job->record.state;
  if (request.kind == "cancel") {
    Cancel(job, request, now);
  } else if (request.kind == "pause") {
    Pause(job, now);
  } else if (request.kind == "resume") {
    if (state == JobState::kPaused) SetState(job, JobState::kQueued, "", "resumed", now);
  } else if (request.kind == "retry") {
    Retry(job, now);
  } else if (request.kind == "delete") {
    if (!IsFinal(state))
      return Emit(*job, "state", "DELETE_REFUSED", "only a job that has ended can be deleted", now);
    for (const std::string& other : dependents_[JobKey(request.tenant, request.job_id)]) {
      const Job* waiting = Find(other);
      if (waiting != nullptr && !IsFinal(waiting->record.state))
        return Emit(*job, "state", "DELETE_REFUSED",
                    Cat("jobs/", waiting->record.job.id, " waits for it"), now);
    }
    Delete(job, now);
  }
}

void Core::Cancel(Job* job, const Request& request, Now now) {
  const std::string reason(ReasonName(Reason::kCancelledByUser));
  const std::string message = request.reason.empty() ? "cancelled on request" : request.reason;
  switch (job->record.state) {
    case JobState::kQueued:
    case JobState::kPaused: return SetState(job, JobState::kCancelled, reason, message, now);
    case JobState::kStarting:
    case JobState::kRunning: {
      CloseAttempt(job, reason, message, now);
      const bool wait = Withdraw(job, Reason::kCancelledByUser, "", 0, now);
      return SetState(job, wait ? JobState::kCancelling : JobState::kCancelled, reason, message,
                      now);
    }
    case JobState::kFinalizing:
      return Emit(*job, "state", "CANCEL_TOO_LATE",
                  "the result is already decided and is being published", now);
    case JobState::kSucceeded:
    case JobState::kFailed:
      return Emit(*job, "state", "CANCEL_TOO_LATE", "the job had ended", now);
    case JobState::kCancelling:
    case JobState::kCancelled: return;
  }
}

void Core::Pause(Job* job, Now now) {
  const std::string reason(ReasonName(Reason::kPausedByUser));
  if (IsActive(*job)) {
    CloseAttempt(job, reason, "paused", now);
    Withdraw(job, Reason::kPausedByUser, "", options_.stop_grace_ms, now);
    job->record.token = {};
    job->record.members.clear();
    job->record.started = false;
  } else if (job->record.state != JobState::kQueued) {
    return;
  }
  SetState(job, JobState::kPaused, reason, std::string(PolicyOf(Reason::kPausedByUser).text), now);
}

void Core::Retry(Job* job, Now now) {
  JobRecord& record = job->record;
  if (record.state != JobState::kFailed && record.state != JobState::kCancelled) return;
  record.user_failures = record.infra_losses = 0;
  record.crashes = record.evictions = record.gang_failures = 0;
  record.not_before_unix_nanos = job->not_before_mono = 0;
  record.end_unix_nanos = 0;
  record.progress = {};
  record.artifact.clear();
  record.shared = false;
  SetState(job, JobState::kQueued, "", "retried on request", now);
  ReviveDependents(*job, now);
}

void Core::Delete(Job* job, Now now) {
  const AdmittedJob& spec = job->record.job;
  const std::string key = JobKey(spec.tenant, spec.id);
  job->deleted = true;
  CountLive(job);
  finished_.erase({job->record.end_unix_nanos, key});
  dependents_.erase(key);
  // What it made may still be there, but who made it and how is not known any more.
  if (auto it = actions_.find(ActionKey(spec.tenant, spec.action_key));
      it != actions_.end() && it->second.record.job == spec.id) {
    it->second.deleted = true;
    dirty_actions_.insert(it->first);
  }
  output_.dropped_streams.push_back(JobStream(spec.tenant, spec.id));
  output_.leftovers.push_back({SpecKey(spec.tenant, spec.id), ""});
  // As long as it is promised to be known, the same call coming late must not make the job again.
  const int64_t known_nanos = int64_t{limits::kRequestIdHours} * 3600'000'000'000;
  if (!spec.request_id.empty() && now.unix_nanos - spec.create_unix_nanos > known_nanos)
    output_.leftovers.push_back({RequestIdKey(spec.tenant, spec.request_id), spec.id});
  Dirty(*job);
}

void Core::DeleteOld(Now now) {
  const int64_t until = now.unix_nanos - options_.finished_job_days * kDayNanos;
  for (size_t i = 0; i < kDeletedPerTick && !finished_.empty(); ++i) {
    const auto [end, key] = *finished_.begin();
    if (end > until) return;
    finished_.erase(finished_.begin());
    if (Job* job = Find(key); job != nullptr && IsFinal(job->record.state)) Delete(job, now);
  }
}

Status Core::SetDrain(const std::string& worker_id, bool drain, bool evict, Now now) {
  auto it = workers_.find(worker_id);
  if (it == workers_.end()) {
    return NotFound("WORKER_UNKNOWN", Cat("no worker '", worker_id, "' has been seen"),
                    "`swage workers` lists them");
  }
  Worker& worker = it->second;
  if (worker.drain_wanted != drain) {
    worker.drain_wanted = drain;
    dirty_workers_.insert(worker_id);
    Touch(worker_id);
  }
  if (!drain || !evict) return absl::OkStatus();
  for (const std::string& key : std::set<std::string>(worker.jobs)) {
    if (Job* job = Find(key); job != nullptr)
      Evict(job, Reason::kDrained, Cat("worker ", worker_id, " is being emptied"), now);
  }
  return absl::OkStatus();
}

Status Core::SetCordon(const std::string& worker_id, const std::string& device,
                       const std::string& why, Now) {
  auto it = workers_.find(worker_id);
  if (it == workers_.end()) {
    return NotFound("WORKER_UNKNOWN", Cat("no worker '", worker_id, "' has been seen"),
                    "`swage workers` lists them");
  }
  Worker& worker = it->second;
  const bool known = std::any_of(worker.devices.begin(), worker.devices.end(),
                                 [&](const DeviceReport& d) { return d.id == device; });
  if (!known && !worker.cordoned.contains(device)) {
    return NotFound("DEVICE_UNKNOWN", Cat("worker ", worker_id, " has no device '", device, "'"),
                    "`swage workers` lists the devices");
  }
  if (!why.empty()) {
    Cordon(&worker, device, why);
  } else if (worker.cordoned.erase(device) > 0) {
    dirty_workers_.insert(worker_id);
    Touch(worker_id);
  }
  return absl::OkStatus();
}

void Core::Cordon(Worker* worker, const std::string& device, const std::string& why) {
  worker->cordoned[device] = why;
  dirty_workers_.insert(worker->id);
  Touch(worker->id);
}

void Core::Dirty(const Job& job) {
  dirty_.insert(JobKey(job.record.job.tenant, job.record.job.id));
}

void Core::Emit(const Job& job, const char* kind, const std::string& reason,
                const std::string& message, Now now) {
  const JobRecord& record = job.record;
  JobEventRecord event;
  event.kind = kind;
  event.unix_nanos = now.unix_nanos;
  event.state = record.state;
  event.reason = reason;
  event.message = message;
  event.epoch = record.epoch;
  event.progress = record.progress;
  if (record.state == JobState::kSucceeded) event.artifact = record.artifact;
  output_.events.push_back({JobStream(record.job.tenant, record.job.id), ToJson(event)});
}

void Core::SetState(Job* job, JobState state, const std::string& reason, const std::string& message,
                    Now now) {
  JobRecord& record = job->record;
  const std::string key = JobKey(record.job.tenant, record.job.id);
  if (record.state == JobState::kQueued) {
    Dequeue(*job);
    if (!record.follows.empty()) {
      followers_[JobKey(record.job.tenant, record.follows)].erase(key);
      record.follows.clear();
    }
    if (state != JobState::kQueued) DropEarmarks(key);
    // Places may have been kept for it.
    if (state != JobState::kStarting && !held_.empty()) gained_ = true;
  }
  if (IsFinal(record.state)) finished_.erase({record.end_unix_nanos, key});
  record.state = state;
  record.reason = reason;
  record.message = message;
  record.pending_reason.clear();
  if (IsFinal(state)) {
    record.end_unix_nanos = now.unix_nanos;
    record.token = {};
    record.members.clear();
    record.started = false;
  }
  Dirty(*job);
  Emit(*job, "state", reason, message, now);
  CountLive(job);
  if (state == JobState::kQueued) {
    job->queued_unix = now.unix_nanos;
    Admit(job, now);
  } else if (IsFinal(state) || state == JobState::kPaused) {
    Ended(job, now);
  }
}

CoreOutput Core::TakeOutput(Now now) {
  Schedule(now);
  ExplainWaiting(now);
  SaveTenants(now);
  SaveLoad(now);
  for (const std::string& key : dirty_) {
    auto it = jobs_.find(key);
    Job& job = it->second;
    if (!job.deleted) {
      output_.writes.push_back({key, job.version++, ToJson(job.record)});
      continue;
    }
    if (job.version != 0) output_.writes.push_back({key, job.version, std::nullopt});
    jobs_.erase(it);
  }
  for (const std::string& id : dirty_workers_) {
    Worker& worker = workers_.at(id);
    const WorkerRecord record{id, worker.drain_wanted, worker.cordoned};
    output_.writes.push_back({WorkerKey(id), worker.version++, ToJson(record)});
  }
  for (const std::string& key : dirty_actions_) {
    Action& action = actions_.at(key);
    if (!action.deleted) {
      output_.writes.push_back({key, action.version++, ToJson(action.record)});
      continue;
    }
    if (action.version != 0) output_.writes.push_back({key, action.version, std::nullopt});
    actions_.erase(key);
  }
  dirty_.clear();
  dirty_workers_.clear();
  dirty_actions_.clear();
  handled_requests_.clear();
  return std::exchange(output_, {});
}

int64_t Core::NextDeadline(Now now) const {
  int64_t next = INT64_MAX;
  for (const auto& [id, worker] : workers_) {
    if (worker.connected || !worker.jobs.empty() || !worker.releasing.empty())
      next = std::min(next, worker.lease_mono);
    for (const Releasing& entry : worker.releasing) {
      if (entry.stop_by_mono != 0) next = std::min(next, entry.stop_by_mono);
    }
    for (const auto& [job, earmark] : worker.earmarks) next = std::min(next, earmark.until_mono);
  }
  if (!delayed_.empty()) next = std::min(next, delayed_.begin()->first);
  for (const std::string& key : gangs_waiting_) {
    next = std::min(next, jobs_.at(key).assigned_mono + options_.gang_barrier_ms * 1'000'000);
  }
  if (unfinished_) next = std::min(next, now.mono_nanos);
  // Waiting jobs are looked at again each second, so that what they are told about their waiting
  // stays true.
  if (waiting_.size() > 0) next = std::min(next, now.mono_nanos + 1'000'000'000);
  return next;
}

const JobRecord* Core::FindJob(const std::string& tenant, const std::string& id) const {
  const Job* job = Find(JobKey(tenant, id));
  return job == nullptr ? nullptr : &job->record;
}

}  // namespace swage
