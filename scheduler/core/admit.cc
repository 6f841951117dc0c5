// What a job waits for before it may be placed: other jobs whose results it needs, and an equal job
// that is already doing the same. And what follows for others when it ends.
#include <algorithm>

#include "scheduler/core/core.h"

namespace swage {

void Core::HandleCreated(const std::string& key, uint64_t version, JobRecord record, Now now) {
  const bool fresh = record.state == JobState::kQueued && record.epoch == 0 && version > 0;
  if (!fresh || key != JobKey(record.job.tenant, record.job.id)) return;  // control never writes that
  if (jobs_.contains(key)) return;  // told twice
  Job& job = jobs_[key];
  job.record = std::move(record);
  job.version = version;
  job.queued_unix = now.unix_nanos;
  Index(&job);
  Admit(&job, now);
}

// What is remembered of every job, whatever its state.
void Core::Index(Job* job) {
  const JobRecord& record = job->record;
  const std::string key = JobKey(record.job.tenant, record.job.id);
  job->shape = ShapeOf(record);
  for (const std::string& id : record.job.after)
    dependents_[JobKey(record.job.tenant, id)].insert(key);
  if (!record.job.model_job.empty())
    dependents_[JobKey(record.job.tenant, record.job.model_job)].insert(key);
  CountLive(job);
  if (IsFinal(record.state)) finished_.emplace(record.end_unix_nanos, key);
}

void Core::Admit(Job* job, Now now) {
  job->awaits = false;
  if (AwaitsOthers(job, now) || TakesFromCache(job, now) || Follows(job, now)) return;
  Enqueue(job, now);
}

// True when the job is not to be placed yet, or never.
bool Core::AwaitsOthers(Job* job, Now now) {
  AdmittedJob& spec = job->record.job;
  std::vector<std::string> ids = spec.after;
  if (!spec.model_job.empty()) ids.push_back(spec.model_job);
  for (const std::string& id : ids) {
    const Job* other = Find(JobKey(spec.tenant, id));
    const std::string reason(ReasonName(Reason::kDependencyFailed));
    if (other == nullptr) {
      SetState(job, JobState::kFailed, reason, Cat("jobs/", id, " does not exist any more"), now);
      return true;
    }
    const JobRecord& record = other->record;
    if (record.state == JobState::kSucceeded) {
      if (id == spec.model_job && spec.model_digest.empty()) {
        spec.model_digest = record.artifact;
        Dirty(*job);
      }
      continue;
    }
    if (IsFinal(record.state)) {
      SetState(job, JobState::kFailed, reason,
               Cat("jobs/", id, " is ", JobStateName(record.state),
                   record.message.empty() ? "" : ": ", record.message,
                   "; retry that one, and this one follows"),
               now);
      return true;
    }
    job->awaits = true;
    job->record.pending_reason = Cat("waits for jobs/", id);
    Dirty(*job);
    return true;
  }
  return false;
}

bool Core::TakesFromCache(Job* job, Now now) {
  JobRecord& record = job->record;
  if (record.job.action_key.empty()) return false;
  auto it = actions_.find(ActionKey(record.job.tenant, record.job.action_key));
  if (it == actions_.end() || it->second.deleted) return false;
  record.artifact = it->second.record.artifact;
  record.shared = true;
  record.progress.stage = "commit";
  // Whether that artifact is still there, and whole, is for the store to say when it is published.
  SetState(job, JobState::kFinalizing, "CACHE_HIT",
           Cat("jobs/", it->second.record.job, " has made the same"), now);
  output_.publishes.push_back(PublishOrderOf(*job));
  return true;
}

bool Core::Follows(Job* job, Now) {
  JobRecord& record = job->record;
  if (record.job.action_key.empty()) return false;
  const std::string key = JobKey(record.job.tenant, record.job.id);
  auto [it, first] =
      doing_.try_emplace(ActionKey(record.job.tenant, record.job.action_key), key);
  if (first || it->second == key) return false;
  const Job* doer = Find(it->second);
  if (doer == nullptr || IsFinal(doer->record.state) || doer->record.state == JobState::kPaused) {
    it->second = key;
    return false;
  }
  job->awaits = true;
  record.follows = doer->record.job.id;
  record.pending_reason = Cat("jobs/", record.follows, " is doing the same; its result will be this one's");
  followers_[it->second].insert(key);
  Dirty(*job);
  return true;
}

// The job is over, or paused: those that counted on it are told.
void Core::Ended(Job* job, Now now) {
  const JobRecord& record = job->record;
  const std::string key = JobKey(record.job.tenant, record.job.id);
  if (IsFinal(record.state)) finished_.emplace(record.end_unix_nanos, key);
  if (!record.job.action_key.empty()) {
    auto it = doing_.find(ActionKey(record.job.tenant, record.job.action_key));
    if (it != doing_.end() && it->second == key) doing_.erase(it);
  }
  if (auto it = followers_.find(key); it != followers_.end()) {
    const std::set<std::string> followers = std::move(it->second);
    followers_.erase(it);
    for (const std::string& other : followers) {
      Job* follower = Find(other);
      if (follower == nullptr || follower->record.follows != record.job.id) continue;
      follower->record.follows.clear();
      follower->record.pending_reason.clear();
      Dirty(*follower);
      Admit(follower, now);  // finds the result among the actions, or does the work itself
    }
  }
  auto dependents = dependents_.find(key);
  if (dependents == dependents_.end() || record.state == JobState::kPaused) return;
  for (const std::string& other : std::set<std::string>(dependents->second)) {
    Job* waiting = Find(other);
    if (waiting == nullptr || waiting->record.state != JobState::kQueued) continue;
    waiting->record.pending_reason.clear();
    Dirty(*waiting);
    Admit(waiting, now);
  }
}

// A step that failed is tried again: the steps behind it that failed with it come along, those
// before it keep their results.
void Core::ReviveDependents(const Job& job, Now now) {
  const JobRecord& record = job.record;
  auto dependents = dependents_.find(JobKey(record.job.tenant, record.job.id));
  if (dependents == dependents_.end()) return;
  for (const std::string& other : std::set<std::string>(dependents->second)) {
    Job* failed = Find(other);
    if (failed == nullptr || failed->record.state != JobState::kFailed ||
        failed->record.reason != ReasonName(Reason::kDependencyFailed)) {
      continue;
    }
    failed->record.end_unix_nanos = 0;
    SetState(failed, JobState::kQueued, "", Cat("jobs/", record.job.id, " is tried again"), now);
    ReviveDependents(*failed, now);
  }
}

void Core::ForgetAction(const Job& job) {
  const AdmittedJob& spec = job.record.job;
  const std::string key = ActionKey(spec.tenant, spec.action_key);
  auto it = actions_.find(key);
  if (it == actions_.end() || it->second.record.artifact != job.record.artifact) return;
  it->second.deleted = true;
  dirty_actions_.insert(key);
}

std::string Core::ShapeOf(const JobRecord& record) {
  const ShapeRecord& shape = record.job.shape;
  return Cat(Join(shape.methods, ","), "|", HostNeed(record), "|", shape.device_kind, "|",
             shape.devices, "|", DeviceNeed(record), "|", Join(shape.features, ","), "|",
             shape.gang);
}

}  // namespace swage
