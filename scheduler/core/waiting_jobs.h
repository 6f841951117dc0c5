// The jobs that could run now, by tenant and shape class. Jobs of one class need the same of a
// worker: when the first of them finds no place, none does, so that a thousand equal jobs cost one
// look (Kueue's KEP-9694).
//
// Within a tenant the order is: time of creation less kPriorityStepNanos for each step of priority.
// It never changes while a job waits, needs no ageing pass, and nobody waits for ever: a job of the
// lowest priority is passed by those that come within 200 steps after it, and by no later one.
//
// Every operation costs O(log n). Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>

namespace swage {

class WaitingJobs {
 public:
  static constexpr int64_t kPriorityStepNanos = 600'000'000'000;  // 10 min

  struct Place {
    int64_t rank = 0;  // smaller first
    std::string key;
    auto operator<=>(const Place&) const = default;
  };
  static Place PlaceOf(const std::string& key, int64_t create_unix_nanos, int priority) {
    return {create_unix_nanos - priority * kPriorityStepNanos, key};
  }

  using Classes = std::map<std::string, std::set<Place>>;
  struct Tenant {
    Classes classes;                               // never empty sets
    std::set<std::tuple<Place, std::string>> heads;  // the first of each class, and its class
    std::set<Place> all;
  };

  bool Insert(const std::string& tenant, const std::string& shape, const Place& place);
  bool Erase(const std::string& tenant, const std::string& shape, const Place& place);
  size_t size() const { return size_; }
  const std::map<std::string, Tenant>& tenants() const { return tenants_; }
  // How many of the tenant's jobs come before; counts at most `limit`.
  size_t Ahead(const std::string& tenant, const Place& place, size_t limit) const;

 private:
  std::map<std::string, Tenant> tenants_;
  size_t size_ = 0;
};

}  // namespace swage
