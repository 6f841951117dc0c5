// Tenants: their weights, their limits, and what they use.
#include <cmath>

#include "scheduler/core/core.h"

namespace swage {
namespace {

constexpr int64_t kSaveUsageNanos = 60'000'000'000, kSaveLoadNanos = 1'000'000'000;

}  // namespace

Core::TenantState& Core::TenantOf(const std::string& name) {
  TenantState& tenant = tenants_[name];
  tenant.settings.tenant = name;
  return tenant;
}

Status Core::SetTenant(const TenantRecord& wanted, Now now) {
  const bool weight_ok = std::isfinite(wanted.weight) && wanted.weight >= limits::kLeastWeight &&
                         wanted.weight <= limits::kMostWeight;
  if (!weight_ok) {
    return InvalidInput("BAD_QUOTA", Cat("weight ", wanted.weight, " is out of range"),
                        Cat("use ", limits::kLeastWeight, " to ", limits::kMostWeight));
  }
  if (wanted.max_running < 0 || wanted.max_queued < 0)
    return InvalidInput("BAD_QUOTA", "a limit is negative", "use 0 for no limit");
  TenantState& tenant = TenantOf(wanted.tenant);
  TenantRecord& settings = tenant.settings;
  settings.weight = wanted.weight;
  settings.max_running = wanted.max_running;
  settings.max_host_bytes = wanted.max_host_bytes;
  settings.max_device_bytes = wanted.max_device_bytes;
  settings.max_queued = wanted.max_queued;
  shares_.SetWeight(wanted.tenant, wanted.weight);
  tenant.saved_mono = INT64_MIN / 2;
  dirty_tenants_.insert(wanted.tenant);
  gained_ = true;  // a limit may have been raised
  (void)now;
  return absl::OkStatus();
}

// What one running job is counted with: the bytes that are kept for it, on all its members.
void Core::CountUse(Job* job, bool begin, Now now) {
  const JobRecord& record = job->record;
  const std::string& tenant = record.job.tenant;
  TenantState& state = TenantOf(tenant);
  if (begin) {
    job->use = {static_cast<double>(record.members.size()), 0, 0};
    for (const MemberRecord& member : record.members) {
      const Worker& worker = workers_.at(member.worker);
      for (const DeviceShare& share : member.devices) {
        bool host = true;
        for (const DeviceReport& d : worker.devices) {
          if (d.id == share.device) host = d.kind == "cpu";
        }
        (host ? job->use.host_bytes : job->use.device_bytes) += static_cast<double>(share.bytes);
      }
    }
    ++state.running;
    shares_.Begin(tenant, job->use, now.mono_nanos);
  } else {
    --state.running;
    shares_.End(tenant, job->use, now.mono_nanos);
    job->use = {};
  }
  dirty_tenants_.insert(tenant);
}

void Core::CountLive(Job* job) {
  const bool live = !job->deleted && !IsFinal(job->record.state);
  if (live == job->counted) return;
  job->counted = live;
  TenantState& tenant = TenantOf(job->record.job.tenant);
  live ? ++tenant.live : --tenant.live;
}

// "" = it may start.
std::string Core::OverQuota(const Job& job) const {
  const std::string& name = job.record.job.tenant;
  auto it = tenants_.find(name);
  if (it == tenants_.end()) return "";
  const TenantRecord& limit = it->second.settings;
  const Usage use = shares_.Present(name);
  const ShapeRecord& shape = job.record.job.shape;
  if (limit.max_running > 0 && it->second.running >= static_cast<uint64_t>(limit.max_running))
    return Cat("tenant ", name, " runs ", it->second.running, " jobs, which is its limit");
  const double host = static_cast<double>(HostNeed(job.record)) * shape.gang;
  if (limit.max_host_bytes > 0 &&
      use.host_bytes + host > static_cast<double>(limit.max_host_bytes)) {
    return Cat("needs ", HumanBytes(host), "; tenant ", name, " uses ", HumanBytes(use.host_bytes),
               " of its ", HumanBytes(static_cast<double>(limit.max_host_bytes)));
  }
  const double device =
      static_cast<double>(DeviceNeed(job.record)) * shape.devices * shape.gang;
  if (limit.max_device_bytes > 0 && device > 0 &&
      use.device_bytes + device > static_cast<double>(limit.max_device_bytes)) {
    return Cat("needs ", HumanBytes(device), " of devices; tenant ", name, " uses ",
               HumanBytes(use.device_bytes), " of its ",
               HumanBytes(static_cast<double>(limit.max_device_bytes)));
  }
  return "";
}

// The part of everything that is the tenant's, were every tenant with jobs to want its own part.
double Core::EntitlementOf(const std::string& name) const {
  double sum = 0, own = 1;
  bool among = false;
  for (const auto& [tenant, state] : tenants_) {
    if (state.live == 0 && tenant != name) continue;
    sum += state.settings.weight;
    if (tenant != name) continue;
    own = state.settings.weight;
    among = true;
  }
  if (!among) sum += own;
  return own / sum;
}

std::vector<TenantView> Core::Tenants(Now now) const {
  std::vector<TenantView> views;
  for (const auto& [name, state] : tenants_) {
    TenantView& view = views.emplace_back();
    view.settings = state.settings;
    view.average = shares_.Average(name, now.mono_nanos);
    view.present = shares_.Present(name);
    view.share = shares_.Share(name, now.mono_nanos);
    view.entitlement = EntitlementOf(name);
    view.running = state.running;
    view.waiting = state.live - state.running;
  }
  return views;
}

// Usage need not be exact after a restart, and is written seldom; settings at once.
void Core::SaveTenants(Now now) {
  for (auto it = dirty_tenants_.begin(); it != dirty_tenants_.end();) {
    TenantState& tenant = TenantOf(*it);
    if (now.mono_nanos - tenant.saved_mono < kSaveUsageNanos) {
      ++it;
      continue;
    }
    tenant.saved_mono = now.mono_nanos;
    TenantRecord& record = tenant.settings;
    const Usage average = shares_.Average(*it, now.mono_nanos);
    record.slots = average.slots;
    record.host_bytes = average.host_bytes;
    record.device_bytes = average.device_bytes;
    record.usage_unix_nanos = now.unix_nanos;
    output_.writes.push_back({TenantKey(*it), tenant.version++, ToJson(record)});
    it = dirty_tenants_.erase(it);
  }
}

void Core::SaveLoad(Now now) {
  if (now.mono_nanos - load_mono_ < kSaveLoadNanos) return;
  load_mono_ = now.mono_nanos;
  LoadRecord load;
  for (const auto& [name, tenant] : tenants_) {
    if (tenant.live > 0) load.queued[name] = tenant.live;
    if (tenant.settings.max_queued > 0)
      load.limit[name] = static_cast<uint64_t>(tenant.settings.max_queued);
  }
  std::string text = ToJson(load);
  if (text == load_written_) return;
  output_.writes.push_back({std::string(kLoadKey), load_version_++, text});
  load_written_ = std::move(text);
}

}  // namespace swage
