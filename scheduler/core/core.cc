#include "scheduler/core/core.h"

#include <algorithm>
#include <utility>

#include "nlohmann/json.hpp"

namespace swage {
namespace {

// The methods a recipe asks for. Control has validated it; what cannot be read here asks for
// nothing.
std::set<std::string> MethodsOf(const std::string& recipe_json) {
  std::set<std::string> methods;
  const auto json = nlohmann::json::parse(recipe_json, nullptr, false);
  if (!json.is_object() || !json.contains("steps") || !json["steps"].is_array()) return methods;
  for (const auto& step : json["steps"]) {
    if (!step.is_object() || !step.contains("method") || !step["method"].is_string()) continue;
    const std::string& method = step["method"].get_ref<const std::string&>();
    if (!method.empty()) methods.insert(method);
  }
  return methods;
}

}  // namespace

Core::Core(const CoreOptions& options, Rng rng) : options_(options), rng_(rng) {}

Core::Worker& Core::WorkerOf(const std::string& id) {
  Worker& worker = workers_[id];
  worker.id = id;
  return worker;
}

Core::Job* Core::Find(const std::string& key) {
  auto it = jobs_.find(key);
  return it == jobs_.end() || it->second.deleted ? nullptr : &it->second;
}

Status Core::Load(const std::string& key, uint64_t version, const std::string& value) {
  const KeyParts parts = SplitKey(key);
  if (parts.kind == "worker") {
    SWAGE_ASSIGN_OR_RETURN(const WorkerRecord record, WorkerRecordFromJson(value));
    Worker& worker = WorkerOf(record.worker_id);
    worker.drain_wanted = record.drain;
    worker.drain_version = version;
  }
  if (parts.kind != "job") return absl::OkStatus();
  auto record = JobRecordFromJson(value);
  if (!record.ok()) return Annotate(record.status(), key);
  Job& job = jobs_[key];
  job.record = std::move(*record);
  job.version = version;
  job.methods = MethodsOf(job.record.job.recipe_json);
  return absl::OkStatus();
}

void Core::FinishLoad(Now now) {
  for (auto& [key, job] : jobs_) {
    JobRecord& record = job.record;
    const bool held = IsActive(job) || record.state == JobState::kCancelling;
    if (held) {
      Worker& worker = WorkerOf(record.worker);
      if (worker.boot_id.empty()) worker.boot_id = record.worker_boot;
      worker.lease_mono = now.mono_nanos + options_.lease_ms * 1000000;
      job.delivered = 0;  // perhaps: the next report tells
      if (IsActive(job)) {
        worker.jobs.insert(key);
      } else {
        worker.releasing.push_back(
            {key, record.worker_boot, record.token, record.reserved_bytes, 0});
      }
    } else if (record.state == JobState::kFinalizing) {
      output_.publishes.push_back(PublishOrderOf(job));
    } else if (record.state == JobState::kQueued) {
      // The wall clock may have been set meanwhile: never wait longer than the longest back-off.
      const int64_t wait =
          std::clamp<int64_t>(record.not_before_unix_nanos - now.unix_nanos, 0, 100'000'000'000);
      job.not_before_mono = now.mono_nanos + wait;
      job.queued_unix = now.unix_nanos;
      Enqueue(&job, now);
    }
  }
}

void Core::Reconciled(const std::string& tenant, const std::string& id, const std::string& artifact,
                      Now now) {
  Job* job = Find(JobKey(tenant, id));
  if (job == nullptr || IsFinal(job->record.state)) return;
  if (IsActive(*job)) {
    CloseAttempt(job, "", "its result had been published before", now);
    Withdraw(job);
  }
  Finish(job, artifact, now);
}

void Core::HandleRequest(const std::string& key, uint64_t version, const Request& request,
                         Now now) {
  if (!handled_requests_.insert(key).second) return;  // told twice
  output_.writes.push_back({key, version, std::nullopt});
  if (request.kind == "create") return Create(request, now);
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
    job->deleted = true;
    Dirty(*job);
  }
}

void Core::Create(const Request& request, Now now) {
  const std::string key = JobKey(request.tenant, request.job_id);
  if (request.job.id != request.job_id || request.job.tenant != request.tenant)
    return;  // control never writes that
  if (jobs_.contains(key)) return;
  Job& job = jobs_[key];
  job.record.job = request.job;
  job.methods = MethodsOf(request.job.recipe_json);
  SetState(&job, JobState::kQueued, "", "accepted", now);
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
      const bool wait = Withdraw(job);
      return SetState(job, wait ? JobState::kCancelling : JobState::kCancelled, reason, message,
                      now);
    }
    case JobState::kFinalizing:
      return Emit(*job, "state", "CANCEL_TOO_LATE",
                  "the result is already decided and is being published", now);
    case JobState::kCancelling:
    case JobState::kSucceeded:
    case JobState::kFailed:
    case JobState::kCancelled: return;
  }
}

