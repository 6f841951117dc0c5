// When a running job's checkpoint is put into the store again. Pure; times are nanoseconds of the monotonic clock.
#pragma once

#include <algorithm>
#include <cstdint>

namespace swage {

class SharePace {
 public:
  SharePace(int64_t every_ms, int64_t now) : every_nanos_(every_ms * 1000000), due_(now + every_nanos_) {}
  bool Due(int64_t now) const { return now >= due_; }
  // Reading and sending it takes time from the job's machine: a twentieth of it at most.
  void Shared(int64_t began, int64_t ended) { due_ = ended + std::max(every_nanos_, 20 * (ended - began)); }

 private:
  const int64_t every_nanos_;
  int64_t due_;
};

}  // namespace swage
