// What only Redis can show: a server killed, stopped, restarted, badly configured, without its
// scripts; answers that never come.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "base/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/state/redis_connection.h"
#include "scheduler/state/state_copy.h"
#include "scheduler/state/state_store.h"
#include "tests/conformance/redis_server.h"
#include "tests/tools/free_port.h"

namespace swage {
namespace {

using std::chrono::steady_clock;
using testing::HasSubstr;
using testing::SizeIs;

Transaction Put(const std::string& key, uint64_t version, const std::string& value) {
  Transaction t;
  t.writes.push_back({key, version, value});
  t.events.push_back({"s", value});
  return t;
}

std::unique_ptr<MovableStateStore> Open(const std::string& uri) {
  auto store = OpenStateStore(uri);
  SWAGE_CHECK(store.ok(), MessageOf(store.status()));
  return std::move(*store);
}

int64_t MillisSince(steady_clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - start).count();
}

// One command to the server, past the store.
std::string Tell(const RedisServer& server, std::initializer_list<std::string_view> command) {
  RedisAddress address;
  address.path = server.socket();
  auto connection = RedisConnection::Connect(address, 5000);
  SWAGE_CHECK(connection.ok(), MessageOf(connection.status()));
  auto reply = (*connection)->Call(RedisCommand(command), 5000);
  SWAGE_CHECK(reply.ok(), MessageOf(reply.status()));
  return std::string(reply->value().text());
}

// Tries until it is known to have happened: after "unknown" it looks first, as every writer does.
void PutSurely(StateStore* store, const std::string& key, const std::string& value) {
  const auto start = steady_clock::now();
  while (true) {
    SWAGE_CHECK(MillisSince(start) < 30000, "the store does not come back");
    if (store->Apply(Put(key, 0, value)) == ApplyResult::kOk) return;
    const auto found = store->Get(key);
    if (found.ok() && found->has_value()) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // nothing there could wake us
  }
}

TEST(RedisStateStore, WhatWasAcknowledgedIsThereAfterKill) {
  RedisServer server({{"--appendfsync", "always"}});
  auto store = Open(server.uri("durability=always"));
  Transaction drop, trim;
  drop.writes.push_back({"k0", 1, std::nullopt});
  trim.trims.push_back({"s", 1});
  uint64_t incarnation = 0;
  // kill -9 after each kind of write.
  const std::function<void()> kinds[] = {
      [&] { ASSERT_EQ(store->Apply(Put("k0", 0, "made")), ApplyResult::kOk); },
      [&] { ASSERT_EQ(store->Apply(Put("k1", 0, "made")), ApplyResult::kOk); },
      [&] { ASSERT_EQ(store->Apply(Put("k1", 1, "changed")), ApplyResult::kOk); },
      [&] { ASSERT_EQ(store->Apply(drop), ApplyResult::kOk); },
      [&] { ASSERT_EQ(store->Apply(trim), ApplyResult::kOk); },
      [&] { incarnation = store->TakeLeadership(41).value(); }};
  for (const auto& write : kinds) {
    write();
    server.Kill();
    server.Start();
  }
  EXPECT_EQ(incarnation, 42u);
  for (StateStore* reader : {static_cast<StateStore*>(store.get()),
                             static_cast<StateStore*>(Open(server.uri()).release())}) {
    EXPECT_FALSE(reader->Get("k0").value().has_value());
    EXPECT_EQ(reader->Get("k1").value()->value, "changed");
    EXPECT_EQ(reader->Get("k1").value()->version, 2u);
    EXPECT_EQ(reader->CurrentIncarnation().value(), 42u);
    const auto events = reader->ReadStream("s", 0, 10).value();
    ASSERT_EQ(events.size(), 2u);
    EXPECT_EQ(events[0].stream_sequence, 2u);
    EXPECT_THAT(reader->ReadEvents(0, 10).value(), SizeIs(2));
    if (reader != store.get()) delete reader;
  }
}

// What redis-server has answered it has given to the kernel, which outlives it.
TEST(RedisStateStore, WithEverySecondAKillOfTheProcessLosesNothing) {
  RedisServer server;
  auto store = Open(server.uri());
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 200; ++i) PutSurely(store.get(), Cat("k", round, "/", i), "v");
    server.Kill();
    server.Start();
    EXPECT_THAT(store->Scan("k", "", 10000).value(), SizeIs(200 * (round + 1)));
  }
}

