#include "workers/daemon/slot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "workers/daemon/lease.h"

namespace swage {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Assignment Job(const std::string& job, uint64_t epoch) {
  Assignment assignment;
  assignment.tenant = "default";
  assignment.job = job;
  assignment.token = {1, epoch, std::hash<std::string>()(job)};
  return assignment;
}

TEST(SlotTable, AnAssignmentStartsOnceHoweverOftenItIsSaid) {
  SlotTable table(2);
  EXPECT_EQ(table.Converge({Job("a", 1)}).start.size(), 1u);
  EXPECT_THAT(table.Converge({Job("a", 1)}).start, IsEmpty());
}

TEST(SlotTable, AnOutcomeIsRepeatedUntilTheSchedulerListsItNoMore) {
  SlotTable table(1);
  const Assignment a = Job("a", 1);
  table.Converge({a});
  table.Finished(a.token, {"d1", "", ""});
  EXPECT_EQ(table.slots().at(a.token).outcome.manifest_digest, "d1");
  table.Converge({a});
  EXPECT_EQ(table.slots().at(a.token).state, SlotState::kReporting);
  const auto actions = table.Converge({});
  ASSERT_EQ(actions.accepted.size(), 1u);
  EXPECT_EQ(actions.accepted[0].job, "a");
  EXPECT_TRUE(table.slots().empty());
}

TEST(SlotTable, ScratchOfAFailureIsKept) {
  SlotTable table(1);
  const Assignment a = Job("a", 1);
  table.Converge({a});
  table.Finished(a.token, {"", "CHILD_KILLED", ""});
  EXPECT_THAT(table.Converge({}).accepted, IsEmpty());
}

TEST(SlotTable, WhatIsNotListedStopsAndReportsNoOutcome) {
  SlotTable table(1);
  const Assignment a = Job("a", 1);
  table.Converge({a});
  EXPECT_THAT(table.Converge({}).stop, ElementsAre(a.token));
  EXPECT_FALSE(table.MayCommit(a.token));
  EXPECT_EQ(table.slots().size(), 1u);  // still told: the scheduler must know that its bytes are not free yet
  table.Finished(a.token, {"late", "", ""});
  EXPECT_TRUE(table.slots().empty());
}

TEST(SlotTable, ANewAttemptOfAJobWaitsForTheOldOnesEnd) {
  SlotTable table(4);
  const Assignment first = Job("a", 1), second = Job("a", 2);
  table.Converge({first});
  const auto actions = table.Converge({second});
  EXPECT_THAT(actions.stop, ElementsAre(first.token));
  EXPECT_THAT(actions.start, IsEmpty());
  EXPECT_EQ(table.Finished(first.token, {}).start.size(), 1u);
}

TEST(SlotTable, NoMoreRunThanThereAreSlots) {
  SlotTable table(1);
  const Assignment a = Job("a", 1), b = Job("b", 1);
  EXPECT_EQ(table.Converge({a, b}).start.size(), 1u);
  const AttemptToken running = table.MayCommit(a.token) ? a.token : b.token;
  EXPECT_EQ(table.Finished(running, {"d", "", ""}).start.size(), 1u);
}

// Seen by the simulator: a new scheduler gives a slot while a job that it never knew is still stopping there.
TEST(SlotTable, WhatDoesNotFitBesideTheRestWaitsForItsEnd) {
  SlotTable table(3);
  table.LimitMemory(100);
  Assignment a = Job("a", 1), b = Job("b", 1), c = Job("c", 1), huge = Job("huge", 1);
  a.memory_limit_bytes = b.memory_limit_bytes = 60;
  c.memory_limit_bytes = 40;
  huge.memory_limit_bytes = 200;  // nothing to wait for when it is alone
  EXPECT_EQ(table.Converge({a}).start.size(), 1u);
  const auto actions = table.Converge({b, c});  // a stops
  ASSERT_EQ(actions.start.size(), 1u);
  EXPECT_EQ(actions.start[0].job, "c");
  const auto freed = table.Finished(a.token, {});
  ASSERT_EQ(freed.start.size(), 1u);
  EXPECT_EQ(freed.start[0].job, "b");
  table.Converge({huge});
  table.Finished(b.token, {});
  ASSERT_EQ(table.Finished(c.token, {}).start.size(), 1u);
}

TEST(SlotTable, AfterTheFenceNothingIsCommittedOrReported) {
  SlotTable table(2);
  const Assignment runs = Job("a", 1), done = Job("b", 1);
  table.Converge({runs, done});
  table.Finished(done.token, {"d", "", ""});
  EXPECT_THAT(table.Fence().stop, ElementsAre(runs.token));
  EXPECT_FALSE(table.MayCommit(runs.token));
  EXPECT_EQ(table.slots().count(done.token), 0u);
  table.Finished(runs.token, {"d", "", ""});
  EXPECT_TRUE(table.slots().empty());
}

TEST(SlotTable, ADrainingWorkerStartsNothing) {
  SlotTable table(1);
  const Assignment a = Job("a", 1), b = Job("b", 1);
  table.Converge({a});
  table.Drain();
  EXPECT_THAT(table.Converge({a, b}).start, IsEmpty());
  table.Finished(a.token, {"", "DRAINED", ""});
  EXPECT_EQ(table.slots().at(a.token).outcome.reason, "DRAINED");
  EXPECT_EQ(table.slots().size(), 1u);
}

constexpr int64_t kMs = 1000000;

TEST(LeaseClock, CountsFromSendingAndEndsAtFourFifths) {
  LeaseClock lease;
  EXPECT_FALSE(lease.held(1));
  lease.Sent(1000 * kMs);
  EXPECT_TRUE(lease.Answered(10000, 4000 * kMs));
  EXPECT_EQ(lease.fence_at(), 9000 * kMs);
  EXPECT_TRUE(lease.held(8999 * kMs));
  EXPECT_FALSE(lease.held(9000 * kMs));
}

TEST(LeaseClock, AnAnswerThatComesAfterItsFenceIsWorthNothing) {
  LeaseClock lease;
  lease.Sent(0);
  EXPECT_FALSE(lease.Answered(1000, 800 * kMs));
  EXPECT_FALSE(lease.held(801 * kMs));
}

TEST(LeaseClock, NewsCutsACallShortOnlyWhileTheLeaseIsYoung) {
  LeaseClock lease;
  lease.Sent(0);
  ASSERT_TRUE(lease.Answered(1000, 10 * kMs));
  lease.Sent(100 * kMs);
  EXPECT_EQ(lease.MayInterruptAt(), 150 * kMs);
  lease.Sent(390 * kMs);  // cutting this one short could leave no time to renew
  EXPECT_EQ(lease.MayInterruptAt(), INT64_MAX);
}

}  // namespace
}  // namespace swage
