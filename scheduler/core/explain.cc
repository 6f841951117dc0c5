// Why a job waits: one sentence for its record, and the whole account for `swage why`.
#include <algorithm>

#include "base/text.h"
#include "scheduler/core/core.h"

namespace swage {
namespace {

constexpr int64_t kExplainIntervalNanos = 1'000'000'000;
constexpr size_t kAheadCounted = 1000, kVerdicts = 20, kClassesPerRound = 4;

std::string Bytes(uint64_t bytes) { return HumanBytes(static_cast<double>(bytes)); }

std::string Percent(double part) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f %%", part * 100);
  return text;
}

}  // namespace

void Core::ExplainWaiting(Now now) {
  const bool again = now.mono_nanos - explained_mono_ >= kExplainIntervalNanos;
  if (again) explained_mono_ = now.mono_nanos;
  Fits fits;
  auto explain = [&](Job* job) {
    if (!job->record.pending_reason.empty() &&
        (!again || now.mono_nanos - job->pending_mono < kExplainIntervalNanos))
      return;
    // A class costs a look at every worker: a few in one turn, the others in the next.
    if (fits.size() >= kClassesPerRound && !fits.contains(job->shape)) return;
    std::string reason = PendingReason(*job, now, &fits);
    job->pending_mono = now.mono_nanos;
    if (reason == job->record.pending_reason) return;
    job->record.pending_reason = std::move(reason);
    Dirty(*job);
  };
  size_t explained = 0;
  for (const auto& [tenant, jobs] : waiting_.tenants()) {
    for (auto it = jobs.all.begin(); it != jobs.all.end() && explained < kExplainedJobs;
         ++it, ++explained)
      explain(&jobs_.at(it->key));
  }
  size_t delayed = 0;
  for (auto it = delayed_.begin(); it != delayed_.end() && delayed < kExplainedJobs;
       ++it, ++delayed) {
    Job& job = jobs_.at(it->second);
    if (job.record.pending_reason.empty()) explain(&job);
  }
}

std::string Core::PendingReason(const Job& job, Now now, Fits* fits) const {
  const JobRecord& record = job.record;
  if (job.awaits) return record.pending_reason;
  if (job.not_before_mono > now.mono_nanos) {
    if (stopping_.contains(JobKey(record.job.tenant, record.job.id)))
      return "its last attempt is writing a checkpoint";
    const double seconds = static_cast<double>(job.not_before_mono - now.mono_nanos) / 1e9;
    return Cat("tried again in ", HumanSeconds(seconds), " after ", record.reason);
  }
  auto fit = fits->find(job.shape);
  if (fit == fits->end()) fit = fits->emplace(job.shape, FitOf(job)).first;
  return NoFit(job, fit->second);
}

Core::Fit Core::FitOf(const Job& job) const {
  const JobRecord& record = job.record;
  const bool on_device = record.job.shape.devices > 0;
  Fit fit;
  for (const auto& [name, group] : groups_) {
    fit.connected += static_cast<int>(group.connected.size());
    if (!Offers(group, record)) continue;
    for (const std::string& id : group.connected) {
      const Worker& worker = workers_.at(id);
      ++fit.offered;
      Room whole{worker.slot_count, {}};
      for (size_t i = 0; i < worker.devices.size(); ++i) {
        const DeviceReport& d = worker.devices[i];
        whole.bytes.push_back(Usable(worker, d) ? d.total_bytes : 0);
        if ((d.kind == "cpu") == !on_device) fit.largest = std::max(fit.largest, whole.bytes[i]);
      }
      if (!FitInto(worker, whole, record)) continue;
      ++fit.large;
      if (worker.draining || worker.drain_wanted) continue;
      ++fit.accepting;
      fit.slots += worker.slot_count;
      fit.free_slots += worker.room.slots;
      for (size_t i = 0; i < worker.devices.size() && worker.room.slots > 0; ++i) {
        if ((worker.devices[i].kind == "cpu") == on_device) continue;
        if (worker.room.bytes[i] < fit.most_free) continue;
        fit.most_free = worker.room.bytes[i];
        fit.nearest = worker.id;
      }
    }
  }
  return fit;
}