TEST(RedisStateStore, KilledWhileManyWriteNothingAcknowledgedIsMissing) {
  RedisServer server({{"--appendfsync", "always"}});
  auto store = Open(server.uri("durability=always"));
  std::atomic<bool> stop = false;
  std::vector<std::vector<std::string>> acked(8);
  std::vector<std::thread> threads;
  std::atomic<int> done = 0;
  for (size_t t = 0; t < acked.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; !stop; ++i) {
        const std::string key = Cat("t", t, "/", i);
        if (store->Apply(Put(key, 0, key)) != ApplyResult::kOk) continue;
        acked[t].push_back(key);
        ++done;
      }
    });
  }
  for (int round = 1; round <= 3; ++round) {
    while (done < 300 * round) std::this_thread::yield();
    server.Kill();
    server.Start();
  }
  const int enough = done + 300;
  while (done < enough) std::this_thread::yield();  // all write again
  stop = true;
  for (std::thread& thread : threads) thread.join();
  server.Kill();
  server.Start();
  for (const auto& keys : acked) {
    const auto found = store->MultiGet(keys).value();
    for (size_t i = 0; i < keys.size(); ++i) ASSERT_TRUE(found[i].has_value()) << keys[i];
  }
  // Each record has its event, and each event its record: no half transaction.
  const auto events = store->ReadEvents(0, 1000000).value();
  EXPECT_EQ(events.size(), store->Scan("", "", 1000000)->size());
  for (size_t i = 0; i < events.size(); ++i) ASSERT_EQ(events[i].stream_sequence, i + 1);
}

TEST(RedisStateStore, EffectThenTimeOutIsUnknownAndTheWriteIsFoundByReading) {
  RedisServer server;
  auto store = Open(server.uri("timeout_ms=200"));
  ASSERT_EQ(store->Apply(Put("a", 0, "one")), ApplyResult::kOk);
  server.Suspend();  // what is sent waits in the socket
  const auto start = steady_clock::now();
  EXPECT_EQ(store->Apply(Put("a", 1, "two")), ApplyResult::kUnknown);
  EXPECT_LT(MillisSince(start), 5000);
  const auto read = store->Get("a");
  EXPECT_FALSE(read.ok());  // no hang
  EXPECT_THAT(NextStepOf(read.status()), testing::Not(testing::IsEmpty()));
  server.Continue();
  PutSurely(store.get(), "b", "after");
  EXPECT_EQ(store->Get("a").value()->value, "two");  // it had happened
  EXPECT_EQ(store->Apply(Put("a", 1, "two")), ApplyResult::kConflict);
}

// Stands between the store and Redis; when told, it swallows the answers and hangs up.
class Proxy {
 public:
  Proxy(std::string path, std::string server) : path_(std::move(path)), server_(std::move(server)) {
    listener_ = socket(AF_UNIX, SOCK_STREAM, 0);
    const sockaddr_un address = Address(path_);
    SWAGE_CHECK(bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
                    listen(listener_, 64) == 0,
                path_);
    acceptor_ = std::thread([this] { Accept(); });
  }
  ~Proxy() {
    shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    close(listener_);
    for (std::thread& pump : pumps_) pump.join();
  }
  std::atomic<bool> swallow_answers = false;

 private:
  static sockaddr_un Address(const std::string& path) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    return address;
  }
  void Accept() {
    while (true) {
      const int client = accept(listener_, nullptr, nullptr);
      if (client < 0) return;
      const int upstream = socket(AF_UNIX, SOCK_STREAM, 0);
      const sockaddr_un address = Address(server_);
      if (connect(upstream, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        close(client);
        close(upstream);
        continue;
      }
      pumps_.emplace_back([this, client, upstream] { Pump(client, upstream); });
    }
  }
  void Pump(int client, int upstream) {
    std::thread there([&] { Copy(client, upstream, false); });
    Copy(upstream, client, true);
    there.join();
    close(client);
    close(upstream);
  }
  void Copy(int from, int to, bool answers) {
    char buffer[65536];
    while (true) {
      const ssize_t n = recv(from, buffer, sizeof buffer, 0);
      if (n <= 0 || (answers && swallow_answers)) break;
      if (send(to, buffer, static_cast<size_t>(n), MSG_NOSIGNAL) != n) break;
    }
    shutdown(from, SHUT_RDWR);
    shutdown(to, SHUT_RDWR);
  }

  const std::string path_, server_;
  int listener_;
  std::thread acceptor_;
  std::vector<std::thread> pumps_;
};

