// The leader over a memory state store and a store of artifacts that does as it is told. Real
// threads and time; every wait is for a condition.
#include "scheduler/server/leader.h"

#include <future>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/scheduler/creation.h"

namespace swage {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

const std::string kArtifact(64, '1');
const std::string kOther(64, '2');

class FakeArtifacts : public ArtifactStore {
 public:
  StatusOr<ReconcilePage> Reconcile(uint64_t incarnation, const std::string&) override {
    std::lock_guard lock(mu);
    if (down) return Unavailable("DOWN", "down");
    highest = std::max(highest, incarnation);
    return ReconcilePage{highest, published, ""};
  }
  StatusOr<PublishDecision> Publish(const PublishOrder& order, uint64_t incarnation,
                                    const SpanContext&) override {
    std::lock_guard lock(mu);
    ++publishes;
    if (incarnation < highest) return Precondition("STALE_LEADER", "stale");
    if (failures > 0 && failures-- > 0) return Unavailable("DOWN", "down");
    for (const PublishedJob& p : published) {
      if (p.job != order.job) continue;
      const bool same = p.artifact == order.artifact;
      return PublishDecision{same ? PublishOutcome::kPublished : PublishOutcome::kAlreadyPublished,
                             p.artifact, ""};
    }
    published.push_back({order.tenant, order.job, order.artifact});
    return PublishDecision{PublishOutcome::kPublished, order.artifact, ""};
  }
  std::mutex mu;
  uint64_t highest = 0;
  std::vector<PublishedJob> published;
  int failures = 0, publishes = 0;
  bool down = false;
};

struct CallResult {
  Status status;
  SyncAnswer answer;
};

class FakeCall : public HeldCall {
 public:
  explicit FakeCall(std::promise<CallResult> promise) : promise_(std::move(promise)) {}
  void Answer(const SyncAnswer& answer) override { promise_.set_value({absl::OkStatus(), answer}); }
  void Refuse(const Status& status) override { promise_.set_value({status, {}}); }

 private:
  std::promise<CallResult> promise_;
};

class LeaderTest : public testing::Test {
 protected:
  std::unique_ptr<Leader> Start(int64_t lease_ms = 10000) {
    LeaderOptions options;
    options.state = state_;
    options.artifacts = &artifacts_;
    options.lease_ms = lease_ms;
    return std::make_unique<Leader>(options);
  }

  void Submit(const std::string& id) {
    ASSERT_EQ(state_->Apply(CreationOf(id)), ApplyResult::kOk);
  }
  void UntilLeads(Leader* leader) {
    for (int i = 0; i < 500 && leader->incarnation() == 0; ++i)
      state_->WaitForEvents(1000000, 10).IgnoreError();
    ASSERT_NE(leader->incarnation(), 0u);
  }
  void Cancel(const std::string& id) {
    Put(RequestKey("t", Cat("r", ++requests_)), ToJson(Request{"cancel", "t", id, ""}));
  }
  void Put(const std::string& key, const std::string& value) {
    Transaction t;
    t.writes.push_back({key, 0, value});
    t.events.push_back({std::string(kRequestStream), key});
    ASSERT_EQ(state_->Apply(t), ApplyResult::kOk);
  }

  std::future<CallResult> Call(Leader* leader, const std::vector<SlotReport>& slots = {}) {
    WorkerReport report;
    report.worker_id = "w";
    report.boot_id = "b";
    report.sequence = ++sequence_;
    report.slot_count = 1;
    report.devices = {{"cpu0", "cpu", "", 1000}};
    report.slots = slots;
    std::promise<CallResult> promise;
    auto future = promise.get_future();
    leader->Synchronize(report, std::make_unique<FakeCall>(std::move(promise)));
    return future;
  }
  // Calls until something is assigned.
  std::vector<AssignmentOrder> UntilAssigned(Leader* leader) {
    for (int i = 0; i < 50; ++i) {
      const CallResult result = Call(leader).get();
      if (!result.answer.assignments.empty()) return result.answer.assignments;
    }
    return {};
  }
  static SlotReport SlotOf(const AssignmentOrder& order, const std::string& digest = "") {
    SlotReport slot{order.tenant, order.job, order.token, {}, std::nullopt};
    slot.progress.stage = "load";
    if (!digest.empty()) slot.outcome = OutcomeReport{digest, "", ""};
    return slot;
  }

