// A leader whose state store fails over and forgets what it acknowledged last.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/server/leader.h"
#include "tests/sim/rewindable_state.h"
#include "tests/unit/scheduler/creation.h"

namespace swage {
namespace {

const std::string kKeptArtifact(64, '1');

// The rewindable store for several threads, one of which waits for events.
class ForgetfulState : public StateStore {
 public:
  ApplyResult Apply(const Transaction& transaction) override {
    std::lock_guard lock(mu_);
    changed_.notify_all();
    return state_.Apply(transaction);
  }
  StatusOr<std::optional<Record>> Get(const std::string& key) override {
    std::lock_guard lock(mu_);
    return state_.Get(key);
  }
  StatusOr<std::vector<std::optional<Record>>> MultiGet(
      const std::vector<std::string>& keys) override {
    std::lock_guard lock(mu_);
    return state_.MultiGet(keys);
  }
  StatusOr<std::vector<Record>> Scan(const std::string& prefix, const std::string& after,
                                     size_t limit) override {
    std::lock_guard lock(mu_);
    return state_.Scan(prefix, after, limit);
  }
  StatusOr<std::vector<Record>> ScanBack(const std::string& prefix, const std::string& before,
                                         size_t limit) override {
    std::lock_guard lock(mu_);
    return state_.ScanBack(prefix, before, limit);
  }
  StatusOr<std::vector<StoredEvent>> ReadEvents(uint64_t after, size_t limit) override {
    std::lock_guard lock(mu_);
    if (gone_) {
      ++read_gone_;
      changed_.notify_all();
      return std::vector<StoredEvent>();
    }
    return state_.ReadEvents(after, limit);
  }
  StatusOr<std::vector<StoredEvent>> ReadStream(const std::string& stream, uint64_t after,
                                                size_t limit) override {
    std::lock_guard lock(mu_);
    return state_.ReadStream(stream, after, limit);
  }
  StatusOr<uint64_t> WaitForEvents(uint64_t after, int timeout_ms) override {
    std::unique_lock lock(mu_);
    changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                      [&] { return *state_.WaitForEvents(0, 0) > after; });
    return state_.WaitForEvents(0, 0);
  }
  StatusOr<uint64_t> TakeLeadership(uint64_t at_least) override {
    std::lock_guard lock(mu_);
    return state_.TakeLeadership(at_least);
  }
  StatusOr<uint64_t> CurrentIncarnation() override {
    std::lock_guard lock(mu_);
    return state_.CurrentIncarnation();
  }

  uint64_t serial() {
    std::lock_guard lock(mu_);
    return state_.serial();
  }
  void RewindTo(uint64_t serial) {
    std::lock_guard lock(mu_);
    state_.RewindTo(serial);
  }
  // Until the next call, events are announced that nobody can read any more.
  void LoseAnnounced(bool gone) {
    std::lock_guard lock(mu_);
    gone_ = gone;
  }
  void UntilOneReadInVain() {
    std::unique_lock lock(mu_);
    changed_.wait(lock, [&] { return read_gone_ > 0; });
  }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  bool gone_ = false;
  int read_gone_ = 0;
  sim::RewindableState state_;
};

class OneResult : public ArtifactStore {
 public:
  StatusOr<ReconcilePage> Reconcile(uint64_t incarnation, const std::string&) override {
    std::lock_guard lock(mu_);
    highest_ = std::max(highest_, incarnation);
    return ReconcilePage{highest_, published_, ""};
  }
  StatusOr<PublishDecision> Publish(const PublishOrder& order, uint64_t,
                                    const SpanContext&) override {
    std::lock_guard lock(mu_);
    published_.push_back({order.tenant, order.job, order.artifact});
    return PublishDecision{PublishOutcome::kPublished, order.artifact, ""};
  }

 private:
  std::mutex mu_;
  uint64_t highest_ = 0;
  std::vector<PublishedJob> published_;
};

class FailoverTest : public testing::Test {
 protected:
  class Call : public HeldCall {
   public:
    explicit Call(std::promise<SyncAnswer> promise) : promise_(std::move(promise)) {}
    void Answer(const SyncAnswer& answer) override { promise_.set_value(answer); }
    void Refuse(const Status&) override { promise_.set_value({}); }

