#include "base/clock.h"

#include <gtest/gtest.h>

namespace swage {
namespace {

TEST(Clock, ManualTimeMovesOnlyWhenTold) {
  ManualClock clock;
  const int64_t mono = clock.MonotonicNanos(), unix_nanos = clock.UnixNanos();
  EXPECT_EQ(clock.MonotonicNanos(), mono);
  clock.AdvanceMillis(250);
  EXPECT_EQ(clock.MonotonicNanos(), mono + 250000000);
  EXPECT_EQ(clock.UnixNanos(), unix_nanos + 250000000);
}

TEST(Clock, RealTimeIsAfterThisTestWasWrittenAndNeverGoesBack) {
  Clock* clock = Clock::Real();
  EXPECT_GT(clock->UnixNanos(), 1700000000000000000);
  int64_t last = clock->MonotonicNanos();
  for (int i = 0; i < 1000; ++i) {
    const int64_t now = clock->MonotonicNanos();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(Rfc3339, IsUtcWithMilliseconds) {
  EXPECT_EQ(Rfc3339(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(Rfc3339(1700000000123456789), "2023-11-14T22:13:20.123Z");
  EXPECT_EQ(Rfc3339(951782400000000000), "2000-02-29T00:00:00.000Z");
}

TEST(Rfc3339, RoundsDownBeforeTheEpochToo) {
  EXPECT_EQ(Rfc3339(-1), "1969-12-31T23:59:59.999Z");
  EXPECT_EQ(Rfc3339(-1000000), "1969-12-31T23:59:59.999Z");
  EXPECT_EQ(Rfc3339(-1000000001), "1969-12-31T23:59:58.999Z");
}

}  // namespace
}  // namespace swage
