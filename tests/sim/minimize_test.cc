#include "tests/sim/minimize.h"

#include <algorithm>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swage::sim {
namespace {

int64_t Submits(const SimResult& result) {
  return std::count_if(result.acts.begin(), result.acts.end(),
                       [](const ClientAct& act) { return act.kind == "submit"; });
}

// Of all the faults and calls, one fault and two jobs bring the violation about.
TEST(Minimize, LeavesOutWhatHasNoPartInIt) {
  SimOptions broken;
  broken.seed = 11;
  broken.hours = 0.02;
  broken.faults.emplace();
  for (int i = 0; i < 20; ++i) {
    const FaultKind kind = i == 13 ? FaultKind::kSchedulerKill : FaultKind::kWorkerStop;
    broken.faults->push_back({i * kSecond, kind, kSecond, static_cast<uint64_t>(i), 0, 0});
  }
  broken.planted_rule = [](const SimResult& r) {
    return Submits(r) >= 2 && std::any_of(r.injected.begin(), r.injected.end(), [](const Fault& f) {
             return f.kind == FaultKind::kSchedulerKill;
           });
  };
  const SimResult failed = Simulate(broken);
  ASSERT_EQ(failed.violation.rule, "planted");
  const Minimized small = Minimize(broken, failed, 20 * kSecond);
  EXPECT_EQ(small.result.violation.rule, "planted");
  ASSERT_EQ(small.result.injected.size(), 1u);
  EXPECT_EQ(small.result.injected[0].kind, FaultKind::kSchedulerKill);
  EXPECT_EQ(Submits(small.result), 2);
  EXPECT_FALSE(small.result.trace.empty());
}

}  // namespace
}  // namespace swage::sim
