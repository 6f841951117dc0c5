#include "base/clock.h"

#include <cstdio>
#include <ctime>

namespace swage {
namespace {

constexpr int64_t kNanosPerSecond = 1000000000;

int64_t ReadClock(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return now.tv_sec * kNanosPerSecond + now.tv_nsec;
}

class RealClock : public Clock {
 public:
  int64_t MonotonicNanos() override { return ReadClock(CLOCK_MONOTONIC); }
  int64_t UnixNanos() override { return ReadClock(CLOCK_REALTIME); }
};

}  // namespace

Clock* Clock::Real() {
  static Clock* clock = new RealClock;
  return clock;
}

std::string Rfc3339(int64_t unix_nanos) {
  int64_t millis = unix_nanos / 1000000;
  if (unix_nanos % 1000000 < 0) --millis;  // towards the past, before 1970 too
  int64_t rest = millis % 1000;
  if (rest < 0) rest += 1000;
  const time_t seconds = (millis - rest) / 1000;
  tm utc{};
  gmtime_r(&seconds, &utc);
  char date[48], text[64];
  std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(text, sizeof text, "%s.%03dZ", date, static_cast<int>(rest));
  return text;
}

}  // namespace swage