void Core::Pause(Job* job, Now now) {
  const std::string reason(ReasonName(Reason::kPausedByUser));
  if (IsActive(*job)) {
    CloseAttempt(job, reason, "paused", now);
    Withdraw(job);
    job->record.token = {};
    job->record.worker.clear();
    job->record.worker_boot.clear();
  } else if (job->record.state != JobState::kQueued) {
    return;
  }
  SetState(job, JobState::kPaused, reason, std::string(PolicyOf(Reason::kPausedByUser).text), now);
}

void Core::Retry(Job* job, Now now) {
  JobRecord& record = job->record;
  if (record.state != JobState::kFailed && record.state != JobState::kCancelled) return;
  record.user_failures = record.infra_losses = 0;
  record.not_before_unix_nanos = job->not_before_mono = 0;
  record.end_unix_nanos = 0;
  record.progress = {};
  record.artifact.clear();
  SetState(job, JobState::kQueued, "", "retried on request", now);
}

Status Core::SetDrain(const std::string& worker_id, bool drain, Now now) {
  auto it = workers_.find(worker_id);
  if (it == workers_.end()) {
    return NotFound("WORKER_UNKNOWN", Cat("no worker '", worker_id, "' has been seen"),
                    "list the workers first");
  }
  Worker& worker = it->second;
  if (worker.drain_wanted == drain) return absl::OkStatus();
  worker.drain_wanted = drain;
  dirty_workers_.insert(worker_id);
  return absl::OkStatus();
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
  if (record.state == JobState::kQueued) Dequeue(*job);
  record.state = state;
  record.reason = reason;
  record.message = message;
  record.pending_reason.clear();
  if (state == JobState::kQueued) {
    job->queued_unix = now.unix_nanos;
    Enqueue(job, now);
  }
  if (IsFinal(state)) {
    record.end_unix_nanos = now.unix_nanos;
    record.token = {};
    record.worker.clear();
    record.worker_boot.clear();
  }
  Dirty(*job);
  Emit(*job, "state", reason, message, now);
}

CoreOutput Core::TakeOutput(Now now) {
  Schedule(now);
  ExplainWaiting(now);
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
    const WorkerRecord record{id, worker.drain_wanted};
    output_.writes.push_back({WorkerKey(id), worker.drain_version++, ToJson(record)});
  }
  dirty_.clear();
  dirty_workers_.clear();
  handled_requests_.clear();
  return std::exchange(output_, {});
}

int64_t Core::NextDeadline(Now now) const {
  int64_t next = INT64_MAX;
  for (const auto& [id, worker] : workers_) {
    if (worker.connected || !worker.jobs.empty() || !worker.releasing.empty())
      next = std::min(next, worker.lease_mono);
  }
  if (!delayed_.empty()) next = std::min(next, delayed_.begin()->first);
  // Waiting jobs are looked at again each second, so that what they are told about their waiting
  // stays true.
  if (!ready_.empty()) next = std::min(next, now.mono_nanos + 1'000'000'000);
  return next;
}

std::vector<WorkerView> Core::Workers() const {
  std::vector<WorkerView> views;
  for (const auto& [id, w] : workers_) {
    WorkerView view{id,           w.boot_id, w.connected, w.draining || w.drain_wanted,
                    w.slot_count, w.devices, {},          w.last_seen_unix};
    for (const std::string& key : w.jobs) view.jobs.push_back(key);
    views.push_back(std::move(view));
  }
  return views;
}

const JobRecord* Core::FindJob(const std::string& tenant, const std::string& id) const {
  auto it = jobs_.find(JobKey(tenant, id));
  return it == jobs_.end() || it->second.deleted ? nullptr : &it->second.record;
}

}  // namespace swage
