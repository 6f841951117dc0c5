// Names of jobs: ULID-like, 26 characters of Crockford's base32 in lower case: 48 bits of milliseconds, 80 bits of
// randomness. Ordered by time to the millisecond, and strictly within one generator.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/rng.h"
#include "base/status.h"

namespace swage {

class JobIdGenerator {  // thread-safe
 public:
  // `random` gives 64 bits at a time; only a simulation, which must repeat itself, has one of its own.
  explicit JobIdGenerator(Clock* clock, std::function<uint64_t()> random = RandomU64)
      : clock_(clock), random_source_(std::move(random)) {}
  std::string Next();

 private:
  Clock* clock_;
  const std::function<uint64_t()> random_source_;
  std::mutex mutex_;
  uint64_t last_ms_ = 0;
  std::array<uint16_t, 5> random_{};  // 16 bits each, most significant first
};

bool IsJobId(std::string_view id);
// "jobs/<id>" or "<id>" -> "<id>"; else INVALID_ARGUMENT/BAD_JOB_NAME.
StatusOr<std::string> ParseJobName(std::string_view name);

}  // namespace swage
