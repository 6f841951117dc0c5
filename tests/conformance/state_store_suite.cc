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
  struct Event {
    std::string stream;
    uint64_t stream_sequence;
    std::string value;
  };

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
    for (const StreamTrim& trim : t.trims) {
      std::erase_if(events, [&](const Event& e) {
        return e.stream == trim.stream && e.stream_sequence <= trim.up_to_stream_sequence;
      });
    }
    for (const NewEvent& e : t.events) events.push_back({e.stream, ++last[e.stream], e.value});
    return ApplyResult::kOk;
  }
  uint64_t Version(const std::string& key) const {
    auto it = records.find(key);
    return it == records.end() ? 0 : it->second.first;
  }
  std::vector<Record> Scan(const std::string& prefix, const std::string& after, size_t limit) const {
    std::vector<Record> found;
    for (const auto& [key, value] : records) {
      if (found.size() == limit) break;
      if (StartsWith(key, prefix) && key > after) found.push_back({key, value.first, value.second});
    }
    return found;
  }
  std::vector<Record> ScanBack(const std::string& prefix, const std::string& before,
                               size_t limit) const {
    std::vector<Record> found = Scan(prefix, "", SIZE_MAX);
    std::erase_if(found, [&](const Record& r) { return !before.empty() && r.key >= before; });
    std::reverse(found.begin(), found.end());
    if (found.size() > limit) found.resize(limit);
    return found;
  }
  std::vector<Event> Stream(const std::string& stream, uint64_t after, size_t limit) const {
    std::vector<Event> found;
    for (const Event& e : events) {
      if (found.size() == limit) break;
      if (e.stream == stream && e.stream_sequence > after) found.push_back(e);
    }
    return found;
  }

  std::map<std::string, std::pair<uint64_t, std::string>> records;
  std::vector<Event> events;
  std::map<std::string, uint64_t> last;
  uint64_t incarnation = 0;
};

void ExpectRecords(const std::vector<Record>& found, const std::vector<Record>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(found[i].key, expected[i].key);
    ASSERT_EQ(found[i].version, expected[i].version);
    ASSERT_EQ(found[i].value, expected[i].value);
  }
}

void ExpectEvents(const std::vector<StoredEvent>& found, const std::vector<Model::Event>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  uint64_t sequence = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_GT(found[i].sequence, sequence);
    sequence = found[i].sequence;
    ASSERT_EQ(found[i].stream, expected[i].stream);
    ASSERT_EQ(found[i].stream_sequence, expected[i].stream_sequence);
    ASSERT_EQ(found[i].value, expected[i].value);
  }
}

void ExpectEqual(StateStore* store, const Model& model) {
  auto records = store->Scan("", "", 1000000);
  ASSERT_TRUE(records.ok());
  ExpectRecords(*records, model.Scan("", "", 1000000));
  auto events = store->ReadEvents(0, 1000000);
  ASSERT_TRUE(events.ok());
  ExpectEvents(*events, model.events);
  for (const auto& [stream, last] : model.last) {
    auto of_stream = store->ReadStream(stream, 0, 1000000);
    ASSERT_TRUE(of_stream.ok());
    ExpectEvents(*of_stream, model.Stream(stream, 0, 1000000));
  }
}

std::string RandomKey(Rng* rng) {
  return Cat(rng->Uniform(2) == 0 ? "a" : "b", "/job/", rng->Uniform(12));
}

