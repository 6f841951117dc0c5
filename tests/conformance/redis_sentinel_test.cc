// A master, replicas and sentinels; the master dies.
#include <atomic>
#include <chrono>
#include <thread>

#include "base/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/state/redis_connection.h"
#include "scheduler/state/state_store.h"
#include "tests/conformance/redis_server.h"
#include "tests/tools/free_port.h"

namespace swage {
namespace {

using std::chrono::steady_clock;

constexpr int kPatienceMs = 60000;

int64_t MillisSince(steady_clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - start).count();
}

StatusOr<RedisReply> TryAsk(int port, std::initializer_list<std::string_view> command) {
  SWAGE_ASSIGN_OR_RETURN(auto connection, RedisConnection::Connect({"127.0.0.1", port, ""}, 5000));
  return connection->Call(RedisCommand(command), 10000);
}

RedisReply Ask(int port, std::initializer_list<std::string_view> command) {
  auto reply = TryAsk(port, command);
  SWAGE_CHECK(reply.ok(), MessageOf(reply.status()));
  return std::move(*reply);
}

void Until(const char* what, const std::function<bool()>& there) {
  const auto start = steady_clock::now();
  while (!there()) {
    SWAGE_CHECK(MillisSince(start) < kPatienceMs, "in vain: ", what);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // nothing there could wake us
  }
}

Transaction Put(const std::string& key, const std::string& value) {
  Transaction t;
  t.writes.push_back({key, 0, value});
  t.events.push_back({"s", key});
  return t;
}

class SentinelTest : public testing::Test {
 protected:
  void SetUp() override {
    master_ = NewServer({});
    for (auto& replica : replicas_) {
      replica = NewServer({"--replicaof", Cat("127.0.0.1 ", master_->port())});
      Until("the replica's first sync", [&] {
        const RedisReply role = Ask(replica->port(), {"ROLE"});
        return role.value()[3].text() == "connected";
      });
    }
    for (auto& sentinel : sentinels_) {
      RedisServer::Options options;
      options.port = FreePort();
      options.sentinel = true;
      options.settings = {Cat("sentinel monitor swage 127.0.0.1 ", master_->port(), " 2"),
                          "sentinel down-after-milliseconds swage 500",
                          "sentinel failover-timeout swage 1000"};
      sentinel = std::make_unique<RedisServer>(options);
      uri_ += Cat(uri_.empty() ? "redis+sentinel://" : ",", "127.0.0.1:", options.port);
    }
    uri_ += "/swage";
    for (auto& sentinel : sentinels_) {
      Until("sentinels that know each other and the replicas", [&] {
        return Ask(sentinel->port(), {"SENTINEL", "SENTINELS", "swage"}).value().size() == 2 &&
               Ask(sentinel->port(), {"SENTINEL", "REPLICAS", "swage"}).value().size() == 2;
      });
    }
  }

  static std::unique_ptr<RedisServer> NewServer(std::vector<std::string> settings) {
    settings.insert(settings.end(), {"--repl-diskless-sync-delay", "0"});
    return std::make_unique<RedisServer>(RedisServer::Options{settings, FreePort()});
  }

  std::unique_ptr<StateStore> Open(const std::string& parameters = "") {
    auto store = OpenStateStore(uri_ + parameters);
    SWAGE_CHECK(store.ok(), MessageOf(store.status()));
    return std::move(*store);
  }

  // Writes until one write is known to have happened; the longest that a single call took.
  int64_t WriteUntilOk(StateStore* store, const std::string& prefix) {
    int64_t longest = 0;
    int i = 0;
    Until("writes after the failover", [&] {
      const auto start = steady_clock::now();
      const bool ok = store->Apply(Put(Cat(prefix, ++i), "v")) == ApplyResult::kOk;
      longest = std::max(longest, MillisSince(start));
      return ok;
    });
    return longest;
  }

