#include "workers/daemon/slot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "workers/daemon/lease.h"
#include "workers/daemon/share_pace.h"

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

TEST(SlotTable, TheBytesOfADeviceAreSharedOutToo) {
  SlotTable table(3);
  table.LimitDevice("GPU-1", 100);
  Assignment a = Job("a", 1), b = Job("b", 1), c = Job("c", 1);
  a.devices = {{"GPU-1", 70}};
  b.devices = {{"GPU-1", 40}};
  c.devices = {{"GPU-2", 40}};
  table.Converge({a});
  const auto actions = table.Converge({b, c});
  ASSERT_EQ(actions.start.size(), 1u);
  EXPECT_EQ(actions.start[0].job, "c");
  EXPECT_EQ(table.Finished(a.token, {}).start.size(), 1u);
}

Assignment Stop(Assignment assignment) {
  assignment.stop = true;
  assignment.grace_ms = 30000;
  assignment.stop_reason = "PREEMPTED";
  return assignment;
}

TEST(SlotTable, AStopWithGraceWindsDownOnceAndTellsOfItsCheckpoint) {
  SlotTable table(1);
  const Assignment a = Job("a", 1);
  table.Converge({a});
  const auto actions = table.Converge({Stop(a)});
  EXPECT_THAT(actions.stop, IsEmpty());
  ASSERT_EQ(actions.wind_down.size(), 1u);
  EXPECT_EQ(actions.wind_down[0].grace_ms, 30000);
  EXPECT_EQ(actions.wind_down[0].reason, "PREEMPTED");
  EXPECT_TRUE(table.slots().at(a.token).winding_down);
  EXPECT_FALSE(table.MayCommit(a.token));
  const auto again = table.Converge({Stop(a), Job("b", 1)});
  EXPECT_THAT(again.wind_down, IsEmpty());
  EXPECT_THAT(again.start, IsEmpty()) << "it holds its place";
  table.Checkpointed(a.token, "c1");
  EXPECT_EQ(table.Finished(a.token, {"", "PREEMPTED", ""}).start.size(), 1u);
  // Said at least once, with the checkpoint; gone when the scheduler has heard it.
  EXPECT_EQ(table.slots().at(a.token).outcome.reason, "PREEMPTED");
  EXPECT_EQ(table.slots().at(a.token).checkpoint, "c1");
  EXPECT_THAT(table.Converge({Stop(a), Job("b", 1)}).accepted, IsEmpty());
  EXPECT_FALSE(table.slots().contains(a.token));
}

TEST(SlotTable, TheEndOfTheGraceStopsAtOnce) {
  SlotTable table(1);
  const Assignment a = Job("a", 1);
  table.Converge({a});
  table.Converge({Stop(a)});
  EXPECT_THAT(table.Converge({}).stop, ElementsAre(a.token));
  EXPECT_THAT(table.Converge({}).stop, IsEmpty());
  table.Finished(a.token, {"", "PREEMPTED", ""});
  EXPECT_TRUE(table.slots().empty());
}

TEST(SlotTable, WhatHasNotStartedNeedsNoGrace) {
  SlotTable table(1);
  const Assignment a = Job("a", 1), b = Job("b", 1);
  table.Converge({a, b});
  const Assignment waits = table.slots().at(a.token).state == SlotState::kWaiting ? a : b;
  EXPECT_THAT(table.Converge({Stop(waits), waits.job == "a" ? b : a}).wind_down, IsEmpty());
  EXPECT_FALSE(table.slots().contains(waits.token));
}

// The stop and the end met on the way: the result is not accepted, and what it was made from is still needed.
TEST(SlotTable, AResultThatWasStoppedIsNotTakenForAccepted) {
  SlotTable table(1);
  const Assignment a = Job("a", 1);
  table.Converge({a});
  table.Finished(a.token, {"d", "", ""});
  EXPECT_THAT(table.Converge({Stop(a)}).accepted, IsEmpty());
  EXPECT_TRUE(table.slots().empty());
}

TEST(SlotTable, AFencedJobThatWasWindingDownStopsAtOnce) {
  SlotTable table(1);
  const Assignment a = Job("a", 1);
  table.Converge({a});
  table.Converge({Stop(a)});
  EXPECT_THAT(table.Fence().stop, ElementsAre(a.token));
  table.Finished(a.token, {"", "PREEMPTED", ""});
  EXPECT_TRUE(table.slots().empty());
}

