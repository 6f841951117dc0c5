// What people ask for: create, cancel, pause, resume, retry, delete, drain.
#include "tests/unit/scheduler/core_harness.h"

namespace swage {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class Requests : public testing::Test, public CoreHarness {
 protected:
  // Job "a" runs on worker "w".
  std::vector<AssignmentOrder> RunA() {
    Submit("a");
    auto orders = Sync("w");
    Take("w", orders);
    Sync("w");
    return orders;
  }
};

TEST_F(Requests, AJobThatMerelyWaitsIsWrittenOnlyToSayWhy) {
  for (int i = 0; i < 200; ++i) Submit(Cat("job", 1000 + i));
  size_t written = 0;
  for (const CoreWrite& write : Step().writes) written += SplitKey(write.key).kind == "job" ? 1 : 0;
  EXPECT_GT(written, 0u);
  EXPECT_LE(written, 64u);
  EXPECT_EQ(stored("job1199").state, JobState::kQueued);
  EXPECT_EQ(CountOf("job"), 200u);
}

TEST_F(Requests, TheSameJobToldTwiceIsOneJob) {
  Submit("a");
  const JobRecord record = job("a");
  core().HandleCreated(JobKey("t", "a"), 1, record, now);
  RunA();
  core().HandleCreated(JobKey("t", "a"), 1, record, now);  // late, from a log read again
  EXPECT_EQ(job("a").state, JobState::kRunning);
}

TEST_F(Requests, WhatControlNeverWritesIsNoNewJob) {
  JobRecord record;
  record.job.id = "a";
  record.job.tenant = "t";
  core().HandleCreated(JobKey("t", "other"), 1, record, now);
  record.state = JobState::kRunning;
  core().HandleCreated(JobKey("t", "a"), 3, record, now);
  EXPECT_EQ(core().FindJob("t", "a"), nullptr);
  EXPECT_EQ(core().FindJob("t", "other"), nullptr);
}

TEST_F(Requests, AQueuedJobIsCancelledAtOnce) {
  Submit("a");
  Step();
  Ask("cancel", "a");
  Step();
  EXPECT_EQ(stored("a").state, JobState::kCancelled);
  EXPECT_EQ(stored("a").reason, "CANCELLED_BY_USER");
  EXPECT_THAT(Sync("w"), IsEmpty());
}

TEST_F(Requests, ARunningJobIsCancelledOnceTheWorkerHasLetGo) {
  RunA();
  Ask("cancel", "a");
  Step();
  EXPECT_EQ(stored("a").state, JobState::kCancelling);
  EXPECT_TRUE(core().NeedsAnswer("w"));
  EXPECT_THAT(core().Answer("w"), IsEmpty());
  Sync("w");  // still lists it
  EXPECT_EQ(stored("a").state, JobState::kCancelling);
  Take("w", {});
  Sync("w");
  EXPECT_EQ(stored("a").state, JobState::kCancelled);
  EXPECT_THAT(states("a"), ElementsAre("QUEUED", "STARTING", "RUNNING", "CANCELLING", "CANCELLED"));
}

TEST_F(Requests, ACancelledJobDoesNotCommit) {
  RunA();
  Ask("cancel", "a");
  EndWith("w", "a", DigestText('1'));
  Report("w");
  const CoreOutput out = Step();
  EXPECT_THAT(out.publishes, IsEmpty());
  EXPECT_EQ(stored("a").state, JobState::kCancelled);
  EXPECT_EQ(stored("a").artifact, "");
  EXPECT_EQ(core().refused_outcomes(), 1u);
}

TEST_F(Requests, CancelWinsOverRetry) {
  RunA();
  Ask("cancel", "a");
  AdvanceMs(11000);  // the worker dies instead of letting go
  Step();
  EXPECT_EQ(stored("a").state, JobState::kCancelled);
  EXPECT_EQ(stored("a").infra_losses, 0);
}

TEST_F(Requests, CancelAfterTheDecisionIsTooLateAndSaysSo) {
  RunA();
  EndWith("w", "a", DigestText('1'));
  Report("w");
  const CoreOutput out = Step();
  Ask("cancel", "a");
  Step();
  EXPECT_EQ(stored("a").state, JobState::kFinalizing);
  EXPECT_EQ(events("a").back().reason, "CANCEL_TOO_LATE");
  core().HandlePublish(out.publishes[0], PublishOutcome::kPublished, DigestText('1'), "", now);
  Step();
  EXPECT_EQ(stored("a").state, JobState::kSucceeded);
}

TEST_F(Requests, AnAssignmentThatWasNeverToldNeedsNoWaiting) {
  Sync("w");
  Submit("a");
  Step();  // assigned, but the worker has had no answer
  Ask("cancel", "a");
  Step();
  EXPECT_EQ(stored("a").state, JobState::kCancelled);
}

TEST_F(Requests, CancellingOutlivesTheLeader) {
  RunA();
  Ask("cancel", "a");
  Step();
  Restart();
  Sync("w");
  EXPECT_EQ(stored("a").state, JobState::kCancelling);
  Take("w", {});
  Sync("w");
  EXPECT_EQ(stored("a").state, JobState::kCancelled);
}

TEST_F(Requests, PauseTakesTheJobAwayAndResumeGivesItANewToken) {
  const auto before = RunA();
  Ask("pause", "a");
  Step();
  EXPECT_EQ(stored("a").state, JobState::kPaused);
  EXPECT_THAT(core().Answer("w"), IsEmpty());
  Submit("b");
  Step();
  EXPECT_EQ(stored("b").state, JobState::kQueued);  // the slot is not free yet
  Take("w", {});
  auto orders = Sync("w");
  ASSERT_THAT(orders, SizeIs(1));
  EXPECT_EQ(orders[0].job, "b");
  Take("w", orders);
  EndWith("w", "b", DigestText('2'));
  Sync("w");
  Take("w", {});
  Ask("resume", "a");
  orders = Sync("w");
  ASSERT_THAT(orders, SizeIs(1));
  EXPECT_EQ(orders[0].job, "a");
  EXPECT_EQ(orders[0].token.epoch, before[0].token.epoch + 1);
  EXPECT_FALSE(orders[0].token == before[0].token);
}

TEST_F(Requests, RetryStartsAFailedJobWithFreshBudgets) {
  RunA();
  EndWith("w", "a", "", "INVALID_SPEC");
  Sync("w");
  EXPECT_EQ(stored("a").state, JobState::kFailed);
  Take("w", {});
  Ask("retry", "a");
  auto orders = Sync("w");
  ASSERT_THAT(orders, SizeIs(1));
  EXPECT_EQ(stored("a").user_failures, 0);
  EXPECT_EQ(stored("a").end_unix_nanos, 0);
}

TEST_F(Requests, OnlyAnEndedJobIsDeleted) {
  Submit("a");
  Step();
  Ask("delete", "a");
  Step();
  EXPECT_EQ(events("a").back().reason, "DELETE_REFUSED");
  Ask("cancel", "a");
  Ask("delete", "a");
  Step();
  EXPECT_EQ(CountOf("job") + CountOf("request"), 0u);
  EXPECT_EQ(core().FindJob("t", "a"), nullptr);
}

TEST_F(Requests, ADrainingWorkerGetsNothingNewAcrossLeaders) {
  RunA();
  ASSERT_TRUE(core().SetDrain("w", true, false, now).ok());
  Step();
  Submit("b");
  EXPECT_THAT(Sync("w"), SizeIs(1));  // what runs goes on
  Restart();
  EndWith("w", "a", DigestText('1'));
  Sync("w");
  Take("w", {});
  EXPECT_THAT(Sync("w"), IsEmpty());
  EXPECT_EQ(stored("b").pending_reason, "every worker that fits is draining");
  ASSERT_TRUE(core().SetDrain("w", false, false, now).ok());
  EXPECT_THAT(Sync("w"), SizeIs(1));
  EXPECT_EQ(ReasonOf(core().SetDrain("nobody", true, false, now)), "WORKER_UNKNOWN");
}

}  // namespace
}  // namespace swage