   private:
    std::promise<SyncAnswer> promise_;
  };

  void Put(const Request& request) {
    const std::string key = RequestKey("t", Cat("r", ++requests_));
    Transaction t;
    t.writes.push_back({key, 0, ToJson(request)});
    t.events.push_back({std::string(kRequestStream), key});
    ASSERT_EQ(state_->Apply(t), ApplyResult::kOk);
  }
  void Submit(const std::string& id) {
    ASSERT_EQ(state_->Apply(CreationOf(id)), ApplyResult::kOk);
  }
  SyncAnswer Report(Leader* leader, const std::vector<SlotReport>& slots) {
    WorkerReport report;
    report.worker_id = "w";
    report.boot_id = "b";
    report.sequence = ++sequence_;
    report.slot_count = 1;
    report.devices = {{"cpu0", "cpu", "", 1000}};
    report.slots = slots;
    std::promise<SyncAnswer> promise;
    auto answer = promise.get_future();
    leader->Synchronize(report, std::make_unique<Call>(std::move(promise)));
    return answer.get();
  }
  std::optional<JobState> StateOf(const std::string& id) {
    const auto record = state_->Get(JobKey("t", id)).value();
    if (!record.has_value()) return std::nullopt;
    return JobRecordFromJson(record->value)->state;
  }
  template <typename Predicate>
  void Until(Predicate predicate) {
    uint64_t position = 0;
    for (int i = 0; i < 200 && !predicate(); ++i)
      position = state_->WaitForEvents(position, 50).value();
    ASSERT_TRUE(predicate());
  }

  std::shared_ptr<ForgetfulState> state_ = std::make_shared<ForgetfulState>();
  OneResult artifacts_;
  uint64_t sequence_ = 0;
  int requests_ = 0;
};

// Seen by the simulator: the job stayed as the store had it, unfinished, until the next leader.
TEST_F(FailoverTest, TheLeaderNoticesAtItsNextWriteThatSomeAreLost) {
  LeaderOptions options;
  options.state = state_;
  options.artifacts = &artifacts_;
  options.lease_ms = 60000;  // no beat on its own within the test
  Leader leader(options);
  Until([&] { return leader.incarnation() != 0; });
  Submit("a");
  SyncAnswer told;
  for (int i = 0; i < 50 && told.assignments.empty(); ++i) told = Report(&leader, {});
  ASSERT_EQ(told.assignments.size(), 1u);
  const uint64_t mark = state_->serial();
  const AssignmentOrder& order = told.assignments[0];
  SlotReport slot{order.tenant, order.job, order.token, {}, OutcomeReport{kKeptArtifact, "", ""}};
  Report(&leader, {slot});
  Until([&] { return StateOf("a") == JobState::kSucceeded; });

  state_->RewindTo(mark);
  ASSERT_EQ(StateOf("a"), JobState::kStarting);
  // Past the events that are lost with the writes, so that the leader sees these.
  for (int i = 0; i < 20; ++i) Put({"cancel", "t", "nobody", ""});
  // Read anew, and agreed with the artifact store.
  Until([&] { return StateOf("a") == JobState::kSucceeded; });
}

// Between the announcement and the reading they were trimmed with a job that was deleted, or lost in a failover.
TEST_F(FailoverTest, EventsThatAreGoneWhenTheLeaderReadsThemEndNothing) {
  LeaderOptions options;
  options.state = state_;
  options.artifacts = &artifacts_;
  Leader leader(options);
  Until([&] { return leader.incarnation() != 0; });
  state_->LoseAnnounced(true);
  Put({"cancel", "t", "nobody", ""});
  state_->UntilOneReadInVain();
  state_->LoseAnnounced(false);
  Submit("a");
  SyncAnswer told;
  for (int i = 0; i < 50 && told.assignments.empty(); ++i) told = Report(&leader, {});
  EXPECT_EQ(told.assignments.size(), 1u);
}

}  // namespace
}  // namespace swage