TEST(RedisStateStore, AConnectionLostAfterTheEffectIsUnknown) {
  RedisServer server;
  TempDir dir("proxy");
  Proxy proxy(dir.path() + "/proxy.sock", server.socket());
  {
    auto store = Open(Cat("redis+unix://", dir.path(), "/proxy.sock"));
    ASSERT_EQ(store->Apply(Put("a", 0, "one")), ApplyResult::kOk);
    proxy.swallow_answers = true;
    EXPECT_EQ(store->Apply(Put("a", 1, "two")), ApplyResult::kUnknown);
    proxy.swallow_answers = false;
    PutSurely(store.get(), "b", "after");
    EXPECT_EQ(store->Get("a").value()->value, "two");
    EXPECT_EQ(store->ReadStream("s", 0, 10)->size(), 3u);
  }
}

TEST(RedisStateStore, AConnectionLostWhileIdleIsMadeAgainBeforeSending) {
  RedisServer server;
  auto store = Open(server.uri());
  ASSERT_EQ(store->Apply(Put("a", 0, "one")), ApplyResult::kOk);
  for (int i = 0; i < 3; ++i) {
    Tell(server, {"CLIENT", "KILL", "TYPE", "normal"});
    EXPECT_EQ(store->Apply(Put(Cat("b", i), 0, "two")), ApplyResult::kOk);
    EXPECT_TRUE(store->Get("a").ok());
  }
}

TEST(RedisStateStore, AForgottenScriptIsSentAgain) {
  RedisServer server;
  auto store = Open(server.uri());
  for (int i = 0; i < 3; ++i) {
    Tell(server, {"SCRIPT", "FLUSH"});
    EXPECT_EQ(store->Apply(Put(Cat("k", i), 0, "v")), ApplyResult::kOk);
    EXPECT_EQ(store->Apply(Put(Cat("k", i), 0, "v")), ApplyResult::kConflict);
    Tell(server, {"SCRIPT", "FLUSH"});
    EXPECT_THAT(store->Scan("k", "", 10).value(), SizeIs(i + 1));
    Tell(server, {"SCRIPT", "FLUSH"});
    EXPECT_THAT(store->ReadStream("s", 0, 10).value(), SizeIs(i + 1));
  }
}

TEST(RedisStateStore, AnEventWakesWithinMilliseconds) {
  RedisServer server;
  auto store = Open(server.uri());
  auto other = Open(server.uri());
  std::vector<int64_t> micros;
  for (int i = 0; i < 50; ++i) {
    const uint64_t before = store->WaitForEvents(INT64_MAX, 0).value();
    std::atomic<bool> waiting = false;
    steady_clock::time_point woken;
    std::thread waiter([&] {
      waiting = true;
      EXPECT_GT(store->WaitForEvents(before, 10000).value(), before);
      woken = steady_clock::now();
    });
    while (!waiting) std::this_thread::yield();
    const auto written = steady_clock::now();
    ASSERT_EQ(other->Apply(Put(Cat("k", i), 0, "v")), ApplyResult::kOk);
    waiter.join();
    micros.push_back(
        std::chrono::duration_cast<std::chrono::microseconds>(woken - written).count());
  }
  std::sort(micros.begin(), micros.end());
  RecordProperty("median_us", std::to_string(micros[25]));
  EXPECT_LT(micros[25], 5000);
}

TEST(RedisStateStore, WaitersWithDifferentTimesAllEnd) {
  RedisServer server;
  auto store = Open(server.uri());
  ASSERT_EQ(store->Apply(Put("a", 0, "one")), ApplyResult::kOk);
  const uint64_t last = store->WaitForEvents(0, 0).value();
  std::thread long_waiter([&] { EXPECT_GT(store->WaitForEvents(last, 20000).value(), last); });
  std::thread short_waiter([&] { EXPECT_EQ(store->WaitForEvents(last, 30).value(), last); });
  short_waiter.join();  // though another thread holds the connection for longer
  ASSERT_EQ(store->Apply(Put("b", 0, "two")), ApplyResult::kOk);
  long_waiter.join();
}

