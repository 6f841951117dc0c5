// Jobs that wait for other jobs, and jobs that need not run.
#include "tests/unit/scheduler/core_harness.h"

namespace swage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class Pipelines : public testing::Test, public CoreHarness {
 protected:
  void SubmitAfter(const std::string& id, std::vector<std::string> after, const std::string& model = "") {
    SubmitAs("t", id, [&](AdmittedJob* job) {
      job->after = after;
      job->model_job = model;
    });
  }
  void SubmitAction(const std::string& id, const std::string& key) {
    SubmitAs("t", id, [&](AdmittedJob* job) { job->action_key = key; });
  }
};

TEST_F(Pipelines, AStepWaitsForItsModelAndTakesIt) {
  Submit("first");
  SubmitAfter("second", {}, "first");
  Step();
  EXPECT_EQ(stored("second").pending_reason, "waits for jobs/first");
  EXPECT_THAT(core().Queue("t", 10, now), SizeIs(2));
  FinishAll({"w"});
  EXPECT_EQ(job("first").state, JobState::kSucceeded);
  const auto orders = Sync("w");
  ASSERT_THAT(orders, SizeIs(1));
  EXPECT_EQ(orders[0].job, "second");
  EXPECT_EQ(orders[0].model_digest, DigestText('1'));
}

TEST_F(Pipelines, AFailedStepTakesThoseBehindItAlongAndBringsThemBack) {
  worker("w", 8 * kGb, 4);
  Submit("a");
  Submit("b");
  SubmitAfter("ab", {"a", "b"});
  SubmitAfter("end", {"ab"});
  Take("w", Sync("w"));
  EndWith("w", "a", DigestText('1'));
  EndWith("w", "b", "", "INPUT_CORRUPT");
  Report("w");
  Publish(Step());
  Take("w", {});
  EXPECT_EQ(job("a").state, JobState::kSucceeded);
  EXPECT_EQ(job("ab").reason, "DEPENDENCY_FAILED");
  EXPECT_EQ(job("end").state, JobState::kFailed);
  Restart();
  Ask("retry", "b");
  Step();
  EXPECT_EQ(job("ab").state, JobState::kQueued);
  EXPECT_EQ(job("end").state, JobState::kQueued);
  EXPECT_EQ(job("a").epoch, 1u);  // keeps its result
  FinishAll({"w"});
  FinishAll({"w"});
  FinishAll({"w"});
  EXPECT_EQ(job("end").state, JobState::kSucceeded);
}

TEST_F(Pipelines, WaitingOutlivesTheLeader) {
  Submit("first");
  SubmitAfter("second", {"first"});
  Step();
  Restart();
  FinishAll({"w"});
  FinishAll({"w"});
  EXPECT_EQ(job("second").state, JobState::kSucceeded);
}

TEST_F(Pipelines, AJobThatOthersWaitForIsNotDeleted) {
  Submit("first");
  FinishAll({"w"});
  Submit("slow");
  SubmitAfter("second", {"first", "slow"});
  Ask("delete", "first");
  Step();
  EXPECT_EQ(events("first").back().reason, "DELETE_REFUSED");
}

TEST_F(Pipelines, ACancelledStepFailsThoseBehindIt) {
  Submit("first");
  SubmitAfter("second", {"first"});
  Ask("cancel", "first");
  Step();
  EXPECT_EQ(job("second").state, JobState::kFailed);
  EXPECT_THAT(job("second").message, HasSubstr("jobs/first is CANCELLED"));
}

