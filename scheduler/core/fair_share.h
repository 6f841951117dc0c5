// Weighted dominant-resource fair sharing between tenants, over time.
//
// A tenant's usage of each resource (slots, host bytes, device bytes) is averaged with a half-life:
// u(t + d) = now + (u(t) - now) * 2^(-d / half_life). Its share is the largest of its averages,
// each divided by what the workers have in all, divided by its weight (DRF, Ghodsi et al. 2011; the
// decay is Kueue's and Slurm's). Who has the lowest share is served next.
//
// An average alone moves slowly: a tenant could take everything in the moment between two of its
// updates. So shares are compared as they would be after `kHorizonNanos` more of the present usage:
// what was just given counts at once, and is given back when it ends early. That is Kueue's entry
// penalty A * request with A = 1 - 2^(-horizon / half_life), without its book-keeping.
//
// Time is the monotonic clock's. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace swage {

struct Usage {
  double slots = 0, host_bytes = 0, device_bytes = 0;
  Usage& operator+=(const Usage& other);
  Usage& operator-=(const Usage& other);
};
inline Usage operator+(Usage a, const Usage& b) { return a += b; }

class FairShare {
 public:
  static constexpr int64_t kHorizonNanos = 300'000'000'000;  // 5 min
  explicit FairShare(int64_t half_life_nanos) : half_life_(half_life_nanos) {}

  // What all connected workers have. A resource that nobody has counts for nothing.
  void SetTotals(const Usage& totals) { totals_ = totals; }
  const Usage& totals() const { return totals_; }
  void SetWeight(std::string_view tenant, double weight);  // > 0; default 1
  double weight(std::string_view tenant) const;
  // From a record: the average as it was so long ago.
  void Restore(std::string_view tenant, const Usage& average, int64_t age_nanos, int64_t now_mono);

  void Begin(std::string_view tenant, const Usage& use, int64_t now_mono);
  void End(std::string_view tenant, const Usage& use, int64_t now_mono);

  // The dominant share, weighted, as it will be at the horizon; `more` is added to the present use.
  double Share(std::string_view tenant, int64_t now_mono, const Usage& more = {}) const;
  Usage Average(std::string_view tenant, int64_t now_mono) const;
  Usage Present(std::string_view tenant) const;

 private:
  struct Tenant {
    double weight = 1;
    Usage average, present;
    int64_t updated_mono = 0;
  };
  const Tenant* Find(std::string_view tenant) const;
  Tenant& At(std::string_view tenant, int64_t now_mono);
  Usage After(const Tenant& tenant, int64_t nanos, const Usage& present) const;

  const int64_t half_life_;
  Usage totals_;
  std::map<std::string, Tenant, std::less<>> tenants_;
};

}  // namespace swage
