#include "workers/daemon/lease.h"

#include "base/clock.h"

namespace swage {
namespace {

constexpr int64_t kSpacing = 50 * kNanosPerMilli;  // of calls that news cut short

}  // namespace

bool LeaseClock::Answered(int64_t lease_ms, int64_t now) {
  lease_nanos_ = lease_ms * kNanosPerMilli;
  const int64_t fence = sent_ + lease_nanos_ * 8 / 10;
  if (fence <= now) return false;
  renewed_ = sent_;
  fence_at_ = fence;
  return true;
}

int64_t LeaseClock::MayInterruptAt() const {
  const int64_t earliest = sent_ + kSpacing;
  return earliest <= renewed_ + lease_nanos_ * 4 / 10 ? earliest : INT64_MAX;
}

}  // namespace swage
