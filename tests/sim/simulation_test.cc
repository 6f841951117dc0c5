#include "tests/sim/simulation.h"

#include "base/log.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swage::sim {
namespace {

TEST(Simulation, ASeedReproducesExactly) {
  SetLogLevel(LogLevel::kError);
  for (uint64_t seed : {3, 4}) {
    const SimResult first = Simulate({seed, 0.05, true}), again = Simulate({seed, 0.05, true});
    EXPECT_EQ(first.steps, again.steps);
    EXPECT_EQ(first.trace, again.trace);
    // What is written down does not change what happens.
    EXPECT_EQ(Simulate({seed, 0.05, false}).steps, first.steps);
  }
  EXPECT_NE(Simulate({3, 0.05, false}).steps, Simulate({4, 0.05, false}).steps);
}

TEST(Simulation, ItIsHardEnough) {
  SetLogLevel(LogLevel::kError);
  const SimResult result = Simulate({5, 0.2, false});
  EXPECT_EQ(result.violation, "");
  EXPECT_GE(result.jobs, 200u);   // 1000 an hour
  EXPECT_GE(result.faults, 20u);  // 100 an hour
  EXPECT_GE(result.succeeded, result.jobs / 2);
}

}  // namespace
}  // namespace swage::sim
