#include "scheduler/core/waiting_jobs.h"

namespace swage {

bool WaitingJobs::Insert(const std::string& tenant, const std::string& shape, const Place& place) {
  Tenant& of = tenants_[tenant];
  if (!of.all.insert(place).second) return false;
  std::set<Place>& jobs = of.classes[shape];
  if (!jobs.empty()) of.heads.erase({*jobs.begin(), shape});
  jobs.insert(place);
  of.heads.emplace(*jobs.begin(), shape);
  ++size_;
  return true;
}

bool WaitingJobs::Erase(const std::string& tenant, const std::string& shape, const Place& place) {
  auto of = tenants_.find(tenant);
  if (of == tenants_.end() || of->second.all.erase(place) == 0) return false;
  auto jobs = of->second.classes.find(shape);
  of->second.heads.erase({*jobs->second.begin(), shape});
  jobs->second.erase(place);
  if (jobs->second.empty()) {
    of->second.classes.erase(jobs);
  } else {
    of->second.heads.emplace(*jobs->second.begin(), shape);
  }
  if (of->second.all.empty()) tenants_.erase(of);
  --size_;
  return true;
}

size_t WaitingJobs::Ahead(const std::string& tenant, const Place& place, size_t limit) const {
  auto of = tenants_.find(tenant);
  size_t ahead = 0;
  if (of == tenants_.end()) return 0;
  for (auto it = of->second.all.begin(); it != of->second.all.end() && ahead < limit; ++it) {
    if (!(*it < place)) break;
    ++ahead;
  }
  return ahead;
}

}  // namespace swage
