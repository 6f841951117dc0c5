#include "tests/conformance/state_store_suite.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <set>
#include <thread>

#include "base/rng.h"
#include "base/text.h"

namespace swage {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

Transaction Put(const std::string& key, uint64_t version, const std::string& value) {
  Transaction t;
  t.writes.push_back({key, version, value});
  return t;
}

Transaction Note(const std::string& stream, const std::string& value) {
  Transaction t;
  t.events.push_back({stream, value});
  return t;
}

int RandomOps() {
  const char* count = std::getenv("SWAGE_CONFORMANCE_OPS");
  return count == nullptr ? 100000 : std::atoi(count);
}

// The rules, in the plainest form.
class Model {
 public:
  ApplyResult Apply(const Transaction& t) {
    if (t.incarnation != 0 && t.incarnation != incarnation) return ApplyResult::kConflict;
    for (const Write& w : t.writes) {
      if (Version(w.key) != w.expected_version) return ApplyResult::kConflict;
    }
    for (const Write& w : t.writes) {
      if (w.value.has_value()) {
        records[w.key] = {w.expected_version + 1, *w.value};
      } else {
        records.erase(w.key);
      }
    }
    for (const NewEvent& e : t.events) streams[e.stream].push_back(e.value);
    return ApplyResult::kOk;
  }
  uint64_t Version(const std::string& key) const {
    auto it = records.find(key);
    return it == records.end() ? 0 : it->second.first;
  }
  std::map<std::string, std::pair<uint64_t, std::string>> records;
  std::map<std::string, std::vector<std::string>> streams;
  uint64_t incarnation = 0;
};

void ExpectEqual(StateStore* store, const Model& model) {
  auto records = store->Scan("", "", 1000000);
  ASSERT_TRUE(records.ok());
  ASSERT_EQ(records->size(), model.records.size());
  auto expected = model.records.begin();
  for (const Record& record : *records) {
    EXPECT_EQ(record.key, expected->first);
    EXPECT_EQ(record.version, expected->second.first);
    EXPECT_EQ(record.value, expected->second.second);
    ++expected;
  }
  for (const auto& [stream, values] : model.streams) {
    auto events = store->ReadStream(stream, 0, 1000000);
    ASSERT_TRUE(events.ok());
    ASSERT_EQ(events->size(), values.size()) << stream;
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ((*events)[i].stream_sequence, i + 1);
      EXPECT_EQ((*events)[i].value, values[i]);
    }
  }
}

Transaction RandomTransaction(Rng* rng, const Model& model) {
  Transaction t;
  if (rng->Uniform(4) == 0) t.incarnation = model.incarnation - rng->Uniform(2);
  std::set<std::string> keys;
  for (uint64_t i = rng->Uniform(4); i > 0; --i) {
    const std::string key = Cat(rng->Uniform(2) == 0 ? "a" : "b", "/job/", rng->Uniform(12));
    if (!keys.insert(key).second) continue;
    uint64_t version = model.Version(key);
    if (rng->Uniform(8) == 0) version += 1 + rng->Uniform(2);
    std::optional<std::string> value;
    if (rng->Uniform(4) != 0) value = Cat("v", rng->Uniform(1000000));
    // Deleting what is absent is a write like another; a store may meet it.
    t.writes.push_back({key, version, value});
  }
  for (uint64_t i = rng->Uniform(3); i > 0; --i) {
    t.events.push_back({Cat("s", rng->Uniform(3)), Cat("e", rng->Uniform(1000000))});
  }
  return t;
}

TEST_P(StateStoreSuite, RandomOperationsAgreeWithTheModel) {
  Rng rng(7);
  Model model;
  const int ops = RandomOps();
  for (int i = 0; i < ops; ++i) {
    switch (rng.Uniform(16)) {
      case 0: {
        const std::string key = Cat("a/job/", rng.Uniform(12));
        auto got = store_->Get(key);
        ASSERT_TRUE(got.ok());
        ASSERT_EQ(got->has_value() ? (*got)->version : 0, model.Version(key));
        break;
      }
      case 1: {
        if (rng.Uniform(50) != 0) break;
        const uint64_t at_least = rng.Uniform(3) == 0 ? model.incarnation + rng.Uniform(5) : 0;
        model.incarnation = std::max(model.incarnation, at_least) + 1;
        auto taken = store_->TakeLeadership(at_least);
        ASSERT_TRUE(taken.ok());
        ASSERT_EQ(*taken, model.incarnation);
        break;
      }
      default: {
        const Transaction t = RandomTransaction(&rng, model);
        ASSERT_EQ(store_->Apply(t), model.Apply(t)) << "operation " << i;
      }
    }
  }
  ExpectEqual(store_.get(), model);
  store_.reset();
  ExpectEqual(fixture_->Open().get(), model);  // and so it is after reopening
}