TEST(RedisStateStore, AServerThatCouldLoseStateInSilenceIsRefused) {
  {
    RedisServer server({{"--maxmemory-policy", "allkeys-lru"}});
    const Status status = OpenStateStore(server.uri()).status();
    EXPECT_EQ(ReasonOf(status), "REDIS_EVICTION");
    EXPECT_THAT(NextStepOf(status), HasSubstr("CONFIG SET maxmemory-policy noeviction"));
    Tell(server, {"CONFIG", "SET", "maxmemory-policy", "noeviction"});  // as it says
    EXPECT_TRUE(OpenStateStore(server.uri()).ok());
    const Status always = OpenStateStore(server.uri("durability=always")).status();
    EXPECT_EQ(ReasonOf(always), "REDIS_APPENDFSYNC");
    EXPECT_THAT(NextStepOf(always), HasSubstr("CONFIG SET appendfsync always"));
    Tell(server, {"CONFIG", "SET", "appendfsync", "always"});
    EXPECT_TRUE(OpenStateStore(server.uri("durability=always")).ok());
    Tell(server, {"CONFIG", "SET", "appendfsync", "no"});
    EXPECT_EQ(ReasonOf(OpenStateStore(server.uri()).status()), "REDIS_APPENDFSYNC");
  }
  RedisServer server({{"--appendonly", "no"}});
  const Status status = OpenStateStore(server.uri()).status();
  EXPECT_EQ(ReasonOf(status), "REDIS_APPENDONLY");
  EXPECT_THAT(NextStepOf(status), HasSubstr("`appendonly yes`"));
}

TEST(RedisStateStore, ANewerSchemaAndAHalfCopyAreRefused) {
  RedisServer server;
  Open(server.uri());
  Tell(server, {"SET", "{swage}:schema", "99"});
  EXPECT_EQ(ReasonOf(OpenStateStore(server.uri()).status()), "SCHEMA_NEWER");
  Tell(server, {"SET", "{swage}:schema", "copying"});
  EXPECT_EQ(ReasonOf(OpenStateStore(server.uri()).status()), "STATE_COPY_UNFINISHED");
  EXPECT_TRUE(OpenStateStore(server.uri("namespace=other")).ok());
}

TEST(RedisStateStore, AServerThatHasForgottenEverythingIsNotTakenForAnEmptyState) {
  RedisServer server;
  auto store = Open(server.uri());
  ASSERT_EQ(store->Apply(Put("a", 0, "one")), ApplyResult::kOk);
  Tell(server, {"FLUSHALL"});
  Tell(server, {"CLIENT", "KILL", "TYPE", "normal"});
  EXPECT_EQ(store->Apply(Put("b", 0, "two")), ApplyResult::kUnknown);
  EXPECT_EQ(ReasonOf(store->Get("a").status()), "STATE_VANISHED");
}

TEST(RedisStateStore, ThePasswordIsNeededAndNotShown) {
  RedisServer server({{"--requirepass", "s3cret"}});
  const Status without = OpenStateStore(server.uri()).status();
  EXPECT_EQ(ReasonOf(without), "REDIS_AUTH");
  const Status wrong = OpenStateStore(Cat("redis+unix://:wrong@", server.socket())).status();
  EXPECT_EQ(ReasonOf(wrong), "REDIS_AUTH");
  EXPECT_THAT(MessageOf(wrong) + NextStepOf(wrong), testing::Not(HasSubstr("wrong@")));
  EXPECT_TRUE(OpenStateStore(Cat("redis+unix://:s3cret@", server.socket(), "?db=3")).ok());
  TempDir dir("password");
  const std::string file = dir.path() + "/password";
  ASSERT_TRUE(WriteFileAtomic(Env::Posix(), file, "s3cret\n").ok());
  EXPECT_TRUE(OpenStateStore(server.uri("password_file=" + file)).ok());
}

TEST(RedisStateStore, DatabasesAndNamespacesAreApart) {
  RedisServer server({{}, FreePort()});
  const std::string tcp = Cat("redis://127.0.0.1:", server.port());
  auto plain = Open(tcp);
  auto other_db = Open(tcp + "/2");
  auto other_name = Open(tcp + "?namespace=blue");
  ASSERT_EQ(plain->Apply(Put("a", 0, "plain")), ApplyResult::kOk);
  EXPECT_FALSE(other_db->Get("a").value().has_value());
  EXPECT_FALSE(other_name->Get("a").value().has_value());
  EXPECT_EQ(Open(server.uri())->Get("a").value()->value, "plain");  // the unix socket: the same
}