  // Waits until the job's record satisfies.
  template <typename Predicate>
  JobRecord Until(const std::string& id, Predicate predicate) {
    uint64_t position = 0;
    for (int i = 0; i < 200; ++i) {
      position = state_->WaitForEvents(position, 50).value();
      const auto record = state_->Get(JobKey("t", id)).value();
      if (!record.has_value()) continue;
      const JobRecord job = JobRecordFromJson(record->value).value();
      if (predicate(job)) return job;
    }
    ADD_FAILURE() << id << " never got there";
    return {};
  }
  JobRecord UntilState(const std::string& id, JobState state) {
    return Until(id, [&](const JobRecord& job) { return job.state == state; });
  }

  std::shared_ptr<StateStore> state_ = NewMemoryStateStore();
  FakeArtifacts artifacts_;
  uint64_t sequence_ = 0;
  int requests_ = 0;
};

TEST_F(LeaderTest, AJobGoesFromRequestToPublished) {
  auto leader = Start();
  auto idle = Call(leader.get());  // held while there is nothing to do
  Submit("a");
  const CallResult told = idle.get();
  ASSERT_TRUE(told.status.ok());
  ASSERT_THAT(told.answer.assignments, SizeIs(1));
  EXPECT_EQ(told.answer.lease_ms, 10000);
  auto done = Call(leader.get(), {SlotOf(told.answer.assignments[0], kArtifact)});
  EXPECT_THAT(done.get().answer.assignments, IsEmpty());
  EXPECT_EQ(UntilState("a", JobState::kSucceeded).artifact, kArtifact);
  EXPECT_THAT(artifacts_.published, SizeIs(1));
}

TEST_F(LeaderTest, RequestsWrittenWhileNobodyLedAreHandled) {
  Submit("a");
  Submit("b");
  Cancel("b");
  auto leader = Start();
  UntilState("a", JobState::kQueued);
  UntilState("b", JobState::kCancelled);
  EXPECT_THAT(state_->Scan("t/request/", "", 10).value(), IsEmpty());
}

TEST_F(LeaderTest, ACancelEndsTheHeldCallEarly) {
  auto leader = Start();
  Submit("a");
  const auto orders = UntilAssigned(leader.get());
  ASSERT_THAT(orders, SizeIs(1));
  auto running = Call(leader.get(), {SlotOf(orders[0])});
  Cancel("a");
  EXPECT_THAT(running.get().answer.assignments, IsEmpty());
  UntilState("a", JobState::kCancelling);
  auto gone = Call(leader.get());
  UntilState("a", JobState::kCancelled);
}

TEST_F(LeaderTest, ALaterCallSupersedesTheHeldOne) {
  auto leader = Start(60000);
  auto first = Call(leader.get());
  auto second = Call(leader.get());
  EXPECT_TRUE(first.get().answer.superseded);
  leader->Stop();
  EXPECT_EQ(ReasonOf(second.get().status), "NOT_LEADER");
}

TEST_F(LeaderTest, ThePublishIsTriedUntilTheStoreDecides) {
  artifacts_.failures = 3;
  auto leader = Start();
  Submit("a");
  const auto orders = UntilAssigned(leader.get());
  Call(leader.get(), {SlotOf(orders[0], kArtifact)});
  UntilState("a", JobState::kSucceeded);
  EXPECT_EQ(artifacts_.publishes, 4);
}

TEST_F(LeaderTest, AnEarlierResultInTheStoreStands) {
  artifacts_.published = {{"t", "a", kOther}};
  auto leader = Start();
  // Submitted to a leader that has seen the store's list already: else the result is taken at once.
  UntilLeads(leader.get());
  Submit("a");
  const auto orders = UntilAssigned(leader.get());
  Call(leader.get(), {SlotOf(orders[0], kArtifact)});
  EXPECT_EQ(UntilState("a", JobState::kSucceeded).artifact, kOther);
}

TEST_F(LeaderTest, TheNextLeaderPublishesWhatWasDecided) {
  artifacts_.failures = 1000000;
  auto first = Start();
  Submit("a");
  const auto orders = UntilAssigned(first.get());
  Call(first.get(), {SlotOf(orders[0], kArtifact)});
  UntilState("a", JobState::kFinalizing);
  first.reset();
  {
    std::lock_guard lock(artifacts_.mu);
    artifacts_.failures = 0;
  }
  auto second = Start();
  EXPECT_EQ(UntilState("a", JobState::kSucceeded).artifact, kArtifact);
  EXPECT_THAT(artifacts_.published, SizeIs(1));
}

TEST_F(LeaderTest, LeadershipStartsAboveWhatTheStoreHasSeen) {
  artifacts_.highest = 41;
  auto leader = Start();
  Submit("a");
  EXPECT_EQ(UntilAssigned(leader.get())[0].token.incarnation, 42u);
}

TEST_F(LeaderTest, LeadershipWaitsForTheStore) {
  artifacts_.down = true;
  auto leader = Start();
  auto early = Call(leader.get());
  Submit("a");
  EXPECT_EQ(leader->incarnation(), 0u);
  {
    std::lock_guard lock(artifacts_.mu);
    artifacts_.down = false;
  }
  EXPECT_THAT(early.get().answer.assignments, testing::SizeIs(testing::Le(1u)));
  UntilAssigned(leader.get());
}

TEST_F(LeaderTest, ASecondSchedulerTakesOverAndTheFirstStandsBy) {
  auto first = Start();
  Submit("a");
  const auto orders = UntilAssigned(first.get());
  auto held = Call(first.get(), {SlotOf(orders[0])});
  auto second = Start();
  UntilLeads(second.get());
  Submit("b");  // the first learns of it when it next wants to write
  EXPECT_EQ(ReasonOf(held.get().status), "NOT_LEADER");
  auto refused = Call(first.get(), {SlotOf(orders[0])});
  EXPECT_EQ(ReasonOf(refused.get().status), "NOT_LEADER");
  auto done = Call(second.get(), {SlotOf(orders[0], kArtifact)});
  EXPECT_EQ(UntilState("a", JobState::kSucceeded).epoch, 1u);  // the job was left alone meanwhile
}

TEST_F(LeaderTest, TheStandbyTakesOverWhenTheLeaderIsSilent) {
  auto first = Start(300);
  UntilLeads(first.get());
  auto second = Start(300);
  UntilLeads(second.get());
  for (int i = 0; i < 200 && first->incarnation() != 0; ++i)
    state_->WaitForEvents(1000000, 10).IgnoreError();
  EXPECT_EQ(first->incarnation(), 0u);
  second.reset();
  for (int i = 0; i < 300 && first->incarnation() == 0; ++i)
    state_->WaitForEvents(1000000, 10).IgnoreError();
  EXPECT_GT(first->incarnation(), 2u);
}

TEST_F(LeaderTest, AnOperatorSeesAndDrains) {
  auto leader = Start(3000);
  Call(leader.get()).get();
  ASSERT_TRUE(leader
                  ->Look([](const Core& core, Now) {
                    EXPECT_THAT(core.Workers(), SizeIs(1));
                    EXPECT_TRUE(core.Workers()[0].connected);
                    return absl::OkStatus();
                  })
                  .ok());
  auto drain = [&](const std::string& worker, bool on) {
    return leader->Command([=](Core& core, Now now) { return core.SetDrain(worker, on, false, now); });
  };
  EXPECT_TRUE(drain("w", true).ok());
  EXPECT_EQ(ReasonOf(drain("x", true)), "WORKER_UNKNOWN");
  Submit("a");
  EXPECT_EQ(Until("a", [](const JobRecord& j) { return !j.pending_reason.empty(); }).pending_reason,
            "every worker that fits is draining");
  ASSERT_TRUE(leader
                  ->Look([](const Core& core, Now now) {
                    EXPECT_THAT(core.Queue("t", 10, now), SizeIs(1));
                    return absl::OkStatus();
                  })
                  .ok());
  leader->Stop();
  EXPECT_EQ(ReasonOf(drain("w", false)), "NOT_LEADER");
}

}  // namespace
}  // namespace swage
