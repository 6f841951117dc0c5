// Which job runs where: tenants by their share, within a tenant by priority and age, on the worker
// that fits best in bytes.
#include <algorithm>

#include "base/text.h"
#include "scheduler/core/core.h"

namespace swage {
namespace {

// Bounds of one look at the queue, so that it stays within milliseconds; what is left comes with
// the next turn.
constexpr int kLooksPerPass = 2000, kPlacedPerPass = 256, kPreemptionsPerPass = 4,
              kClaimsPerPass = 4;
constexpr int kHeadsPerPass = 20000, kHoldsPerPass = 16;
constexpr size_t kClaimsPerClass = 16, kRefusalsRemembered = 10000;
constexpr int64_t kUnparkNanos = 5'000'000'000;     // what depends on time alone is looked at again
constexpr uint64_t kLocalityBytes = 64ull << 20;    // a smaller model is fetched anywhere
constexpr size_t kDelayedPerPass = 10000, kClaimsRemembered = 10000;
constexpr int64_t kClaimIntervalNanos = 1'000'000'000;

}  // namespace

// A job that comes back takes its old place: it is older than those behind it.
WaitingJobs::Place Core::PlaceOf(const Job& job) const {
  const AdmittedJob& spec = job.record.job;
  return WaitingJobs::PlaceOf(JobKey(spec.tenant, spec.id), spec.create_unix_nanos, spec.priority);
}

void Core::Enqueue(Job* job, Now now) {
  const AdmittedJob& spec = job->record.job;
  job->shape = ShapeOf(job->record);
  // Where it goes on it wants the checkpoint that its last attempt is writing.
  auto stopping = stopping_.find(JobKey(spec.tenant, spec.id));
  if (stopping != stopping_.end())
    job->not_before_mono = std::max(job->not_before_mono, stopping->second.until_mono);
  if (job->not_before_mono > now.mono_nanos) {
    delayed_.emplace(job->not_before_mono, JobKey(spec.tenant, spec.id));
    return;
  }
  if (waiting_.size() >= kExplainedJobs)
    job->record.pending_reason = Cat(waiting_.size(), " jobs ahead");
  waiting_.Insert(spec.tenant, job->shape, PlaceOf(*job));
}

void Core::Dequeue(const Job& job) {
  const AdmittedJob& spec = job.record.job;
  waiting_.Erase(spec.tenant, job.shape, PlaceOf(job));
  delayed_.erase({job.not_before_mono, JobKey(spec.tenant, spec.id)});
}

void Core::Schedule(Now now) {
  for (size_t i = 0; i < kDelayedPerPass && !delayed_.empty(); ++i) {
    if (delayed_.begin()->first > now.mono_nanos) break;
    Job& job = jobs_.at(delayed_.begin()->second);
    delayed_.erase(delayed_.begin());
    Enqueue(&job, now);
  }
  ReindexTouched();
  unfinished_ = false;
  if (waiting_.size() == 0) return;
  if (std::exchange(gained_, false) || now.mono_nanos - unparked_mono_ >= kUnparkNanos) {
    parked_.clear();
    held_.clear();
    if (claims_looked_.size() > kClaimsRemembered) claims_looked_.clear();
    if (refusals_.size() > kRefusalsRemembered)
      std::erase_if(refusals_, [&](const auto& r) { return r.second.until_mono <= now.mono_nanos; });
    unparked_mono_ = now.mono_nanos;
  }
  Pass pass{now};
  std::set<std::pair<double, std::string>> turns;  // lowest share first
  for (const auto& [tenant, jobs] : waiting_.tenants())
    turns.emplace(shares_.Share(tenant, now.mono_nanos), tenant);
  while (!turns.empty()) {
    if (pass.looks >= kLooksPerPass || pass.placed >= kPlacedPerPass) {
      unfinished_ = true;
      break;
    }
    const std::string tenant = turns.begin()->second;
    turns.erase(turns.begin());
    bool more = false;
    Serve(tenant, &pass, &more);
    if (more) turns.emplace(shares_.Share(tenant, now.mono_nanos), tenant);
  }
  ReindexTouched();
}

// Gives the tenant's foremost job that may be placed one try. `more`: there are others to try.
void Core::Serve(const std::string& tenant, Pass* pass, bool* more) {
  auto of = waiting_.tenants().find(tenant);
  if (of == waiting_.tenants().end()) return;
  // What was passed in this look stays passed: a class that does not fit, or is over the quota.
  const auto& heads = of->second.heads;
  auto at = pass->reached.find(tenant);
  auto it = at == pass->reached.end() ? heads.begin() : heads.upper_bound(at->second);
  for (; it != heads.end(); ++it) {
    if (++pass->heads > kHeadsPerPass) return;
    const std::tuple head = *it;  // a copy: what follows may take it away
    const auto& [place, shape] = head;
    if (parked_.contains(shape)) continue;
    pass->reached[tenant] = head;
    ++pass->looks;
    *more = true;
    Job& job = jobs_.at(place.key);
    if (!OverQuota(job).empty()) return;
    if (Place(&job, pass)) {
      ++pass->placed;
    } else {
      parked_.insert(shape);
    }
    return;
  }
}

bool Core::Place(Job* job, Pass* pass) {
  const std::vector<Seat> seats = FindSeats(*job, pass->now);
  if (seats.size() == static_cast<size_t>(job->record.job.shape.gang)) {
    Assign(job, seats, pass->now);
    ReindexTouched();
    return true;
  }
  if (++pass->holds <= kHoldsPerPass) HoldFor(*job);
  MakeRoom(*job, pass);
  ReindexTouched();
  return false;
}

// For the first jobs of the class: while room is being made for one, it may be for the next, too.
void Core::MakeRoom(const Job& first, Pass* pass) {
  // Looking for victims means looking at every worker, and the answer changes with time only
  // slowly: once a second for each class is often enough.
  const auto [last, never] = claims_looked_.try_emplace(
      {first.record.job.tenant, first.shape}, pass->now.mono_nanos);
  if (!never) {
    if (pass->now.mono_nanos - last->second < kClaimIntervalNanos) return;
    last->second = pass->now.mono_nanos;
  }
  if (++pass->claims > kClaimsPerPass) {
    last->second = 0;  // its turn comes with another pass
    return;
  }
  const auto& classes = waiting_.tenants().at(first.record.job.tenant).classes;
  std::vector<std::string> keys;
  for (const auto& place : classes.at(first.shape)) {
    keys.push_back(place.key);  // copied: evicting changes the queue
    if (keys.size() == kClaimsPerClass) break;
  }
  for (const std::string& key : keys) {
    if (pass->preemptions >= kPreemptionsPerPass) return;
    const bool claimed =
        std::any_of(workers_with_earmarks_.begin(), workers_with_earmarks_.end(),
                    [&](const auto& w) { return w.second->earmarks.contains(key); });
    if (claimed) continue;
    if (!Preempt(&jobs_.at(key), pass)) return;
    ++pass->preemptions;
  }
}

std::optional<Core::Seat> Core::SeatOn(Worker* worker, const Job& job, Now now) const {
  const std::string key = JobKey(job.record.job.tenant, job.record.job.id);
  const bool earmarked = worker->earmarks.contains(key);
  if (!worker->connected || worker->draining || worker->drain_wanted) return std::nullopt;
  if (!earmarked && (!worker->open || held_.contains(worker->id))) return std::nullopt;
  auto refusal = refusals_.find({job.shape, worker->id});
  if (refusal != refusals_.end() && refusal->second.until_mono > now.mono_nanos) return std::nullopt;
  auto shares = touched_.contains(worker->id) || earmarked
                    ? FitInto(*worker, RoomOf(*worker, key), job.record)
                    : FitInto(*worker, worker->room, job.record);
  if (!shares.has_value()) return std::nullopt;
  return Seat{worker, std::move(*shares)};
}

void Core::SeatFrom(const Group& group, const Job& job, const std::string& not_on, Now now,
                    std::vector<Seat>* seats) {
  const ShapeRecord& shape = job.record.job.shape;
  const size_t wanted = static_cast<size_t>(shape.gang);
  const bool on_device = shape.devices > 0;
  auto it = group.open.lower_bound({on_device ? DeviceNeed(job.record) : 0,
                                    on_device ? 0 : HostNeed(job.record), ""});
  // The fullest that has room comes first, where the host's memory decides. Where there are devices
  // as well the order is by these, and for the host alone every worker is looked at.
  if (!on_device && group.kinds.size() > 1) it = group.open.begin();
  for (; it != group.open.end() && seats->size() < wanted; ++it) {
    const std::string& id = std::get<2>(*it);
    if (id == not_on) continue;
    const bool seated = std::any_of(seats->begin(), seats->end(),
                                    [&](const Seat& s) { return s.worker->id == id; });
    if (seated) continue;
    if (auto seat = SeatOn(&workers_.at(id), job, now)) seats->push_back(std::move(*seat));
  }
}

// Each on a worker of its own; fewer than the gang needs when there are no more.
std::vector<Core::Seat> Core::FindSeats(const Job& job, Now now) {
  const AdmittedJob& spec = job.record.job;
  const size_t wanted = static_cast<size_t>(spec.shape.gang);
  const std::string key = JobKey(spec.tenant, spec.id);
  std::vector<Seat> seats;
  for (auto& [id, worker] : workers_with_earmarks_) {
    if (!worker->earmarks.contains(key) || seats.size() == wanted) continue;
    if (auto seat = SeatOn(worker, job, now)) seats.push_back(std::move(*seat));
  }
  const std::string failed_on =
      job.record.attempts.empty() ? "" : job.record.attempts.back().worker;
  // Fetching a large model costs more than a tighter fit saves.
  auto near = cached_.find(spec.model_digest);
  if (near != cached_.end() && spec.model_bytes >= kLocalityBytes) {
    for (const std::string& id : near->second) {
      if (seats.size() == wanted) break;
      Worker& worker = workers_.at(id);
      auto group = groups_.find(worker.group);
      const bool seated = std::any_of(seats.begin(), seats.end(),
                                      [&](const Seat& s) { return s.worker == &worker; });
      if (seated || id == failed_on || group == groups_.end() ||
          !Offers(group->second, job.record))
        continue;
      if (auto seat = SeatOn(&worker, job, now)) seats.push_back(std::move(*seat));
    }
  }
  // Workers without devices first for what needs none; where it failed last, last.
  for (const bool with_devices : {false, true}) {
    for (auto& [name, group] : groups_) {
      if (seats.size() == wanted) return seats;
      if ((group.kinds.size() > 1) != with_devices || !Offers(group, job.record)) continue;
      SeatFrom(group, job, failed_on, now, &seats);
    }
  }
  if (seats.size() < wanted && !failed_on.empty()) {
    auto worker = workers_.find(failed_on);
    if (worker == workers_.end()) return seats;
    auto group = groups_.find(worker->second.group);
    const bool seated = std::any_of(seats.begin(), seats.end(), [&](const Seat& s) {
      return s.worker == &worker->second;
    });
    if (seated || group == groups_.end() || !Offers(group->second, job.record)) return seats;
    if (auto seat = SeatOn(&worker->second, job, now)) seats.push_back(std::move(*seat));
  }
  return seats;
}

// Keeps the places for it that will be large enough once something there ends: smaller jobs behind
// would otherwise pass it by for ever. Not more than a quarter of the workers are kept so, or one.
void Core::HoldFor(const Job& job) {
  // For a gang all of its places, also those that it could have now: else others take them until the
  // rest is there.
  const auto wanted = static_cast<size_t>(job.record.job.shape.gang);
  std::vector<std::pair<uint64_t, std::string>> later;
  size_t connected = 0;
  for (const auto& [name, group] : groups_) {
    connected += group.connected.size();
    if (!Offers(group, job.record)) continue;
    for (const auto& [device, host, id] : group.open) {
      const Worker& worker = workers_.at(id);
      if (held_.contains(id)) continue;
      Room whole{worker.slot_count, {}};
      for (const DeviceReport& d : worker.devices)
        whole.bytes.push_back(Usable(worker, d) ? d.total_bytes : 0);
      if (!FitInto(worker, whole, job.record)) continue;
      later.emplace_back(job.record.job.shape.devices > 0 ? device : host, id);
    }
  }
  std::sort(later.rbegin(), later.rend());
  const bool first = held_.empty();
  for (size_t i = 0; i < std::min(wanted, later.size()); ++i) {
    if (!first && held_.size() >= std::max<size_t>(1, connected / 4)) return;
    held_.insert(later[i].second);
  }
}

void Core::Assign(Job* job, const std::vector<Seat>& seats, Now now) {
  JobRecord& record = job->record;
  const std::string key = JobKey(record.job.tenant, record.job.id);
  DropEarmarks(key);
  ++record.epoch;
  const uint64_t random = (static_cast<uint64_t>(rng_()) << 32) | rng_();
  record.token = {options_.incarnation, record.epoch, random};
  record.members.clear();
  job->members.clear();
  std::vector<std::string> names;
  for (const Seat& seat : seats) {
    record.members.push_back({seat.worker->id, seat.worker->boot_id, seat.devices});
    job->members[seat.worker->id] = {};
    seat.worker->jobs.insert(key);
    Touch(seat.worker->id);
    names.push_back(seat.worker->id);
  }
  record.started = seats.size() == 1;
  record.progress = {};
  if (record.start_unix_nanos == 0) record.start_unix_nanos = now.unix_nanos;
  record.attempts.push_back({record.epoch, seats[0].worker->id, now.unix_nanos, 0, "", "", ""});
  job->assigned_mono = job->started_mono = now.mono_nanos;
  if (!record.started) gangs_waiting_.insert(key);
  job->progress_fraction = -1;
  job->progress_stage.clear();
  output_.spans.push_back({"schedule",
                           record.job.traceparent,
                           job->queued_unix,
                           now.unix_nanos,
                           {{"swage.job", record.job.id},
                            {"swage.epoch", Cat(record.epoch)},
                            {"swage.worker", names[0]}}});
  SetState(job, JobState::kStarting, "",
           Cat("assigned to ", names.size() == 1 ? "worker " : "workers ", Join(names, ", ")), now);
  CountUse(job, true, now);
}

}  // namespace swage