TEST_F(Pipelines, TheSameAgainTakesTheResult) {
  SubmitAction("a", "k1");
  FinishAll({"w"});
  SubmitAction("b", "k1");
  CoreOutput out = Step();
  ASSERT_THAT(out.publishes, SizeIs(1));
  EXPECT_EQ(out.publishes[0].artifact, DigestText('1'));
  EXPECT_EQ(job("b").reason, "CACHE_HIT");
  Publish(out);
  EXPECT_THAT(states("b"), ElementsAre("QUEUED", "FINALIZING", "SUCCEEDED"));
  EXPECT_TRUE(stored("b").shared);
  EXPECT_THAT(stored("b").attempts, IsEmpty());
  SubmitAs("u", "c", [](AdmittedJob* job) { job->action_key = "k1"; });
  Step();
  EXPECT_EQ(job("c", "u").state, JobState::kStarting);  // another tenant's results are not its own
}

TEST_F(Pipelines, AResultThatIsNoLongerWholeIsMadeAnew) {
  SubmitAction("a", "k1");
  FinishAll({"w"});
  Restart();
  SubmitAction("b", "k1");
  Publish(Step(), PublishOutcome::kMissing);
  EXPECT_EQ(job("b").state, JobState::kQueued);
  EXPECT_FALSE(stored("b").shared);
  EXPECT_EQ(CountOf("action"), 0u);
  FinishAll({"w"});
  EXPECT_EQ(job("b").state, JobState::kSucceeded);
  EXPECT_EQ(CountOf("action"), 1u);
}

TEST_F(Pipelines, EqualJobsAtOneTimeAreDoneOnce) {
  worker("w", 8 * kGb, 4);
  SubmitAction("a", "k1");
  SubmitAction("b", "k1");
  SubmitAction("c", "k1");
  Take("w", Sync("w"));
  EXPECT_EQ(job("a").state, JobState::kStarting);
  EXPECT_THAT(stored("b").pending_reason, HasSubstr("jobs/a is doing the same"));
  EndWith("w", "a", DigestText('1'));
  Report("w");
  Publish(Step());
  for (const char* id : {"a", "b", "c"}) {
    EXPECT_EQ(job(id).state, JobState::kSucceeded) << id;
    EXPECT_EQ(job(id).artifact, DigestText('1')) << id;
  }
  EXPECT_EQ(job("b").epoch + job("c").epoch, 0u);
}

TEST_F(Pipelines, WhenTheDoerFailsAnotherDoesIt) {
  SubmitAction("a", "k1");
  SubmitAction("b", "k1");
  SubmitAction("c", "k1");
  Take("w", Sync("w"));
  Sync("w");
  Restart();  // who follows whom is known to the next leader
  Sync("w");
  Ask("cancel", "a");
  Step();
  Take("w", {});
  const auto orders = Sync("w");
  ASSERT_THAT(orders, SizeIs(1));
  EXPECT_EQ(orders[0].job, "b");
  EXPECT_EQ(stored("c").follows, "b");
}

TEST_F(Pipelines, AFollowerCanBeCancelledAlone) {
  SubmitAction("a", "k1");
  SubmitAction("b", "k1");
  Step();
  Ask("cancel", "b");
  Step();
  EXPECT_EQ(job("b").state, JobState::kCancelled);
  FinishAll({"w"});
  EXPECT_EQ(job("a").state, JobState::kSucceeded);
  EXPECT_EQ(job("b").state, JobState::kCancelled);
}

TEST_F(Pipelines, OldJobsAreForgottenWithAllTheirRecords) {
  options.finished_job_days = 1;
  Restart();
  SubmitAs("t", "a", [](AdmittedJob* job) { job->request_id = "r"; });
  FinishAll({"w"});
  AdvanceMs(23 * 3600'000);
  Step();
  EXPECT_EQ(CountOf("job"), 1u);
  AdvanceMs(2 * 3600'000);
  const CoreOutput out = Step();
  EXPECT_EQ(CountOf("job"), 0u);
  EXPECT_THAT(out.dropped_streams, ElementsAre(JobStream("t", "a")));
  ASSERT_THAT(out.leftovers, SizeIs(2));
  EXPECT_EQ(out.leftovers[0].key, SpecKey("t", "a"));
  EXPECT_EQ(out.leftovers[1].key, RequestIdKey("t", "r"));
}

}  // namespace
}  // namespace swage
