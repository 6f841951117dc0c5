#include "tests/sim/simulation.h"

#include "base/log.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swage::sim {
namespace {

SimOptions Of(uint64_t seed, double hours, bool traced) {
  SimOptions options;
  options.seed = seed;
  options.hours = hours;
  options.traced = traced;
  return options;
}

TEST(Simulation, ASeedReproducesExactly) {
  SetLogLevel(LogLevel::kError);
  for (uint64_t seed : {3, 4}) {
    const SimResult first = Simulate(Of(seed, 0.05, true)), again = Simulate(Of(seed, 0.05, true));
    EXPECT_EQ(first.steps, again.steps);
    EXPECT_EQ(first.trace, again.trace);
    // What is written down does not change what happens.
    EXPECT_EQ(Simulate(Of(seed, 0.05, false)).steps, first.steps);
  }
  EXPECT_NE(Simulate(Of(3, 0.05, false)).steps, Simulate(Of(4, 0.05, false)).steps);
}

TEST(Simulation, TheSamePlanGivesTheSameHistory) {
  SetLogLevel(LogLevel::kError);
  SimOptions options = Of(6, 0.05, true);
  const SimResult first = Simulate(options);
  options.faults = first.injected;
  options.acts = first.acts;
  EXPECT_EQ(Simulate(options).trace, first.trace);
}

TEST(Simulation, ItIsHardEnough) {
  SetLogLevel(LogLevel::kError);
  SimOptions options = Of(5, 0.4, false);
  options.profile = FaultProfile::kLight;
  const SimResult result = Simulate(options);
  EXPECT_EQ(result.violation.what, "");
  EXPECT_GE(result.jobs, 400u);   // 1000 an hour
  EXPECT_GE(result.faults, 40u);  // 100 an hour
  EXPECT_GE(result.succeeded, result.jobs / 2);
}

TEST(Simulation, WithoutFaultsNothingIsLostAndNearlyAllSucceed) {
  SetLogLevel(LogLevel::kError);
  SimOptions options = Of(8, 0.1, false);
  options.profile = FaultProfile::kNone;
  const SimResult result = Simulate(options);
  EXPECT_EQ(result.violation.what, "");
  EXPECT_EQ(result.faults + result.disturbed_messages + result.lost_writes + result.vanished, 0u);
  EXPECT_GE(result.succeeded, result.jobs * 8 / 10);
}

// G14: while all of them want everything, each tenant has its part of it.
TEST(Simulation, SharesFollowTheWeights) {
  SetLogLevel(LogLevel::kError);
  SimOptions options = Of(9, 1, false);
  options.profile = FaultProfile::kNone;
  options.workload.emplace();
  for (int i = 0; i < 2400; ++i) {
    const TenantShape& tenant = Tenants()[static_cast<size_t>(i % 3)];
    options.workload->jobs.push_back(SmallJob(tenant.name, kGb, 40 * kSecond));
    options.workload->acts.push_back({i * kMillisecond, "submit", i});
  }
  const SimResult result = Simulate(options);
  EXPECT_EQ(result.violation.what, "");
  double seconds = 0, weights = 0;
  for (size_t i = 0; i < 3; ++i) {
    seconds += result.slot_seconds.at(Tenants()[i].name);
    weights += Tenants()[i].weight;
  }
  for (size_t i = 0; i < 3; ++i) {
    const double due = seconds * Tenants()[i].weight / weights;
    EXPECT_NEAR(result.slot_seconds.at(Tenants()[i].name), due, 0.05 * due) << Tenants()[i].name;
  }
}

}  // namespace
}  // namespace swage::sim
