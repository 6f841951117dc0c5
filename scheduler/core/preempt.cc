// Taking room back from running jobs, for a job that has a better claim to it: one of higher
// priority of the same tenant, or one of a tenant that has less than its part from tenants that
// have more than theirs.
//
// First it is worked out on paper whether ending a few jobs of one worker makes room; only then are
// they ended, and what they free is kept for the job that it was freed for until it is placed
// (Kueue #13797: else others take it, and the evicting goes on for ever). A job is left alone for
// its first minutes, and after it has been evicted limits::kEvictionsPerJob times for good.
#include <algorithm>

#include "scheduler/core/core.h"

namespace swage {
namespace {

constexpr size_t kWorkersConsidered = 256;

}  // namespace

bool Core::MayEvict(const Job& victim, const Job& for_job, bool reclaim, Now now) const {
  const JobRecord& v = victim.record;
  const AdmittedJob& j = for_job.record.job;
  if (!IsActive(victim) || !v.job.preemptible || v.members.size() > 1) return false;
  if (v.evictions >= limits::kEvictionsPerJob) return false;
  if (now.mono_nanos - victim.started_mono < options_.min_runtime_ms * 1'000'000) return false;
  if (!reclaim) return v.job.tenant == j.tenant && v.job.priority < j.priority;
  return v.job.tenant != j.tenant;
}

// In the order in which they are ended: whose tenant has most, lowest priority, least work lost.
std::vector<Core::Job*> Core::VictimsOn(const Worker& worker, const Job& job, bool reclaim,
                                        Now now) {
  std::vector<Job*> victims;
  for (const std::string& key : worker.jobs) {
    Job* victim = Find(key);
    if (victim != nullptr && MayEvict(*victim, job, reclaim, now)) victims.push_back(victim);
  }
  auto rank = [&](const Job* v) {
    return std::tuple(-shares_.Share(v->record.job.tenant, now.mono_nanos), v->record.job.priority,
                      -v->started_mono, v->record.job.id);
  };
  std::sort(victims.begin(), victims.end(),
            [&](const Job* a, const Job* b) { return rank(a) < rank(b); });
  // A tenant keeps its own part: nobody is brought below it for another's sake.
  std::map<std::string, double> left;
  std::vector<Job*> kept;
  for (Job* victim : victims) {
    if (reclaim) {
      const std::string& tenant = victim->record.job.tenant;
      const Usage& totals = totals_;
      auto part = [](double use, double total) { return total > 0 ? use / total : 0.0; };
      auto dominant = [&](const Usage& u) {
        return std::max({part(u.slots, totals.slots), part(u.host_bytes, totals.host_bytes),
                         part(u.device_bytes, totals.device_bytes)});
      };
      auto [it, first] = left.try_emplace(tenant, 0);
      if (first) it->second = dominant(shares_.Present(tenant));
      const double after = it->second - dominant(victim->use);
      if (after < EntitlementOf(tenant) - 1e-9) continue;
      it->second = after;
    }
    kept.push_back(victim);
  }
  return kept;
}

bool Core::Preempt(Job* job, Pass* pass) {
  const Now now = pass->now;
  const AdmittedJob& spec = job->record.job;
  const std::string key = JobKey(spec.tenant, spec.id);
  if (spec.shape.gang > 1) return false;
  const double share = shares_.Share(spec.tenant, now.mono_nanos) * shares_.weight(spec.tenant);
  Worker* best = nullptr;
  std::vector<Job*> best_victims;
  for (const bool reclaim : {false, true}) {
    if (reclaim && share >= EntitlementOf(spec.tenant)) break;
    size_t considered = 0;
    for (const auto& [name, group] : groups_) {
      if (!Offers(group, job->record)) continue;
      for (const std::string& id : group.connected) {
        Worker& worker = workers_.at(id);
        if (worker.draining || worker.drain_wanted || worker.jobs.empty()) continue;
        if (++considered > kWorkersConsidered) break;
        std::vector<Job*> victims;
        Room room = RoomOf(worker, key);
        bool fits = false;
        for (Job* victim : VictimsOn(worker, *job, reclaim, now)) {
          victims.push_back(victim);
          ++room.slots;
          for (const DeviceShare& freed : victim->record.members[0].devices) {
            for (size_t i = 0; i < worker.devices.size(); ++i) {
              if (worker.devices[i].id == freed.device) room.bytes[i] += freed.bytes;
            }
          }
          fits = FitInto(worker, room, job->record).has_value();
          if (fits) break;
        }
        if (!fits || (best != nullptr && victims.size() >= best_victims.size())) continue;
        best = &worker;
        best_victims = std::move(victims);
      }
    }
    if (best != nullptr) break;
  }
  if (best == nullptr) return false;
  Room room = RoomOf(*best, key);
  room.slots += static_cast<int>(best_victims.size());
  for (const Job* victim : best_victims) {
    for (const DeviceShare& freed : victim->record.members[0].devices) {
      for (size_t i = 0; i < best->devices.size(); ++i) {
        if (best->devices[i].id == freed.device) room.bytes[i] += freed.bytes;
      }
    }
  }
  best->earmarks[key] = {*FitInto(*best, room, job->record),
                         now.mono_nanos + 4 * options_.stop_grace_ms * 1'000'000};
  workers_with_earmarks_[best->id] = best;
  Touch(best->id);
  for (Job* victim : best_victims)
    Evict(victim, Reason::kPreempted, Cat("made room for jobs/", spec.id), now);
  return true;
}

// Ends an attempt that did nothing wrong, with time for a checkpoint; the job waits again.
void Core::Evict(Job* victim, Reason reason, const std::string& message, Now now) {
  if (!IsActive(*victim)) return;
  JobRecord& record = victim->record;
  if (reason == Reason::kPreempted) {
    ++record.evictions;
    ++evictions_;
  }
  Withdraw(victim, reason, "", options_.stop_grace_ms, now);
  CloseAttempt(victim, std::string(ReasonName(reason)), message, now);
  record.token = {};
  record.members.clear();
  record.started = false;
  Requeue(victim, reason, message, 0, now);
}

void Core::DropEarmarks(const std::string& job_key) {
  for (auto it = workers_with_earmarks_.begin(); it != workers_with_earmarks_.end();) {
    Worker& worker = *it->second;
    if (worker.earmarks.erase(job_key) > 0) Touch(worker.id);
    it = worker.earmarks.empty() ? workers_with_earmarks_.erase(it) : std::next(it);
  }
}

}  // namespace swage