TEST(SlotTable, AMemberOfAGangIsListedAtOnceAndGoesWhenAllAreThere) {
  SlotTable table(1);
  Assignment a = Job("a", 1);
  a.world = 2;
  a.started = false;
  EXPECT_EQ(table.Converge({a}).start.size(), 1u);
  EXPECT_FALSE(table.slots().at(a.token).assignment.started);
  a.started = true;
  a.peers = {"one", "two"};
  const auto actions = table.Converge({a});
  ASSERT_EQ(actions.go.size(), 1u);
  EXPECT_EQ(actions.go[0].peers.size(), 2u);
  EXPECT_TRUE(table.slots().at(a.token).assignment.started);
  EXPECT_THAT(table.Converge({a}).go, IsEmpty());
}

TEST(SlotTable, WhatTheGangsMembersSaidIsHeardOnceAndCompleteOnly) {
  SlotTable table(1);
  Assignment a = Job("a", 1);
  a.world = 2;
  table.Converge({a});
  table.Rendezvous(a.token, "mine");
  table.Rendezvous(a.token, "another");
  EXPECT_EQ(table.slots().at(a.token).rendezvous, "mine");
  table.Rendezvous(Job("a", 2).token, "nobody's");
  a.rendezvous = {"mine"};
  EXPECT_THAT(table.Converge({a}).met, IsEmpty());
  a.rendezvous = {"theirs", "mine"};
  const auto actions = table.Converge({a});
  ASSERT_EQ(actions.met.size(), 1u);
  EXPECT_THAT(actions.met[0].rendezvous, ElementsAre("theirs", "mine"));
  EXPECT_THAT(table.Converge({a}).met, IsEmpty());
  EXPECT_THAT(table.slots().at(a.token).assignment.rendezvous, ElementsAre("theirs", "mine"));

  // Fenced, and begun anew under the same token: the scheduler has it all already, the new process nothing. Simulated
  // history 28 hung here.
  table.Fence();
  table.Finished(a.token, {});
  ASSERT_TRUE(table.slots().empty());
  EXPECT_EQ(table.Converge({a}).start.size(), 1u);
  EXPECT_THAT(table.slots().at(a.token).assignment.rendezvous, IsEmpty());
  EXPECT_THAT(table.Converge({a}).met, IsEmpty());
  table.Rendezvous(a.token, "mine again");
  EXPECT_EQ(table.Converge({a}).met.size(), 1u);
}

TEST(SlotTable, TheEndOfADrainStopsWhatStillRuns) {
  SlotTable table(2);
  const Assignment a = Job("a", 1), b = Job("b", 1), c = Job("c", 1);
  table.Converge({a, b});
  table.Finished(b.token, {"d", "", ""});
  const auto actions = table.StopAll("DRAINED", 5000);
  ASSERT_EQ(actions.wind_down.size(), 1u);
  EXPECT_EQ(actions.wind_down[0].token, a.token);
  EXPECT_THAT(table.Converge({a, b, c}).start, IsEmpty());
  table.Finished(a.token, {"", "DRAINED", ""});
  table.Converge({});
  EXPECT_TRUE(table.slots().empty());
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

// Found by the kill test: with a lease of a second, a call that is held for a tenth of it whenever there is progress to
// tell, and cut short by that progress as often as that is allowed, must still be renewed before the fence.
TEST(LeaseClock, ProgressWithoutEndLeavesEnoughOfAShortLease) {
  for (const int64_t lease_ms : {500, 1000, 2000, 10000}) {
    SCOPED_TRACE(lease_ms);
    const int64_t hold = lease_ms * kMs / 10, way = 5 * kMs;
    LeaseClock lease;
    int64_t now = 0;
    lease.Sent(now);
    ASSERT_TRUE(lease.Answered(lease_ms, now += way));
    int answered = 0;
    for (int call = 0; call < 1000; ++call) {
      lease.Sent(now);
      const int64_t answer_at = now + hold + way, cut_at = lease.MayInterruptAt();
      if (cut_at < answer_at) {
        now = cut_at + way;
      } else {
        now = answer_at;
        ASSERT_TRUE(lease.Answered(lease_ms, now));
        ++answered;
      }
      ASSERT_TRUE(lease.held(now)) << "call " << call << " at " << now / kMs << " ms";
    }
    EXPECT_GT(answered, 10);
  }
}

TEST(SharePace, WaitsTheTimeGivenAndTakesATwentiethAtMost) {
  const int64_t second = 1000 * kMs;
  SharePace pace(60000, 0);
  EXPECT_FALSE(pace.Due(59 * second));
  EXPECT_TRUE(pace.Due(60 * second));
  pace.Shared(60 * second, 61 * second);
  EXPECT_FALSE(pace.Due(120 * second));
  EXPECT_TRUE(pace.Due(121 * second));
  pace.Shared(121 * second, 131 * second);  // a large one
  EXPECT_FALSE(pace.Due(330 * second));
  EXPECT_TRUE(pace.Due(331 * second));
}

}  // namespace
}  // namespace swage
