// The checker is shown what must never happen, and has to say so; and what may.
#include "tests/sim/checker.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swage::sim {
namespace {

using ::testing::HasSubstr;

class CheckerTest : public ::testing::Test {
 protected:
  CheckerTest() { checker_.AddWorker("w", {{"cpu0", "cpu", "", 100}}, 2); }

  // The job in this state, as a leader writes it: the event, then the record.
  void Write(const std::string& id, JobState state, uint64_t epoch, uint64_t bytes = 10,
             const std::string& artifact = "") {
    JobRecord record;
    record.job.tenant = "t";
    record.job.id = id;
    record.job.request_id = Cat("request of ", id);
    record.state = state;
    record.epoch = epoch;
    const bool held = state == JobState::kStarting || state == JobState::kRunning ||
                      state == JobState::kFinalizing;
    if (held) record.token = {1, epoch, 7};
    if (held && state != JobState::kFinalizing) record.members = {{"w", "b", {{"cpu0", bytes}}}};
    record.artifact = artifact;
    JobEventRecord event;
    event.kind = "state";
    event.state = state;
    event.epoch = epoch;
    event.artifact = artifact;
    Transaction t;
    t.incarnation = 1;
    t.events.push_back({JobStream("t", id), ToJson(event)});
    t.writes.push_back({JobKey("t", id), 0, ToJson(record)});
    checker_.Applied(serial_++, t);
  }
  void ExpectViolation(const std::string& rule, const std::string& what) {
    EXPECT_EQ(world_.violation().rule, rule);
    EXPECT_THAT(world_.violation().what, HasSubstr(what));
  }

  World world_{1, false};
  Checker checker_{&world_};
  uint64_t serial_ = 0;
};

TEST_F(CheckerTest, AWholeLifeIsFine) {
  Write("a", JobState::kQueued, 0);
  Write("a", JobState::kStarting, 1);
  checker_.Told("w", "t/job/a", {1, 1, 7});
  checker_.Started("w", "t/job/a", {1, 1, 7});
  checker_.Computes("w", "t/job/a", {1, 1, 7});
  Write("a", JobState::kRunning, 1);
  checker_.PrepareSent("w", "t/job/a", {1, 1, 7});
  checker_.Prepared("t/job/a", "x", {1, 1, 7});
  Write("a", JobState::kFinalizing, 1, 10, "x");
  checker_.Published("t/job/a", "x");
  Write("a", JobState::kSucceeded, 1, 10, "x");
  EXPECT_TRUE(world_.violation().empty()) << world_.violation().what;
  EXPECT_TRUE(checker_.AllOver());
}

TEST_F(CheckerTest, AnEdgeThatIsNotThere) {
  Write("a", JobState::kQueued, 0);
  Write("a", JobState::kRunning, 0);
  ExpectViolation("G4", "from QUEUED to RUNNING");
}

TEST_F(CheckerTest, AnEpochGivenTwice) {
  Write("a", JobState::kQueued, 0);
  Write("a", JobState::kStarting, 1);
  Write("a", JobState::kQueued, 1);
  Write("a", JobState::kStarting, 1);
  ExpectViolation("G5", "epoch 1 where 2 was due");
}

TEST_F(CheckerTest, BytesPromisedTwice) {
  Write("a", JobState::kQueued, 0);
  Write("b", JobState::kQueued, 0);
  Write("a", JobState::kStarting, 1, 60);
  EXPECT_TRUE(world_.violation().empty());
  Write("b", JobState::kStarting, 1, 60);
  ExpectViolation("G10", "promises 120");
}

TEST_F(CheckerTest, AWorkerThatWasNotTold) {
  Write("a", JobState::kQueued, 0);
  checker_.Told("w", "t/job/a", {1, 1, 7});
  ExpectViolation("G3", "never durably given");
}

TEST_F(CheckerTest, ADecisionForSomebodyElsesResult) {
  Write("a", JobState::kQueued, 0);
  Write("a", JobState::kStarting, 1);
  checker_.Prepared("t/job/a", "x", {1, 1, 6});  // another random
  Write("a", JobState::kFinalizing, 1, 10, "x");
  ExpectViolation("G3", "has not prepared");
}

TEST_F(CheckerTest, PublishedWithoutADecision) {
  Write("a", JobState::kQueued, 0);
  checker_.Published("t/job/a", "x");
  ExpectViolation("G3", "without having been decided");
}

TEST_F(CheckerTest, CancelledAndPublished) {
  Write("a", JobState::kQueued, 0);
  Write("a", JobState::kStarting, 1);
  checker_.Prepared("t/job/a", "x", {1, 1, 7});
  Write("a", JobState::kFinalizing, 1, 10, "x");
  const uint64_t decision = serial_ - 1;
  checker_.Rewound(decision);  // the decision is lost; the order to publish is still on its way
  Write("a", JobState::kCancelled, 1);
  checker_.Published("t/job/a", "x");
  ExpectViolation("G9", "CANCELLED");
}

TEST_F(CheckerTest, ADecisionThatWasLostMayBePublishedOnce) {
  Write("a", JobState::kQueued, 0);
  Write("a", JobState::kStarting, 1);
  checker_.Prepared("t/job/a", "x", {1, 1, 7});
  Write("a", JobState::kFinalizing, 1, 10, "x");
  checker_.Rewound(serial_ - 1);
  checker_.Published("t/job/a", "x");
  EXPECT_TRUE(world_.violation().empty()) << world_.violation().what;
  checker_.Published("t/job/a", "y");
  ExpectViolation("G3", "two results");
}

TEST_F(CheckerTest, AnAcceptedJobMayVanishOnlyWithASuffix) {
  Write("a", JobState::kQueued, 0);
  Write("b", JobState::kQueued, 0);
  checker_.Acknowledged("t/job/a");
  checker_.Acknowledged("t/job/b");
  checker_.Rewound(1);
  EXPECT_EQ(checker_.vanished(), 1u);
  EXPECT_TRUE(world_.violation().empty());
  EXPECT_TRUE(checker_.jobs().contains("t/job/a"));
  EXPECT_FALSE(checker_.jobs().contains("t/job/b"));
  EXPECT_FALSE(checker_.AllOver());
}

TEST_F(CheckerTest, AnIncarnationThatComesAgain) {
  checker_.Leads(3);
  checker_.Rewound(0);  // leads are never taken back: the artifact store has seen them
  checker_.Leads(3);
  ExpectViolation("G5", "incarnation 3");
}

TEST_F(CheckerTest, AResultSentAfterTheLease) {
  Write("a", JobState::kQueued, 0);
  Write("a", JobState::kStarting, 1);
  JobEventRecord ended;
  ended.kind = "attempt";
  ended.reason = "WORKER_LOST";
  Transaction t;
  t.events.push_back({"t/job/a", ToJson(ended)});
  checker_.Applied(serial_++, t);
  checker_.PrepareSent("w", "t/job/a", {1, 1, 7});
  ExpectViolation("fence", "after its lease ended");
}

}  // namespace
}  // namespace swage::sim
