// Taking room back: on paper first, with time for a checkpoint, and for nobody else.
#include "tests/unit/scheduler/core_harness.h"

namespace swage {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class Preemption : public testing::Test, public CoreHarness {
 protected:
  // The worker's jobs have run for so long, and it stayed in touch.
  void Run(const std::string& name, int64_t ms) {
    for (int64_t done = 0; done < ms; done += 5000) {
      AdvanceMs(5000);
      Sync(name);
    }
  }
  void Obey(const std::string& name) { Take(name, core().Answer(name)); }
};

TEST_F(Preemption, AHigherPriorityTakesTheRoomOfALowerAfterItsFirstMinutes) {
  worker("w", 8 * kGb, 2);
  Submit("low", 8 * kGb, 0);
  Take("w", Sync("w"));
  Sync("w");
  Submit("high", 8 * kGb, 1);
  Run("w", 60'000);
  EXPECT_EQ(job("low").state, JobState::kRunning);  // not yet
  Run("w", 70'000);
  EXPECT_EQ(job("low").state, JobState::kQueued);
  EXPECT_EQ(job("low").reason, "PREEMPTED");
  EXPECT_EQ(job("low").evictions, 1);
  EXPECT_EQ(job("low").infra_losses + job("low").user_failures, 0);
  EXPECT_EQ(job("high").state, JobState::kQueued);  // the other still holds its bytes
  ASSERT_THAT(core().Stops("w"), SizeIs(1));
  EXPECT_EQ(core().Stops("w")[0].reason, "PREEMPTED");
  EXPECT_GT(core().Stops("w")[0].grace_ms, 0);
}

TEST_F(Preemption, WhatIsFreedIsKeptForTheJobItWasFreedFor) {
  worker("w", 8 * kGb, 4);
  Submit("low", 8 * kGb, 0);
  Take("w", Sync("w"));
  Sync("w");
  Run("w", 130'000);
  Submit("high", 8 * kGb, 1);
  Sync("w");
  for (int i = 0; i < 4; ++i) SubmitAs("other", Cat("small", i));
  worker("w").report.slots[0].stopping = true;
  worker("w").report.slots[0].checkpoint = DigestText('c');
  Sync("w");
  EXPECT_FALSE(core().NeedsAnswer("w"));
  EXPECT_EQ(job("high").state, JobState::kQueued);
  Obey("w");  // it has let go
  const auto orders = Sync("w");
  ASSERT_THAT(orders, SizeIs(1));
  EXPECT_EQ(orders[0].job, "high");
  EXPECT_EQ(stored("low").checkpoint, DigestText('c'));  // for its next attempt
}

TEST_F(Preemption, NothingIsEvictedWhenItWouldNotMakeEnoughRoom) {
  worker("w", 8 * kGb, 4);
  Submit("low", 2 * kGb, 0);
  SubmitAs("t", "kept", [](AdmittedJob* j) {
    j->shape.host_bytes = 4 * kGb;
    j->preemptible = false;
  });
  Take("w", Sync("w"));
  Sync("w");
  Run("w", 200'000);
  Submit("high", 8 * kGb, 50);
  Sync("w");
  EXPECT_EQ(job("low").state, JobState::kRunning);
  EXPECT_THAT(core().Stops("w"), IsEmpty());
}

TEST_F(Preemption, AJobIsEvictedAtMostTwice) {
  worker("w", 8 * kGb, 1);
  Submit("low", 8 * kGb, 0);
  for (int round = 0; round < 4; ++round) {
    Take("w", Sync("w"));
    Sync("w");
    if (job("low").state == JobState::kRunning) Run("w", 130'000);
    Submit(Cat("high", round), 8 * kGb, 10);
    Sync("w");
    Obey("w");
    FinishAll({"w"});
  }
  EXPECT_EQ(job("low").evictions, 2);
}

TEST_F(Preemption, ATenantThatHasLessThanItsPartGetsItBack) {
  worker("w", 64 * kGb, 4);
  Sync("w");
  for (int i = 0; i < 4; ++i) SubmitAs("greedy", Cat("g", i), [](AdmittedJob* j) { j->priority = 90; });
  Take("w", Sync("w"));
  Sync("w");
  Run("w", 200'000);
  SubmitAs("late", "l1");
  SubmitAs("late", "l2");
  SubmitAs("late", "l3");
  Run("w", 10'000);
  EXPECT_THAT(core().Stops("w"), SizeIs(2));  // half of four are its part, and no more
  uint64_t evicted = 0;
  for (int i = 0; i < 4; ++i) evicted += job(Cat("g", i), "greedy").state == JobState::kQueued;
  EXPECT_EQ(evicted, 2u);
}

TEST_F(Preemption, TwoTenantsWithTheirPartsLeaveEachOtherAlone) {
  worker("w", 64 * kGb, 2);
  Sync("w");
  SubmitAs("a", "a1");
  SubmitAs("b", "b1");
  Take("w", Sync("w"));
  Sync("w");
  Run("w", 300'000);
  SubmitAs("a", "a2", [](AdmittedJob* j) { j->priority = 100; });
  SubmitAs("b", "b2");
  Run("w", 60'000);
  EXPECT_EQ(core().evictions(), 1u);  // a2 over a1, which is the tenant's own affair
  EXPECT_EQ(job("b1", "b").state, JobState::kRunning);
}

// Kueue #3779 and #13662: two claims that take turns in evicting each other.
TEST_F(Preemption, TwoClaimsDoNotEvictEachOtherForEver) {
  worker("w", 8 * kGb, 2);
  Sync("w");
  for (int i = 0; i < 6; ++i) {
    SubmitAs("a", Cat("a", i), [&](AdmittedJob* j) { j->shape.host_bytes = 5 * kGb; j->priority = i % 3; });
    SubmitAs("b", Cat("b", i), [&](AdmittedJob* j) { j->shape.host_bytes = 6 * kGb; j->priority = i % 3; });
  }
  for (int minute = 0; minute < 120; ++minute) {
    Take("w", Sync("w"));
    Run("w", 60'000);
  }
  EXPECT_LE(core().evictions(), 2u * 12u);
  for (int i = 0; i < 6; ++i) {
    EXPECT_LE(job(Cat("a", i), "a").evictions, 2);
    EXPECT_LE(job(Cat("b", i), "b").evictions, 2);
  }
}

TEST_F(Preemption, EmptyingAWorkerMovesItsJobs) {
  Submit("a");
  Take("w", Sync("w"));
  Sync("w");
  ASSERT_TRUE(core().SetDrain("w", true, true, now).ok());
  Sync("v");
  EXPECT_EQ(job("a").state, JobState::kQueued);
  EXPECT_EQ(stored("a").attempts[0].reason, "DRAINED");
  ASSERT_THAT(core().Stops("w"), SizeIs(1));
  AdvanceMs(5000);
  Sync("w");
  AdvanceMs(26'000);  // its time for a checkpoint is over
  EXPECT_THAT(core().Stops("w"), IsEmpty());
  Sync("v");
  EXPECT_EQ(job("a").worker(), "v");
}

TEST_F(Preemption, APausedJobMayWriteItsCheckpoint) {
  Submit("a");
  Take("w", Sync("w"));
  Sync("w");
  Ask("pause", "a");
  Step();
  EXPECT_EQ(job("a").state, JobState::kPaused);
  ASSERT_THAT(core().Stops("w"), SizeIs(1));
  worker("w").report.slots[0].stopping = true;
  worker("w").report.slots[0].checkpoint = DigestText('c');
  Sync("w");
  EXPECT_EQ(stored("a").checkpoint, DigestText('c'));
  Take("w", {});
  Sync("w");
  Ask("resume", "a");
  const auto orders = Sync("w");
  ASSERT_THAT(orders, SizeIs(1));
  EXPECT_EQ(orders[0].checkpoint, DigestText('c'));
}

// Otherwise it would start anew on the free worker, while the old one still writes down what it has.
TEST_F(Preemption, TheNextAttemptWaitsForTheCheckpointOfTheLast) {
  worker("a", 8 * kGb, 1);
  Submit("j", kGb);
  Take("a", Sync("a"));
  Sync("a");
  worker("b", 8 * kGb, 1);
  EXPECT_THAT(Sync("b"), IsEmpty());
  ASSERT_TRUE(core().SetDrain("a", true, /*evict=*/true, now).ok());
  EXPECT_THAT(Sync("b"), IsEmpty());
  EXPECT_EQ(job("j").pending_reason, "its last attempt is writing a checkpoint");
  worker("a").report.slots[0].stopping = true;
  Sync("a");
  EXPECT_THAT(Sync("b"), IsEmpty());
  worker("a").report.slots[0].checkpoint = DigestText('c');
  Sync("a");
  EXPECT_THAT(Sync("b"), IsEmpty());
  Obey("a");  // it has let go
  Sync("a");
  const auto orders = Sync("b");
  ASSERT_THAT(orders, SizeIs(1));
  EXPECT_EQ(orders[0].checkpoint, DigestText('c'));
}

TEST_F(Preemption, TheNextAttemptWaitsNoLongerThanTheGrace) {
  worker("a", 8 * kGb, 1);
  Submit("j", kGb);
  Take("a", Sync("a"));
  Sync("a");
  worker("b", 8 * kGb, 1);
  Sync("b");
  ASSERT_TRUE(core().SetDrain("a", true, /*evict=*/true, now).ok());
  worker("a").report.slots[0].stopping = true;
  size_t given = 0;
  for (int ms = 0; ms <= limits::kStopGraceMs + 1000; ms += 1000) {
    AdvanceMs(1000);
    Sync("a");
    given = Sync("b").size();
    if (ms < limits::kStopGraceMs - 2000) EXPECT_EQ(given, 0u) << ms;
  }
  EXPECT_EQ(given, 1u);
}

}  // namespace
}  // namespace swage