TEST(RedisStateStore, AStateMovedFromSqliteToRedisAndBackIsTheSame) {
  RedisServer server;
  TempDir dir("copy");
  auto sqlite = Open(dir.path() + "/from.sqlite");
  for (int i = 0; i < 3000; ++i) {
    Transaction t = Put(Cat("t/job/", i), 0, std::string("a\0b\n", 4) + Cat(i));
    t.events.push_back({Cat("t/job/", i), "own"});
    if (i % 7 == 0) t.trims.push_back({"s", static_cast<uint64_t>(i)});
    if (i % 10 == 9) t.trims.push_back({Cat("t/job/", i - 1), kWholeStream});
    ASSERT_EQ(sqlite->Apply(t), ApplyResult::kOk);
    if (i % 3 != 0) continue;
    ASSERT_EQ(sqlite->Apply(Put(Cat("t/job/", i), 1, "second")), ApplyResult::kOk);
  }
  Transaction last_gone;
  last_gone.trims.push_back({"s", kWholeStream});
  ASSERT_EQ(sqlite->Apply(last_gone), ApplyResult::kOk);
  const StateCopyOptions at_once{.watch_leader_ms = 0, .wait = nullptr};

  auto redis = Open(server.uri());
  const auto there = CopyState(sqlite.get(), redis.get(), at_once);
  ASSERT_TRUE(there.ok()) << MessageOf(there.status());
  EXPECT_EQ(there->records, 3000u);
  EXPECT_EQ(there->stream_ends, 301u);
  EXPECT_EQ(there->digest, DigestState(sqlite.get())->digest);
  EXPECT_EQ(there->digest, DigestState(Open(server.uri()).get())->digest);
  EXPECT_EQ(ReasonOf(CopyState(sqlite.get(), redis.get(), at_once).status()), "STATE_NOT_EMPTY");

  auto back = Open(dir.path() + "/back.sqlite");
  const auto again = CopyState(redis.get(), back.get(), at_once);
  ASSERT_TRUE(again.ok()) << MessageOf(again.status());
  EXPECT_EQ(again->incarnation, there->incarnation + 1);  // each copy deposes who led
  EXPECT_EQ(back->Scan("", "", 10000)->size(), 3000u);
  EXPECT_EQ(back->Get("t/job/3").value()->version, 2u);
  // Both go on with the same numbers.
  for (StateStore* store : {static_cast<StateStore*>(sqlite.get()),
                            static_cast<StateStore*>(redis.get()),
                            static_cast<StateStore*>(back.get())}) {
    ASSERT_EQ(store->Apply(Put("after", 0, "v")), ApplyResult::kOk);
    const auto event = store->ReadStream("s", 0, 10).value();
    ASSERT_EQ(event.size(), 1u);
    EXPECT_EQ(event[0].stream_sequence, 4001u);
    EXPECT_EQ(event[0].sequence, again->last_sequence + 1);
  }
}

TEST(RedisStateStore, ACopyThatWasBrokenOffCannotBeOpened) {
  RedisServer server;
  auto target = Open(server.uri());
  ASSERT_TRUE(target->BeginImport().ok());
  EXPECT_EQ(ReasonOf(OpenStateStore(server.uri()).status()), "STATE_COPY_UNFINISHED");
}

TEST(RedisStateStore, WithoutAReplicaAReplicatedWriteIsUnknown) {
  RedisServer server;
  auto store = Open(server.uri("durability=replica"));
  EXPECT_EQ(store->Apply(Put("a", 0, "one")), ApplyResult::kUnknown);
  EXPECT_EQ(store->Get("a").value()->value, "one");  // on the master it is
  EXPECT_EQ(ReasonOf(store->TakeLeadership(0).status()), "REDIS_NO_REPLICA");
}

TEST(RedisStateStore, FullMemoryRefusesWithoutHalfATransaction) {
  RedisServer server({{"--maxmemory", "8mb"}});
  auto store = Open(server.uri());
  int written = 0;
  while (store->Apply(Put(Cat("k", written), 0, std::string(100000, 'x'))) == ApplyResult::kOk) {
    ASSERT_LT(++written, 1000);
  }
  Tell(server, {"CONFIG", "SET", "maxmemory", "0"});
  EXPECT_THAT(store->Scan("k", "", 1000).value(), SizeIs(written));
  EXPECT_THAT(store->ReadEvents(0, 1000).value(), SizeIs(written));
  EXPECT_EQ(store->Apply(Put(Cat("k", written), 0, "more")), ApplyResult::kOk);
}

TEST(RedisStateStore, WhileRedisIsAwayCallsFailFastAndSayWhatToDo) {
  RedisServer server;
  auto store = Open(server.uri());
  server.Kill();
  EXPECT_EQ(store->Apply(Put("a", 0, "one")), ApplyResult::kUnknown);
  const auto start = steady_clock::now();
  for (int i = 0; i < 1000; ++i) {
    const auto read = store->Get("a");
    ASSERT_EQ(ReasonOf(read.status()), "REDIS_UNREACHABLE");
    ASSERT_THAT(NextStepOf(read.status()), HasSubstr("redis-server"));
    ASSERT_FALSE(store->WaitForEvents(0, 10000).ok());
  }
  EXPECT_LT(MillisSince(start), 5000);
  server.Start();
  PutSurely(store.get(), "b", "after");
}

}  // namespace
}  // namespace swage
