#include "scheduler/state/state_copy.h"

#include "base/env.h"
#include "base/text.h"
#include "gtest/gtest.h"

namespace swage {
namespace {

void Fill(StateStore* store, int records) {
  ASSERT_EQ(store->TakeLeadership(7).value(), 8u);
  for (int i = 0; i < records; ++i) {
    for (uint64_t version = 0; version < 1 + static_cast<uint64_t>(i % 3); ++version) {
      Transaction t;
      t.writes.push_back({Cat("t/job/", i), version, Cat("value ", i)});
      t.events.push_back({Cat("t/job/", i), Cat("event ", version)});
      ASSERT_EQ(store->Apply(t), ApplyResult::kOk);
    }
    Transaction trim;
    if (i % 10 == 0) trim.trims.push_back({Cat("t/job/", i), kWholeStream});
    ASSERT_EQ(store->Apply(trim), ApplyResult::kOk);
  }
}

StateCopyOptions AtOnce() { return {.watch_leader_ms = 0, .wait = nullptr}; }

TEST(StateCopy, EverythingArrivesAndGoesOn) {
  TempDir dir("copy");
  auto from = NewMemoryStateStore();
  Fill(from.get(), 2500);
  auto to = OpenSqliteStateStore(dir.path() + "/to.sqlite").value();
  const auto copied = CopyState(from.get(), to.get(), AtOnce());
  ASSERT_TRUE(copied.ok()) << MessageOf(copied.status());
  EXPECT_EQ(copied->records, 2500u);
  EXPECT_EQ(copied->stream_ends, 250u);
  EXPECT_EQ(copied->incarnation, 9u);  // the source's leader was deposed by the copy
  auto reopened = OpenSqliteStateStore(dir.path() + "/to.sqlite").value();
  EXPECT_EQ(DigestState(reopened.get())->digest, copied->digest);
  EXPECT_EQ(reopened->Get("t/job/2").value()->version, 3u);
  Transaction next;
  next.events.push_back({"t/job/0", "after the copy"});
  next.events.push_back({"t/job/2", "after the copy"});
  ASSERT_EQ(reopened->Apply(next), ApplyResult::kOk);
  EXPECT_EQ(reopened->ReadStream("t/job/0", 0, 9).value()[0].stream_sequence, 2u);
  EXPECT_EQ(reopened->ReadStream("t/job/2", 3, 9).value()[0].stream_sequence, 4u);
  EXPECT_EQ(reopened->ReadEvents(copied->last_sequence, 9).value().size(), 2u);
  EXPECT_EQ(reopened->TakeLeadership(0).value(), 10u);
}

TEST(StateCopy, AnEmptyStateToo) {
  TempDir dir("copy");
  auto from = NewMemoryStateStore();
  auto to = OpenSqliteStateStore(dir.path() + "/to.sqlite").value();
  const auto copied = CopyState(from.get(), to.get(), AtOnce());
  ASSERT_TRUE(copied.ok()) << MessageOf(copied.status());
  EXPECT_EQ(copied->records + copied->events, 0u);
}

TEST(StateCopy, ATargetInUseIsRefusedAndTheSourcesLeaderLeftAlone) {
  TempDir dir("copy");
  auto from = NewMemoryStateStore();
  Fill(from.get(), 3);
  auto to = OpenSqliteStateStore(dir.path() + "/to.sqlite").value();
  ASSERT_EQ(to->TakeLeadership(0).value(), 1u);
  EXPECT_EQ(ReasonOf(CopyState(from.get(), to.get(), AtOnce()).status()), "STATE_NOT_EMPTY");
  EXPECT_EQ(from->CurrentIncarnation().value(), 8u);
}

TEST(StateCopy, ALivingLeaderIsNoticedByItsBeat) {
  auto from = NewMemoryStateStore();
  uint64_t version = 0;
  const auto beat = [&](int) {
    Transaction t;
    t.writes.push_back({"-/leader/beat", version++, "{}"});
    ASSERT_EQ(from->Apply(t), ApplyResult::kOk);
  };
  beat(0);
  auto to = NewMemoryStateStore();
  StateCopyOptions options{.watch_leader_ms = 10000, .wait = beat};
  EXPECT_EQ(ReasonOf(CopyState(from.get(), to.get(), options).status()), "LEADER_ALIVE");
  int waited = 0;
  options.wait = [&](int ms) { waited += ms; };  // its last beat was long ago
  EXPECT_TRUE(CopyState(from.get(), to.get(), options).ok());
  EXPECT_EQ(waited, 10000);
}

// Writes once in the middle of the copy, as a control that was not stopped would.
class BusyStore : public MovableStateStore {
 public:
  ApplyResult Apply(const Transaction& t) override { return store_->Apply(t); }
  StatusOr<std::optional<Record>> Get(const std::string& key) override { return store_->Get(key); }
  StatusOr<std::vector<std::optional<Record>>> MultiGet(
      const std::vector<std::string>& keys) override {
    return store_->MultiGet(keys);
  }
  StatusOr<std::vector<Record>> Scan(const std::string& prefix, const std::string& after,
                                     size_t limit) override {
    return store_->Scan(prefix, after, limit);
  }
  StatusOr<std::vector<Record>> ScanBack(const std::string& prefix, const std::string& before,
                                         size_t limit) override {
    return store_->ScanBack(prefix, before, limit);
  }
  StatusOr<std::vector<StoredEvent>> ReadEvents(uint64_t after, size_t limit) override {
    Transaction t;
    t.writes.push_back({Cat("t/request/", requests_++), 0, "{}"});
    EXPECT_EQ(store_->Apply(t), ApplyResult::kOk);
    return store_->ReadEvents(after, limit);
  }
  StatusOr<std::vector<StoredEvent>> ReadStream(const std::string& stream, uint64_t after,
                                                size_t limit) override {
    return store_->ReadStream(stream, after, limit);
  }
  StatusOr<uint64_t> WaitForEvents(uint64_t after, int ms) override {
    return store_->WaitForEvents(after, ms);
  }
  StatusOr<uint64_t> TakeLeadership(uint64_t at_least) override {
    return store_->TakeLeadership(at_least);
  }
  StatusOr<uint64_t> CurrentIncarnation() override { return store_->CurrentIncarnation(); }
  StatusOr<std::vector<StreamEnd>> ScanStreamEnds(const std::string& after, size_t limit) override {
    return store_->ScanStreamEnds(after, limit);
  }
  StatusOr<uint64_t> LastSequence() override { return store_->LastSequence(); }
  Status BeginImport() override { return store_->BeginImport(); }
  Status Import(const StatePiece& piece) override { return store_->Import(piece); }
  Status FinishImport(uint64_t incarnation, uint64_t last) override {
    return store_->FinishImport(incarnation, last);
  }

 private:
  int requests_ = 0;
  std::unique_ptr<MovableStateStore> store_ = NewMemoryStateStore();
};

TEST(StateCopy, AStateThatChangesMeanwhileIsNotCopied) {
  TempDir dir("copy");
  const std::string path = dir.path() + "/to.sqlite";
  BusyStore from;
  {
    auto to = OpenSqliteStateStore(path).value();
    EXPECT_EQ(ReasonOf(CopyState(&from, to.get(), AtOnce()).status()), "STATE_CHANGED");
  }
  auto reopened = OpenSqliteStateStore(path).value();
  EXPECT_TRUE(reopened->Scan("", "", 10)->empty());
  EXPECT_EQ(reopened->CurrentIncarnation().value(), 0u);
}

}  // namespace
}  // namespace swage
