// Which job runs where, and why the others wait.
#include "tests/unit/scheduler/core_harness.h"

namespace swage {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class Placement : public testing::Test, public CoreHarness {};

TEST_F(Placement, HigherPriorityFirstThenTheOlder) {
  Submit("low", kGb, -1);
  Submit("first", kGb, 0);
  Submit("second", kGb, 0);
  Submit("high", kGb, 5);
  std::vector<std::string> order;
  for (int i = 0; i < 4; ++i) {
    auto orders = Sync("w");
    ASSERT_THAT(orders, SizeIs(1));
    order.push_back(orders[0].job);
    Take("w", orders);
    EndWith("w", orders[0].job, DigestText('1'));
    Report("w");
    Take("w", {});
  }
  EXPECT_THAT(order, testing::ElementsAre("high", "first", "second", "low"));
}

TEST_F(Placement, TheWorkerThatFitsTightestTakesIt) {
  worker("large", 64 * kGb, 4);
  worker("small", 8 * kGb, 4);
  worker("tiny", 2 * kGb, 4);
  for (const char* w : {"large", "small", "tiny"}) Sync(w);
  Submit("a", 4 * kGb);
  Step();
  EXPECT_EQ(job("a").worker(), "small");
}

TEST_F(Placement, BytesAreNeverGivenTwice) {
  worker("w", 8 * kGb, 8);
  Submit("a", 5 * kGb);
  Submit("b", 5 * kGb);
  EXPECT_THAT(Sync("w"), SizeIs(1));
  EXPECT_EQ(job("b").pending_reason,
            "next in line; needs 5.0 GB, the most that is free on a worker is 3.0 GB (w)");
}

TEST_F(Placement, BytesOfALeaseThatEndedStayTakenWhileTheWorkerListsThem) {
  worker("w", 8 * kGb, 8);
  Submit("a", 5 * kGb);
  Take("w", Sync("w"));
  Sync("w");
  AdvanceMs(10001);
  Step();
  EXPECT_EQ(job("a").state, JobState::kQueued);
  Sync("w");  // back, and still running it under the old token
  EXPECT_EQ(job("a").state, JobState::kQueued);
  Take("w", {});
  EXPECT_THAT(Sync("w"), SizeIs(1));
}

TEST_F(Placement, ALargeJobIsNotPassedByForEver) {
  worker("w", 8 * kGb, 8);
  Submit("running", 4 * kGb);
  auto running = Sync("w");
  Take("w", running);
  Submit("large", 8 * kGb);
  for (int i = 0; i < 5; ++i) Submit(Cat("small", i), kGb);
  Sync("w");
  EXPECT_EQ(job("small0").state, JobState::kQueued);  // the worker is kept for the large one
  EndWith("w", "running", DigestText('1'));
  Report("w");
  Take("w", {});
  auto next = Sync("w");
  ASSERT_THAT(next, SizeIs(1));
  EXPECT_EQ(next[0].job, "large");
}

TEST_F(Placement, AnInfeasibleJobDoesNotBlockTheOthers) {
  worker("w", 8 * kGb, 8);
  Sync("w");
  Submit("huge", 100 * kGb);
  Submit("small", kGb);
  Step();
  EXPECT_EQ(job("small").state, JobState::kStarting);
  EXPECT_EQ(stored("huge").pending_reason, "needs 100.0 GB, largest worker has 8.0 GB");
}

TEST_F(Placement, AMethodThatNoWorkerOffersIsNamed) {
  Submit("a", kGb, 0, "gptq");
  EXPECT_THAT(Sync("w"), IsEmpty());
  EXPECT_EQ(stored("a").pending_reason, "no connected worker offers gptq");
  worker("w").report.methods.push_back("gptq/2");
  EXPECT_THAT(Sync("w"), SizeIs(1));
}

TEST_F(Placement, EachWaitingJobKnowsWhy) {
  Submit("a");
  Submit("b");
  Submit("c");
  Step();
  EXPECT_EQ(stored("a").pending_reason, "no worker is connected");
  EXPECT_EQ(stored("c").pending_reason, "no worker is connected");
  AdvanceMs(1000);
  Sync("w");
  EXPECT_EQ(stored("a").pending_reason, "");
  EXPECT_EQ(stored("b").pending_reason, "next in line; all 1 slot is busy");
  EXPECT_EQ(stored("c").pending_reason, "1 job ahead");
  const auto queue = core().Queue("t", 10, now);
  ASSERT_THAT(queue, SizeIs(2));
  EXPECT_EQ(queue[1].pending_reason, "1 job ahead");
  EXPECT_THAT(core().Queue("other", 10, now), IsEmpty());
}

TEST_F(Placement, ADeepQueueKeepsReasonsForAll) {
  for (int i = 0; i < 200; ++i) Submit(Cat("j", i));
  Step();
  EXPECT_EQ(stored("j0").pending_reason, "no worker is connected");
  EXPECT_THAT(job("j150").pending_reason, HasSubstr("jobs ahead"));
}

TEST_F(Placement, ARetryPrefersAnotherWorker) {
  worker("v", 8 * kGb);
  Submit("a");
  auto orders = Sync("w");
  Take("w", orders);
  Sync("w");
  Sync("v");
  EndWith("w", "a", "", "CHILD_KILLED");
  Sync("w");
  EXPECT_EQ(job("a").worker(), "v");
}

}  // namespace
}  // namespace swage
