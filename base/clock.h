// Time, injected. Wall time is for people and records; leases and time-outs use the monotonic clock only.
#pragma once

#include <cstdint>
#include <string>

namespace swage {

inline constexpr int64_t kNanosPerMilli = 1'000'000;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t MonotonicNanos() = 0;
  virtual int64_t UnixNanos() = 0;
  static Clock* Real();  // never destroyed
};

class ManualClock : public Clock {  // for tests and the simulator; not thread-safe
 public:
  int64_t MonotonicNanos() override { return mono_; }
  int64_t UnixNanos() override { return unix_; }
  void AdvanceMillis(int64_t ms) { mono_ += ms * 1000000; unix_ += ms * 1000000; }

 private:
  int64_t mono_ = 1000000000, unix_ = 1700000000000000000;
};

std::string Rfc3339(int64_t unix_nanos);  // 2026-11-21T12:00:00.123Z

}  // namespace swage