TEST_P(StateStoreSuite, AWriteWithAnotherVersionChangesNothingOfItsTransaction) {
  ASSERT_EQ(store_->Apply(Put("t/job/1", 0, "one")), ApplyResult::kOk);
  Transaction t = Put("t/job/2", 0, "two");
  t.writes.push_back({"t/job/1", 7, "seven"});
  t.events.push_back({"s", "never"});
  EXPECT_EQ(store_->Apply(t), ApplyResult::kConflict);
  EXPECT_FALSE(store_->Get("t/job/2").value().has_value());
  EXPECT_EQ(store_->Get("t/job/1").value()->value, "one");
  EXPECT_THAT(store_->ReadStream("s", 0, 10).value(), SizeIs(0));
}

TEST_P(StateStoreSuite, TheSameCallAgainConflicts) {
  const Transaction t = Put("t/request/1", 0, "create");
  EXPECT_EQ(store_->Apply(t), ApplyResult::kOk);
  EXPECT_EQ(store_->Apply(t), ApplyResult::kConflict);
  EXPECT_EQ(store_->Get("t/request/1").value()->version, 1u);
}

TEST_P(StateStoreSuite, AfterDeletionVersionsStartAgain) {
  ASSERT_EQ(store_->Apply(Put("k", 0, "a")), ApplyResult::kOk);
  ASSERT_EQ(store_->Apply(Put("k", 1, "b")), ApplyResult::kOk);
  Transaction drop;
  drop.writes.push_back({"k", 2, std::nullopt});
  ASSERT_EQ(store_->Apply(drop), ApplyResult::kOk);
  EXPECT_EQ(store_->Apply(drop), ApplyResult::kConflict);
  ASSERT_EQ(store_->Apply(Put("k", 0, "c")), ApplyResult::kOk);
  EXPECT_EQ(store_->Get("k").value()->version, 1u);
}

TEST_P(StateStoreSuite, AnEarlierLeaderCanNoLongerWrite) {
  auto other = fixture_->Open();
  const uint64_t first = store_->TakeLeadership(0).value();
  const uint64_t second = other->TakeLeadership(0).value();
  EXPECT_GT(second, first);
  Transaction late = Put("t/job/1", 0, "late");
  late.incarnation = first;
  EXPECT_EQ(store_->Apply(late), ApplyResult::kConflict);
  late.incarnation = second;
  EXPECT_EQ(other->Apply(late), ApplyResult::kOk);
  EXPECT_EQ(store_->Apply(Put("t/request/1", 0, "no leadership claimed")), ApplyResult::kOk);
  EXPECT_EQ(store_->CurrentIncarnation().value(), second);
  EXPECT_EQ(store_->TakeLeadership(100).value(), 101u);  // the artifact store had seen a later one
}

TEST_P(StateStoreSuite, ScanGoesThroughAPrefixInPages) {
  for (const char* key : {"a/job/1", "a/job/2", "a/job/3", "a/jobs", "b/job/1", "a/job", "a/jo"}) {
    ASSERT_EQ(store_->Apply(Put(key, 0, key)), ApplyResult::kOk);
  }
  auto keys = [&](const std::string& prefix, const std::string& after, size_t limit) {
    std::vector<std::string> found;
    const std::vector<Record> page = store_->Scan(prefix, after, limit).value();
    for (const Record& record : page) found.push_back(record.key);
    return found;
  };
  EXPECT_THAT(keys("a/job/", "", 2), ElementsAre("a/job/1", "a/job/2"));
  EXPECT_THAT(keys("a/job/", "a/job/2", 2), ElementsAre("a/job/3"));
  EXPECT_THAT(keys("a/job/", "a/job/3", 2), ElementsAre());
  EXPECT_THAT(keys("b", "a/zzz", 9), ElementsAre("b/job/1"));
  EXPECT_THAT(keys("c", "", 9), ElementsAre());
  EXPECT_EQ(keys("", "", 100).size(), 7u);
}

