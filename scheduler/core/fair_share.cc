#include "scheduler/core/fair_share.h"

#include <algorithm>
#include <cmath>

namespace swage {

Usage& Usage::operator+=(const Usage& other) {
  slots += other.slots;
  host_bytes += other.host_bytes;
  device_bytes += other.device_bytes;
  return *this;
}

Usage& Usage::operator-=(const Usage& other) {
  slots = std::max(0.0, slots - other.slots);
  host_bytes = std::max(0.0, host_bytes - other.host_bytes);
  device_bytes = std::max(0.0, device_bytes - other.device_bytes);
  return *this;
}

const FairShare::Tenant* FairShare::Find(std::string_view tenant) const {
  auto it = tenants_.find(tenant);
  return it == tenants_.end() ? nullptr : &it->second;
}

Usage FairShare::After(const Tenant& tenant, int64_t nanos, const Usage& present) const {
  const double kept = std::exp2(-static_cast<double>(std::max<int64_t>(0, nanos)) /
                                static_cast<double>(half_life_));
  auto mix = [kept](double average, double now) { return now + (average - now) * kept; };
  return {mix(tenant.average.slots, present.slots),
          mix(tenant.average.host_bytes, present.host_bytes),
          mix(tenant.average.device_bytes, present.device_bytes)};
}

FairShare::Tenant& FairShare::At(std::string_view name, int64_t now_mono) {
  auto it = tenants_.find(name);
  if (it == tenants_.end()) {
    it = tenants_.emplace(std::string(name), Tenant{}).first;
    it->second.updated_mono = now_mono;
  }
  Tenant& tenant = it->second;
  tenant.average = After(tenant, now_mono - tenant.updated_mono, tenant.present);
  tenant.updated_mono = now_mono;
  return tenant;
}

void FairShare::SetWeight(std::string_view tenant, double weight) {
  tenants_.try_emplace(std::string(tenant)).first->second.weight = weight;
}

double FairShare::weight(std::string_view tenant) const {
  const Tenant* found = Find(tenant);
  return found == nullptr ? 1 : found->weight;
}

void FairShare::Restore(std::string_view name, const Usage& average, int64_t age_nanos,
                        int64_t now_mono) {
  Tenant& tenant = At(name, now_mono);
  Tenant then;
  then.average = average;
  tenant.average = After(then, age_nanos, {});
}

void FairShare::Begin(std::string_view tenant, const Usage& use, int64_t now_mono) {
  At(tenant, now_mono).present += use;
}

void FairShare::End(std::string_view tenant, const Usage& use, int64_t now_mono) {
  At(tenant, now_mono).present -= use;
}

double FairShare::Share(std::string_view name, int64_t now_mono, const Usage& more) const {
  static const Tenant kNobody;
  const Tenant* found = Find(name);
  const Tenant& tenant = found == nullptr ? kNobody : *found;
  Tenant today = tenant;
  today.average = After(tenant, now_mono - tenant.updated_mono, tenant.present);
  const Usage use = After(today, kHorizonNanos, tenant.present + more);
  auto part = [](double used, double total) { return total > 0 ? used / total : 0.0; };
  const double dominant =
      std::max({part(use.slots, totals_.slots), part(use.host_bytes, totals_.host_bytes),
                part(use.device_bytes, totals_.device_bytes)});
  return dominant / tenant.weight;
}

Usage FairShare::Average(std::string_view name, int64_t now_mono) const {
  const Tenant* tenant = Find(name);
  return tenant == nullptr ? Usage{}
                           : After(*tenant, now_mono - tenant->updated_mono, tenant->present);
}

Usage FairShare::Present(std::string_view name) const {
  const Tenant* tenant = Find(name);
  return tenant == nullptr ? Usage{} : tenant->present;
}

}  // namespace swage