std::string Core::NoFit(const Job& job, const Fit& fit) const {
  const JobRecord& record = job.record;
  const ShapeRecord& shape = record.job.shape;
  const bool on_device = shape.devices > 0;
  const uint64_t need = on_device ? DeviceNeed(record) : HostNeed(record);
  if (fit.connected == 0) return "no worker is connected";
  if (fit.offered == 0) {
    std::vector<std::string> wants = shape.methods;
    wants.insert(wants.end(), shape.features.begin(), shape.features.end());
    if (on_device) wants.push_back(Cat(shape.device_kind, " devices"));
    return Cat("no connected worker offers ", Join(wants, ", "));
  }
  const std::string where = on_device ? " on one device" : "";
  if (fit.large == 0)
    return Cat("needs ", Bytes(need), where, ", largest worker has ", Bytes(fit.largest));
  if (fit.large < shape.gang)
    return Cat("needs ", shape.gang, " workers of ", Bytes(need), "; there are ", fit.large);
  if (fit.accepting == 0) return "every worker that fits is draining";
  if (std::string over = OverQuota(job); !over.empty()) return over;
  const size_t ahead = waiting_.Ahead(record.job.tenant, PlaceOf(job), kAheadCounted);
  if (ahead > 0) return Cat(ahead, ahead == 1 ? " job ahead" : " jobs ahead");
  for (const auto& [id, worker] : workers_with_earmarks_) {
    if (worker->earmarks.contains(JobKey(record.job.tenant, record.job.id)))
      return Cat("room is being made for it on worker ", id);
  }
  if (fit.free_slots == 0) {
    return Cat("next in line; all ", fit.slots,
               fit.slots == 1 ? " slot is busy" : " slots are busy");
  }
  if (shape.gang > 1) return Cat("next in line; needs ", shape.gang, " workers at one time");
  return Cat("next in line; needs ", Bytes(need), where, ", the most that is free on a worker is ",
             Bytes(fit.most_free), fit.nearest.empty() ? "" : Cat(" (", fit.nearest, ")"));
}

std::string Core::VerdictOf(const Worker& worker, const Job& job, Now now) const {
  const JobRecord& record = job.record;
  const ShapeRecord& shape = record.job.shape;
  if (!worker.connected) return "is not connected";
  for (const std::string& method : shape.methods) {
    if (!worker.methods.contains(method)) return Cat("does not offer ", method);
  }
  for (const std::string& feature : shape.features) {
    if (!worker.features.contains(feature)) return Cat("lacks the feature ", feature);
  }
  if (worker.draining || worker.drain_wanted) return "is draining";
  int usable = 0, of_kind = 0;
  for (const DeviceReport& d : worker.devices) {
    if (d.kind != shape.device_kind) continue;
    ++of_kind;
    usable += Usable(worker, d);
  }
  if (of_kind < shape.devices)
    return Cat("has ", of_kind, " ", shape.device_kind, " devices, ", shape.devices, " are needed");
  if (usable < shape.devices) return "its devices are cordoned or unhealthy";
  auto refusal = refusals_.find({job.shape, worker.id});
  if (refusal != refusals_.end() && refusal->second.until_mono > now.mono_nanos) {
    const double left = static_cast<double>(refusal->second.until_mono - now.mono_nanos) / 1e9;
    return Cat("refused a job like this; asked again in ", HumanSeconds(left));
  }
  Room whole{worker.slot_count, {}};
  std::vector<std::string> free;
  for (size_t i = 0; i < worker.devices.size(); ++i) {
    const DeviceReport& d = worker.devices[i];
    whole.bytes.push_back(Usable(worker, d) ? d.total_bytes : 0);
    free.push_back(Cat(d.id, " ", Bytes(worker.room.bytes.size() > i ? worker.room.bytes[i] : 0),
                       " of ", Bytes(d.total_bytes)));
  }
  if (!FitInto(worker, whole, record)) return Cat("is too small: ", Join(free, ", "));
  if (worker.room.slots == 0) {
    return Cat("runs ", worker.jobs.size(), " of ", worker.slot_count,
               worker.slot_count == 1 ? " job" : " jobs");
  }
  if (!FitInto(worker, worker.room, record)) return Cat("free: ", Join(free, ", "));
  if (held_.contains(worker.id)) return "is kept for a larger job that waits longer";
  return "has room";
}

std::vector<Verdict> Core::Verdicts(const Job& job, Now now) const {
  const bool on_device = job.record.job.shape.devices > 0;
  std::vector<std::tuple<bool, uint64_t, std::string>> order;  // nearest fit first
  for (const auto& [id, worker] : workers_) {
    auto group = groups_.find(worker.group);
    const bool offers =
        worker.connected && group != groups_.end() && Offers(group->second, job.record);
    uint64_t most = 0;
    for (size_t i = 0; i < std::min(worker.devices.size(), worker.room.bytes.size()); ++i) {
      if ((worker.devices[i].kind == "cpu") != on_device) most = std::max(most, worker.room.bytes[i]);
    }
    order.emplace_back(!offers, UINT64_MAX - most, id);
  }
  std::sort(order.begin(), order.end());
  std::vector<Verdict> verdicts;
  for (const auto& [no, most, id] : order) {
    if (verdicts.size() == kVerdicts) break;
    verdicts.push_back({id, VerdictOf(workers_.at(id), job, now)});
  }
  return verdicts;
}