TEST_P(StateStoreSuite, EventsAreGaplessInTheirStreamAndOrderedOverAll) {
  for (int i = 0; i < 20; ++i) {
    Transaction t = Note(Cat("s", i % 3), Cat(i));
    t.events.push_back({"requests", Cat("r", i)});
    ASSERT_EQ(store_->Apply(t), ApplyResult::kOk);
  }
  uint64_t last = 0;
  std::map<std::string, uint64_t> streams;
  size_t seen = 0;
  while (true) {
    auto page = store_->ReadEvents(last, 7).value();
    if (page.empty()) break;
    for (const StoredEvent& e : page) {
      EXPECT_GT(e.sequence, last);
      last = e.sequence;
      EXPECT_EQ(e.stream_sequence, ++streams[e.stream]);
      ++seen;
    }
  }
  EXPECT_EQ(seen, 40u);
  EXPECT_THAT(store_->ReadStream("requests", 18, 10).value(), SizeIs(2));
  EXPECT_EQ(store_->WaitForEvents(0, 0).value(), last);
}

TEST_P(StateStoreSuite, BytesComeBackAsTheyWere) {
  const std::string value = std::string("a\0b\n\"'\xc3\xa4", 8) + std::string(100000, 'x');
  ASSERT_EQ(store_->Apply(Put("k", 0, value)), ApplyResult::kOk);
  EXPECT_EQ(store_->Get("k").value()->value, value);
}

TEST_P(StateStoreSuite, AWaitEndsWithTheEventOfAnotherHandle) {
  auto other = fixture_->Open();
  const uint64_t before = store_->WaitForEvents(0, 0).value();
  std::thread writer([&] { ASSERT_EQ(other->Apply(Note("requests", "r")), ApplyResult::kOk); });
  const uint64_t after = store_->WaitForEvents(before, 10000).value();
  writer.join();
  EXPECT_GT(after, before);
  EXPECT_THAT(store_->ReadEvents(before, 10).value(), SizeIs(1));
}

TEST_P(StateStoreSuite, AWaitWithoutEventsEndsWithItsTime) {
  ASSERT_EQ(store_->Apply(Note("s", "one")), ApplyResult::kOk);
  const uint64_t last = store_->WaitForEvents(0, 0).value();
  EXPECT_EQ(store_->WaitForEvents(last, 30).value(), last);
}

TEST_P(StateStoreSuite, ThreadsCountingTogetherLoseNothing) {
  constexpr int kThreads = 4, kEach = 50;
  std::vector<std::thread> threads;
  std::atomic<int> conflicts = 0;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      auto handle = t % 2 == 0 ? store_ : fixture_->Open();
      for (int done = 0; done < kEach;) {
        auto now = handle->Get("counter").value();
        const uint64_t version = now.has_value() ? now->version : 0;
        const int value = now.has_value() ? std::atoi(now->value.c_str()) : 0;
        Transaction add = Put("counter", version, Cat(value + 1));
        add.events.push_back({"counts", Cat(value + 1)});
        const ApplyResult result = handle->Apply(add);
        ASSERT_NE(result, ApplyResult::kUnknown);
        if (result == ApplyResult::kOk) ++done;
        if (result == ApplyResult::kConflict) ++conflicts;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(store_->Get("counter").value()->value, Cat(kThreads * kEach));
  EXPECT_EQ(store_->Get("counter").value()->version, uint64_t{kThreads * kEach});
  auto events = store_->ReadStream("counts", 0, 1000).value();
  ASSERT_EQ(events.size(), size_t{kThreads * kEach});
  for (size_t i = 0; i < events.size(); ++i) EXPECT_EQ(events[i].value, Cat(i + 1));
}

}  // namespace

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StateStoreSuite);

}  // namespace swage