  std::unique_ptr<RedisServer> master_, replicas_[2], sentinels_[3];
  std::string uri_;
};

TEST_F(SentinelTest, WritesGoOnAfterAFailoverAndReplicatedOnesAreThere) {
  auto store = Open("?durability=replica&timeout_ms=1000");
  auto waiting = Open("?timeout_ms=1000");
  std::atomic<bool> stop = false;
  std::atomic<int> acked = 0;
  std::atomic<int64_t> longest_ms = 0;
  std::vector<std::string> keys;
  std::thread writer([&] {
    for (int i = 0; !stop; ++i) {
      const std::string key = Cat("k", i);
      const auto start = steady_clock::now();
      const ApplyResult result = store->Apply(Put(key, "v"));
      longest_ms = std::max<int64_t>(longest_ms, MillisSince(start));
      ASSERT_NE(result, ApplyResult::kConflict);
      if (result != ApplyResult::kOk) continue;
      keys.push_back(key);
      ++acked;
    }
  });
  Until("the first writes", [&] { return acked > 100; });
  master_->Kill();
  const auto killed = steady_clock::now();
  const int before = acked;
  Until("writes after the failover", [&] { return acked > before + 100; });
  RecordProperty("writes_again_after_ms", std::to_string(MillisSince(killed)));
  stop = true;
  writer.join();
  EXPECT_LT(longest_ms, 5000) << "a call hung";
  const auto found = store->MultiGet(keys).value();
  for (size_t i = 0; i < keys.size(); ++i) ASSERT_TRUE(found[i].has_value()) << keys[i];
  const uint64_t newest = store->WaitForEvents(0, 0).value();
  Until("the other handle's way to the new master", [&] {
    const auto seen = waiting->WaitForEvents(newest - 1, 100);
    return seen.ok() && *seen >= newest;
  });
}

TEST_F(SentinelTest, ALostSuffixIsSeenByReadingAgainAndItsNumbersAreNotReused) {
  auto store = Open("?timeout_ms=1000");
  ASSERT_EQ(store->Apply(Put("kept", "v")), ApplyResult::kOk);
  EXPECT_EQ(Ask(master_->port(), {"WAIT", "2", "10000"}).value().integer(), 2);
  // The replicas hear nothing more; the master does not know it yet and acknowledges.
  for (auto& replica : replicas_) replica->Suspend();
  Ask(master_->port(), {"CLIENT", "KILL", "TYPE", "replica"});
  ASSERT_EQ(store->Apply(Put("lost", "v")), ApplyResult::kOk);
  const uint64_t last = store->WaitForEvents(0, 0).value();
  const uint64_t incarnation = store->TakeLeadership(0).value();
  master_->Kill();
  for (auto& replica : replicas_) replica->Continue();

  EXPECT_LT(WriteUntilOk(store.get(), "after"), 5000) << "a call hung";
  Until("the way to the new master", [&] { return store->Get("kept").ok(); });
  EXPECT_TRUE(store->Get("kept").value().has_value());
  EXPECT_FALSE(store->Get("lost").value().has_value());
  EXPECT_LT(store->CurrentIncarnation().value(), incarnation);
  // Who had read up to the lost event does not miss what came after it.
  EXPECT_GT(store->WaitForEvents(last, 1000).value(), last);
  EXPECT_FALSE(store->ReadEvents(last, 10).value().empty());
  EXPECT_EQ(store->TakeLeadership(incarnation).value(), incarnation + 1);
}

TEST_F(SentinelTest, AMasterThatIsMadeAReplicaIsLeftForTheNewOne) {
  auto store = Open("?timeout_ms=1000");
  ASSERT_EQ(store->Apply(Put("before", "v")), ApplyResult::kOk);
  Ask(sentinels_[0]->port(), {"SENTINEL", "FAILOVER", "swage"});
  Until("the old master's being a replica", [&] {
    const auto role = TryAsk(master_->port(), {"ROLE"});  // the sentinels break its connections at the change
    return role.ok() && role->value()[0].text() == "slave";
  });
  EXPECT_LT(WriteUntilOk(store.get(), "after"), 5000) << "a call hung";
  Until("the way to the new master", [&] { return store->Get("before").ok(); });
  EXPECT_TRUE(store->Get("before").value().has_value());
}

TEST_F(SentinelTest, AnUnknownMasterAndSilentSentinelsAreNamed) {
  const Status unknown =
      OpenStateStore(Cat("redis+sentinel://127.0.0.1:", sentinels_[0]->port(), "/nobody")).status();
  EXPECT_EQ(ReasonOf(unknown), "REDIS_NO_MASTER");
  EXPECT_THAT(NextStepOf(unknown), testing::HasSubstr("SENTINEL MASTERS"));
  for (auto& sentinel : sentinels_) sentinel->Kill();
  EXPECT_EQ(ReasonOf(OpenStateStore(uri_).status()), "REDIS_UNREACHABLE");
}

}  // namespace
}  // namespace swage