StatusOr<Explanation> Core::Explain(const std::string& tenant, const std::string& id,
                                    Now now) const {
  const Job* job = Find(JobKey(tenant, id));
  if (job == nullptr)
    return NotFound("JOB_NOT_FOUND", Cat("there is no job jobs/", id), "`swage jobs` lists the jobs");
  const JobRecord& record = job->record;
  Explanation out;
  out.state = std::string(JobStateName(record.state));
  if (record.state != JobState::kQueued) {
    out.summary = IsActive(*job) ? Cat("runs on ", record.worker(), ", stage ",
                                       record.progress.stage.empty() ? "not yet begun" : record.progress.stage)
                                 : record.message;
    if (IsActive(*job) && !record.started)
      out.summary = "waits until all of its workers are ready";
    return out;
  }
  Fits fits;
  out.summary = PendingReason(*job, now, &fits);
  const ShapeRecord& shape = record.job.shape;
  std::string needs = Cat("needs ", Bytes(HostNeed(record)), " of memory");
  if (shape.devices > 0) {
    needs += Cat(" and ", shape.devices, " ", shape.device_kind, " of ", Bytes(DeviceNeed(record)));
  }
  if (shape.gang > 1) needs += Cat(" on each of ", shape.gang, " workers");
  if (!shape.methods.empty()) needs += Cat("; methods ", Join(shape.methods, ", "));
  if (!shape.features.empty()) needs += Cat("; features ", Join(shape.features, ", "));
  out.facts.push_back(needs);
  const size_t ahead = waiting_.Ahead(tenant, PlaceOf(*job), kAheadCounted);
  out.facts.push_back(Cat("priority ", record.job.priority, "; ", ahead,
                          ahead == kAheadCounted ? " or more" : "", " of the tenant's jobs before it"));
  auto state = tenants_.find(tenant);
  if (state != tenants_.end()) {
    const double share = shares_.Share(tenant, now.mono_nanos) * state->second.settings.weight;
    out.facts.push_back(Cat("tenant ", tenant, " runs ", state->second.running, " jobs and has ",
                            Percent(share), " of the workers over time; its part is ",
                            Percent(EntitlementOf(tenant))));
  }
  if (record.user_failures + record.infra_losses > 0) {
    out.facts.push_back(Cat("failed ", record.user_failures, " times by itself, lost ",
                            record.infra_losses, " times; the last time: ", record.reason));
  }
  if (record.evictions > 0) out.facts.push_back(Cat("preempted ", record.evictions, " times"));
  if (!job->awaits) out.workers = Verdicts(*job, now);
  return out;
}

std::vector<QueuedView> Core::Queue(const std::string& tenant, size_t limit, Now now) const {
  std::vector<QueuedView> views;
  Fits fits;
  auto add = [&](const Job& job) {
    const AdmittedJob& spec = job.record.job;
    if (views.size() >= limit || (!tenant.empty() && spec.tenant != tenant)) return;
    views.push_back({spec.tenant, spec.id, PendingReason(job, now, &fits), spec.priority, job.queued_unix});
  };
  for (const auto& [name, jobs] : waiting_.tenants()) {
    for (auto it = jobs.all.begin(); it != jobs.all.end() && views.size() < limit; ++it)
      add(jobs_.at(it->key));
  }
  for (auto it = delayed_.begin(); it != delayed_.end() && views.size() < limit; ++it)
    add(jobs_.at(it->second));
  std::set<std::string> awaiting;
  for (const auto* others : {&dependents_, &followers_}) {
    for (const auto& [key, jobs] : *others) awaiting.insert(jobs.begin(), jobs.end());
  }
  for (const std::string& key : awaiting) {
    const Job* job = Find(key);
    if (job != nullptr && job->awaits && job->record.state == JobState::kQueued) add(*job);
  }
  return views;
}

std::vector<ClassView> Core::QueueClasses(const std::string& tenant, size_t limit, Now now) const {
  std::vector<ClassView> views;
  Fits fits;
  for (const auto& [name, jobs] : waiting_.tenants()) {
    if (!tenant.empty() && name != tenant) continue;
    for (const auto& [place, shape] : jobs.heads) {
      if (views.size() == limit) return views;
      const Job& oldest = jobs_.at(place.key);
      views.push_back({name, shape, jobs.classes.at(shape).size(), oldest.record.job.id,
                       PendingReason(oldest, now, &fits)});
    }
  }
  return views;
}

}  // namespace swage