Transaction RandomTransaction(Rng* rng, const Model& model) {
  Transaction t;
  if (rng->Uniform(4) == 0) t.incarnation = model.incarnation - rng->Uniform(2);
  std::set<std::string> keys;
  for (uint64_t i = rng->Uniform(4); i > 0; --i) {
    const std::string key = RandomKey(rng);
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
  // Often enough that the log stays short and streams are emptied again and again.
  while (rng->Uniform(8) == 0) {
    const std::string stream = Cat("s", rng->Uniform(4));
    const auto last = model.last.find(stream);
    const uint64_t numbers = last == model.last.end() ? 0 : last->second;
    t.trims.push_back({stream, rng->Uniform(3) == 0 ? kWholeStream : rng->Uniform(numbers + 3)});
  }
  return t;
}

void ReadAtRandom(StateStore* store, const Model& model, Rng* rng) {
  switch (rng->Uniform(4)) {
    case 0: {
      std::vector<std::string> keys;
      for (uint64_t i = rng->Uniform(5); i > 0; --i) keys.push_back(RandomKey(rng));
      const auto found = store->MultiGet(keys).value();
      ASSERT_EQ(found.size(), keys.size());
      for (size_t i = 0; i < keys.size(); ++i) {
        ASSERT_EQ(found[i].has_value() ? found[i]->version : 0, model.Version(keys[i]));
        ASSERT_TRUE(!found[i].has_value() || found[i]->key == keys[i]);
      }
      break;
    }
    case 1: {
      const std::string prefix = rng->Uniform(2) == 0 ? "a/job/1" : "b/";
      const std::string after = rng->Uniform(2) == 0 ? "" : RandomKey(rng);
      const size_t limit = rng->Uniform(8);
      ExpectRecords(store->Scan(prefix, after, limit).value(), model.Scan(prefix, after, limit));
      ExpectRecords(store->ScanBack(prefix, after, limit).value(),
                    model.ScanBack(prefix, after, limit));
      break;
    }
    case 2: {
      const std::string stream = Cat("s", rng->Uniform(4));
      const uint64_t after = rng->Uniform(1000);
      const size_t limit = rng->Uniform(8);
      ExpectEvents(store->ReadStream(stream, after, limit).value(),
                   model.Stream(stream, after, limit));
      break;
    }
    default: {
      const std::string key = RandomKey(rng);
      const auto found = store->Get(key).value();
      ASSERT_EQ(found.has_value() ? found->version : 0, model.Version(key));
    }
  }
}

TEST_P(StateStoreSuite, RandomOperationsAgreeWithTheModel) {
  Rng rng(7);
  Model model;
  const int ops = RandomOps();
  for (int i = 0; i < ops; ++i) {
    const uint64_t kind = rng.Uniform(16);
    if (kind < 2) {
      ReadAtRandom(store_.get(), model, &rng);
      ASSERT_FALSE(HasFailure()) << "operation " << i;
    } else if (kind == 2 && rng.Uniform(50) == 0) {
      const uint64_t at_least = rng.Uniform(3) == 0 ? model.incarnation + rng.Uniform(5) : 0;
      model.incarnation = std::max(model.incarnation, at_least) + 1;
      auto taken = store_->TakeLeadership(at_least);
      ASSERT_TRUE(taken.ok());
      ASSERT_EQ(*taken, model.incarnation);
    } else {
      const Transaction t = RandomTransaction(&rng, model);
      ASSERT_EQ(store_->Apply(t), model.Apply(t)) << "operation " << i;
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

TEST_P(StateStoreSuite, TransactionsOfOneCallAreEachOnTheirOwnAndInOrder) {
  std::vector<Transaction> all = {Put("k", 0, "a"), Put("k", 0, "twin"), Put("k", 1, "b")};
  for (Transaction& t : all) t.events.push_back({"s", *t.writes[0].value});
  Transaction half = Put("other", 0, "x");
  half.writes.push_back({"k", 9, "never"});
  all.push_back(half);
  for (int i = 0; i < 300; ++i) all.push_back(Put(Cat("many/", i), 0, "m"));  // more than go together
  const std::vector<ApplyResult> results = store_->ApplyAll(all);
  ASSERT_EQ(results.size(), all.size());
  using enum ApplyResult;
  EXPECT_THAT(std::vector<ApplyResult>(results.begin(), results.begin() + 4), ElementsAre(kOk, kConflict, kOk, kConflict));
  EXPECT_EQ(std::count(results.begin() + 4, results.end(), kOk), 300);
  EXPECT_EQ(store_->Get("k").value()->value, "b");
  EXPECT_FALSE(store_->Get("other").value().has_value());
  const auto events = store_->ReadStream("s", 0, 10).value();
  ASSERT_THAT(events, SizeIs(2));
  EXPECT_EQ(events[1].value, "b");
  EXPECT_TRUE(store_->ApplyAll({}).empty());
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

  auto back = [&](const std::string& prefix, const std::string& before, size_t limit) {
    std::vector<std::string> found;
    const std::vector<Record> page = store_->ScanBack(prefix, before, limit).value();
    for (const Record& record : page) found.push_back(record.key);
    return found;
  };
  EXPECT_THAT(back("a/job/", "", 2), ElementsAre("a/job/3", "a/job/2"));
  EXPECT_THAT(back("a/job/", "a/job/2", 2), ElementsAre("a/job/1"));
  EXPECT_THAT(back("a/job/", "a/job/1", 2), ElementsAre());
  EXPECT_THAT(back("a", "b/zzz", 1), ElementsAre("a/jobs"));
  EXPECT_THAT(back("b", "a/zzz", 9), ElementsAre());
  EXPECT_EQ(back("", "", 100).size(), 7u);
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

TEST_P(StateStoreSuite, MultiGetAnswersInTheOrderAsked) {
  ASSERT_EQ(store_->Apply(Put("a", 0, "one")), ApplyResult::kOk);
  ASSERT_EQ(store_->Apply(Put("b", 0, "two")), ApplyResult::kOk);
  const auto found = store_->MultiGet({"b", "none", "a", "b"}).value();
  ASSERT_EQ(found.size(), 4u);
  EXPECT_EQ(found[0]->value, "two");
  EXPECT_FALSE(found[1].has_value());
  EXPECT_EQ(found[2]->value, "one");
  EXPECT_EQ(found[3]->key, "b");
  EXPECT_THAT(store_->MultiGet({}).value(), SizeIs(0));
}

TEST_P(StateStoreSuite, ATrimRemovesEventsAndNumberingGoesOn) {
  for (int i = 1; i <= 5; ++i) ASSERT_EQ(store_->Apply(Note("s", Cat(i))), ApplyResult::kOk);
  ASSERT_EQ(store_->Apply(Note("other", "stays")), ApplyResult::kOk);
  const uint64_t newest = store_->WaitForEvents(0, 0).value();
  Transaction some;
  some.trims.push_back({"s", 3});
  ASSERT_EQ(store_->Apply(some), ApplyResult::kOk);
  const auto left = store_->ReadStream("s", 0, 10).value();
  ASSERT_EQ(left.size(), 2u);
  EXPECT_EQ(left[0].stream_sequence, 4u);
  EXPECT_THAT(store_->ReadEvents(0, 10).value(), SizeIs(3));

  Transaction all;  // as when a job is deleted: what the transaction itself tells stays
  all.trims.push_back({"s", kWholeStream});
  all.trims.push_back({"never seen", kWholeStream});
  all.trims.push_back({"other", kWholeStream});
  all.events.push_back({"s", "the last"});
  ASSERT_EQ(store_->Apply(all), ApplyResult::kOk);
  const auto last = store_->ReadEvents(0, 10).value();
  ASSERT_EQ(last.size(), 1u);
  EXPECT_EQ(last[0].value, "the last");
  EXPECT_EQ(last[0].stream_sequence, 6u);
  EXPECT_GT(last[0].sequence, newest);

  Transaction empty;
  empty.trims.push_back({"s", 6});
  ASSERT_EQ(store_->Apply(empty), ApplyResult::kOk);
  ASSERT_EQ(store_->Apply(empty), ApplyResult::kOk);
  EXPECT_THAT(store_->ReadStream("s", 0, 10).value(), SizeIs(0));
  auto reopened = fixture_->Open();
  ASSERT_EQ(reopened->Apply(Note("s", "again")), ApplyResult::kOk);
  EXPECT_EQ(reopened->ReadStream("s", 0, 10).value()[0].stream_sequence, 7u);
}

TEST_P(StateStoreSuite, ATrimInARefusedTransactionRemovesNothing) {
  ASSERT_EQ(store_->Apply(Note("s", "one")), ApplyResult::kOk);
  Transaction t = Put("k", 5, "never");
  t.trims.push_back({"s", kWholeStream});
  EXPECT_EQ(store_->Apply(t), ApplyResult::kConflict);
  EXPECT_THAT(store_->ReadStream("s", 0, 10).value(), SizeIs(1));
}

TEST_P(StateStoreSuite, AWaitIsNotEndedByWhatWasTrimmed) {
  ASSERT_EQ(store_->Apply(Note("s", "one")), ApplyResult::kOk);
  ASSERT_EQ(store_->Apply(Note("s", "two")), ApplyResult::kOk);
  const uint64_t second = store_->WaitForEvents(0, 0).value();
  const uint64_t first = store_->ReadEvents(0, 1).value()[0].sequence;
  Transaction t;
  t.trims.push_back({"s", kWholeStream});
  ASSERT_EQ(store_->Apply(t), ApplyResult::kOk);
  EXPECT_EQ(store_->WaitForEvents(first, 0).value(), first);  // there is nothing to read
  EXPECT_EQ(store_->WaitForEvents(second, 0).value(), second);
  EXPECT_EQ(store_->WaitForEvents(INT64_MAX, 0).value(), second);
}

// Every call may reach the store twice: the second time it must change nothing.
TEST_P(StateStoreSuite, EveryCallDoubledIsAsIfMadeOnce) {
  Rng rng(11);
  Model model;
  for (int i = 0; i < 2000; ++i) {
    Transaction t = RandomTransaction(&rng, model);
    t.incarnation = 0;
    const bool repeatable = t.writes.empty();  // nothing in it tells a second time from the first
    const ApplyResult expected = model.Apply(t);
    ASSERT_EQ(store_->Apply(t), expected);
    if (repeatable) continue;
    const bool only_deletes_absent = std::all_of(t.writes.begin(), t.writes.end(), [](const Write& w) {
      return !w.value.has_value() && w.expected_version == 0;
    });
    if (only_deletes_absent) continue;
    ASSERT_EQ(store_->Apply(t), ApplyResult::kConflict);
  }
  ExpectEqual(store_.get(), model);
}

TEST_P(StateStoreSuite, OfTwoLeadersOnlyTheLaterWrites) {
  auto other = fixture_->Open();
  std::atomic<uint64_t> incarnations[2] = {store_->TakeLeadership(0).value(), 0};
  incarnations[1] = other->TakeLeadership(0).value();
  std::atomic<int> stale_ok = 0, later_ok = 0;
  const auto lead = [&](StateStore* store, uint64_t incarnation, const char* name,
                        std::atomic<int>* ok) {
    for (int i = 0; i < 200; ++i) {
      Transaction t = Put(Cat(name, "/", i), 0, "v");
      t.incarnation = incarnation;
      t.events.push_back({"led", name});
      if (store->Apply(t) == ApplyResult::kOk) ++*ok;
    }
  };
  std::thread stale([&] { lead(store_.get(), incarnations[0], "stale", &stale_ok); });
  lead(other.get(), incarnations[1], "later", &later_ok);
  stale.join();
  EXPECT_EQ(stale_ok, 0);
  EXPECT_EQ(later_ok, 200);
  EXPECT_THAT(store_->Scan("stale/", "", 10).value(), SizeIs(0));
  EXPECT_THAT(store_->ReadStream("led", 0, 1000).value(), SizeIs(200));
}

// Group commit: what goes out together has each its own outcome.
TEST_P(StateStoreSuite, ConcurrentTransactionsHaveEachItsOwnOutcome) {
  constexpr int kThreads = 8, kEach = 200;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const std::string key = Cat("t", t, "/", i);
        Transaction good = Put(key, 0, key);
        good.events.push_back({Cat("s", t), Cat(i)});
        ASSERT_EQ(store_->Apply(good), ApplyResult::kOk);
        Transaction bad = Put(Cat(key, "/bad"), 0, "half");
        bad.writes.push_back({key, 9, "never"});
        bad.events.push_back({Cat("s", t), "never"});
        ASSERT_EQ(store_->Apply(bad), ApplyResult::kConflict);
        const auto seen = store_->Get(key).value();
        ASSERT_TRUE(seen.has_value() && seen->value == key) << "a write was acknowledged too early";
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(store_->Scan("t", "", 100000).value(), SizeIs(kThreads * kEach));
  for (int t = 0; t < kThreads; ++t) {
    const auto events = store_->ReadStream(Cat("s", t), 0, 100000).value();
    ASSERT_EQ(events.size(), size_t{kEach});
    for (int i = 0; i < kEach; ++i) EXPECT_EQ(events[static_cast<size_t>(i)].value, Cat(i));
  }
  EXPECT_THAT(store_->ReadEvents(0, 100000).value(), SizeIs(kThreads * kEach));
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
