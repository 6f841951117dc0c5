// Which job runs where: priority, then age; best fit in bytes; and why the others wait.
#include <algorithm>

#include "base/text.h"
#include "scheduler/core/core.h"

namespace swage {
namespace {

constexpr size_t kExplained = 64;  // waiting jobs whose reason is kept up to date in their record
constexpr int64_t kExplainIntervalNanos = 1'000'000'000;

}  // namespace

// A job that comes back takes its old place: it is older than those behind it.
Core::QueuePlace Core::PlaceOf(const Job& job) {
  const AdmittedJob& spec = job.record.job;
  return {-spec.priority, spec.create_unix_nanos, JobKey(spec.tenant, spec.id)};
}

void Core::Enqueue(Job* job, Now now) {
  if (job->not_before_mono > now.mono_nanos) {
    delayed_.emplace(job->not_before_mono, std::get<2>(PlaceOf(*job)));
    return;
  }
  if (ready_.size() >= kExplained) job->record.pending_reason = Cat(ready_.size(), " jobs ahead");
  ready_.insert(PlaceOf(*job));
}

void Core::Dequeue(const Job& job) {
  const QueuePlace place = PlaceOf(job);
  ready_.erase(place);
  delayed_.erase({job.not_before_mono, std::get<2>(place)});
}

uint64_t Core::NeedOf(const Job& job) const {
  return std::max(job.record.job.peak_host_bytes, job.record.learned_bytes);
}

// What is left: capacity less the assignments, less what is being let go, less what it says it runs
// though nobody wants it to (a lease that ended elsewhere, an earlier leader's).
Core::Room Core::RoomOf(const Worker& worker) const {
  int slots = worker.slot_count;
  uint64_t used = 0;
  auto take = [&](uint64_t bytes) {
    --slots;
    used += bytes;
  };
  std::set<std::pair<std::string, uint64_t>> counted;  // key and epoch
  for (const std::string& key : worker.jobs) {
    const JobRecord& record = jobs_.at(key).record;
    counted.emplace(key, record.token.epoch);
    take(record.reserved_bytes);
  }
  for (const Releasing& entry : worker.releasing) {
    counted.emplace(entry.job_key, entry.token.epoch);
    take(entry.bytes);
  }
  for (const Reported& reported : worker.reported) {
    if (reported.ended || counted.contains({reported.job_key, reported.token.epoch})) continue;
    auto job = jobs_.find(reported.job_key);
    take(job == jobs_.end() ? worker.capacity_bytes : job->second.record.reserved_bytes);
  }
  return {std::max(0, slots), worker.capacity_bytes - std::min(used, worker.capacity_bytes)};
}

bool Core::Offers(const Worker& worker, const Job& job) {
  return std::includes(worker.methods.begin(), worker.methods.end(), job.methods.begin(),
                       job.methods.end());
}

void Core::Schedule(Now now) {
  while (!delayed_.empty() && delayed_.begin()->first <= now.mono_nanos) {
    Job& job = jobs_.at(delayed_.begin()->second);
    delayed_.erase(delayed_.begin());
    ready_.insert(PlaceOf(job));
  }
  std::map<Worker*, Room> open;
  for (auto& [id, worker] : workers_) {
    if (!worker.connected || worker.draining || worker.drain_wanted) continue;
    if (const Room room = RoomOf(worker); room.slots > 0) open.emplace(&worker, room);
  }
  std::set<std::pair<uint64_t, std::set<std::string>>>
      unplaceable;  // shapes that found no place in this pass
  for (auto it = ready_.begin(); it != ready_.end() && !open.empty();) {
    Job& job = jobs_.at(std::get<2>(*it));
    ++it;  // Assign takes the job out of the queue
    const uint64_t need = NeedOf(job);
    if (unplaceable.contains({need, job.methods})) continue;
    const std::string failed_on =
        job.record.attempts.empty() ? "" : job.record.attempts.back().worker;
    Worker* best = nullptr;
    Worker* later = nullptr;  // could take it once something there ends
    std::tuple<bool, uint64_t, std::string> best_rank;
    for (auto& [worker, room] : open) {
      if (!Offers(*worker, job) || worker->capacity_bytes < need) continue;
      if (room.bytes < need) {
        if (later == nullptr || room.bytes > open[later].bytes) later = worker;
        continue;
      }
      std::tuple<bool, uint64_t, std::string> rank(worker->id == failed_on, room.bytes - need,
                                                   worker->id);
      if (best == nullptr || rank < best_rank) {
        best = worker;
        best_rank = rank;
      }
    }
    if (best != nullptr) {
      Assign(&job, best, now);
      const Room room = RoomOf(*best);
      if (room.slots > 0) {
        open[best] = room;
      } else {
        open.erase(best);
      }
      continue;
    }
    unplaceable.emplace(need, job.methods);
    // Keeps the place for it: smaller jobs behind would otherwise pass it by for ever.
    if (later != nullptr) open.erase(later);
  }
}

void Core::Assign(Job* job, Worker* worker, Now now) {
  JobRecord& record = job->record;
  Dequeue(*job);
  ++record.epoch;
  const uint64_t random = (static_cast<uint64_t>(rng_()) << 32) | rng_();
  record.token = {options_.incarnation, record.epoch, random};
  record.worker = worker->id;
  record.worker_boot = worker->boot_id;
  // A worker of one slot gives all it has; otherwise each job holds what it was estimated to need.
  record.reserved_bytes = worker->slot_count == 1 ? worker->capacity_bytes : NeedOf(*job);
  record.progress = {};
  if (record.start_unix_nanos == 0) record.start_unix_nanos = now.unix_nanos;
  record.attempts.push_back({record.epoch, worker->id, now.unix_nanos, 0, "", "", ""});
  job->delivered.reset();
  job->unseen = 0;
  job->progress_fraction = -1;
  job->progress_stage.clear();
  worker->jobs.insert(JobKey(record.job.tenant, record.job.id));
  output_.spans.push_back({"schedule",
                           record.job.traceparent,
                           job->queued_unix,
                           now.unix_nanos,
                           {{"swage.job", record.job.id},
                            {"swage.epoch", Cat(record.epoch)},
                            {"swage.worker", worker->id}}});
  SetState(job, JobState::kStarting, "", Cat("assigned to worker ", worker->id), now);
}

void Core::ExplainWaiting(Now now) {
  auto explain = [&](Job* job, size_t ahead) {
    if (!job->record.pending_reason.empty() &&
        now.mono_nanos - job->pending_mono < kExplainIntervalNanos)
      return;
    std::string reason = PendingReason(*job, ahead, now);
    if (reason == job->record.pending_reason) return;
    job->record.pending_reason = std::move(reason);
    job->pending_mono = now.mono_nanos;
    Dirty(*job);
  };
  size_t ahead = 0;
  for (auto it = ready_.begin(); it != ready_.end() && ahead < kExplained; ++it) {
    explain(&jobs_.at(std::get<2>(*it)), ahead++);
  }
  size_t waiting = 0;
  for (auto it = delayed_.begin(); it != delayed_.end() && waiting < kExplained; ++it, ++waiting) {
    Job& job = jobs_.at(it->second);
    if (job.record.pending_reason.empty()) explain(&job, 0);
  }
}

std::string Core::PendingReason(const Job& job, size_t ahead, Now now) const {
  if (job.not_before_mono > now.mono_nanos) {
    const double seconds = static_cast<double>(job.not_before_mono - now.mono_nanos) / 1e9;
    return Cat("tried again in ", HumanSeconds(seconds), " after ", job.record.reason);
  }
  const uint64_t need = NeedOf(job);
  bool connected = false, offered = false, accepting = false;
  int slots = 0, free_slots = 0;
  uint64_t largest = 0, free_bytes = 0;
  for (const auto& [id, worker] : workers_) {
    if (!worker.connected) continue;
    connected = true;
    if (!Offers(worker, job)) continue;
    offered = true;
    largest = std::max(largest, worker.capacity_bytes);
    if (worker.capacity_bytes < need || worker.draining || worker.drain_wanted) continue;
    accepting = true;
    const Room room = RoomOf(worker);
    slots += worker.slot_count;
    free_slots += room.slots;
    free_bytes = std::max(free_bytes, room.bytes);
  }
  if (!connected) return "no worker is connected";
  if (!offered) {
    return Cat("no connected worker offers ",
               Join(std::vector<std::string>(job.methods.begin(), job.methods.end()), ", "));
  }
  if (largest < need) {
    return Cat("needs ", HumanBytes(static_cast<double>(need)), ", largest worker has ",
               HumanBytes(static_cast<double>(largest)));
  }
  if (!accepting) return "every worker that fits is draining";
  if (ahead > 0) return Cat(ahead, ahead == 1 ? " job ahead" : " jobs ahead");
  if (free_slots == 0)
    return Cat("next in line; all ", slots, slots == 1 ? " slot is busy" : " slots are busy");
  return Cat("next in line; needs ", HumanBytes(static_cast<double>(need)),
             ", the most that is free on a worker is ",
             HumanBytes(static_cast<double>(free_bytes)));
}

std::vector<QueuedView> Core::Queue(const std::string& tenant, size_t limit, Now now) const {
  std::vector<QueuedView> views;
  auto add = [&](const Job& job, size_t ahead) {
    const AdmittedJob& spec = job.record.job;
    if (!tenant.empty() && spec.tenant != tenant) return;
    views.push_back({spec.tenant, spec.id, PendingReason(job, ahead, now)});
  };
  size_t ahead = 0;
  for (auto it = ready_.begin(); it != ready_.end() && views.size() < limit; ++it) {
    add(jobs_.at(std::get<2>(*it)), ahead++);
  }
  for (auto it = delayed_.begin(); it != delayed_.end() && views.size() < limit; ++it)
    add(jobs_.at(it->second), 0);
  return views;
}

}  // namespace swage
