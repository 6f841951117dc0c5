// The three state stores against the suite, and what only a file can show: kill -9, a newer schema.
// redis_state_test.cc has what only Redis can show.
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>

#include "base/env.h"
#include "base/text.h"
#include "tests/conformance/redis_server.h"
#include "tests/conformance/state_store_suite.h"

namespace swage {
namespace {

class MemoryFixture : public StateStoreFixture {
 public:
  std::shared_ptr<StateStore> Open() override { return store_; }

 private:
  std::shared_ptr<StateStore> store_ = NewMemoryStateStore();
};

class SqliteFixture : public StateStoreFixture {
 public:
  std::shared_ptr<StateStore> Open() override {
    auto store = OpenSqliteStateStore(dir_.path() + "/state.sqlite");
    SWAGE_CHECK(store.ok(), MessageOf(store.status()));
    return std::move(*store);
  }

 private:
  TempDir dir_{"state"};
};

class RedisFixture : public StateStoreFixture {
 public:
  std::shared_ptr<StateStore> Open() override {
    auto store = OpenStateStore(server_.uri());
    SWAGE_CHECK(store.ok(), MessageOf(store.status()));
    return std::move(*store);
  }

 private:
  RedisServer server_;
};

std::unique_ptr<StateStoreFixture> MakeMemory() { return std::make_unique<MemoryFixture>(); }
std::unique_ptr<StateStoreFixture> MakeSqlite() { return std::make_unique<SqliteFixture>(); }
std::unique_ptr<StateStoreFixture> MakeRedis() { return std::make_unique<RedisFixture>(); }

INSTANTIATE_TEST_SUITE_P(Memory, StateStoreSuite, testing::Values(&MakeMemory));
INSTANTIATE_TEST_SUITE_P(Sqlite, StateStoreSuite, testing::Values(&MakeSqlite));
INSTANTIATE_TEST_SUITE_P(Redis, StateStoreSuite, testing::Values(&MakeRedis));

constexpr uint64_t kJobsKept = 3, kEventsKept = 5;

// In the child: makes, changes, deletes, appends and trims for ever, and tells the pipe of each acknowledged write.
[[noreturn]] void WriteUntilKilled(const std::string& path, int pipe) {
  auto store = OpenSqliteStateStore(path);
  if (!store.ok()) _exit(2);
  for (uint64_t i = 0;; ++i) {
    auto last = (*store)->Get("last").value();
    const uint64_t version = last.has_value() ? last->version : 0;
    Transaction t;
    t.writes.push_back({"last", version, Cat(version + 1)});
    t.writes.push_back({Cat("job/", version + 1), 0, std::string(500, 'j')});
    if (version + 1 > kJobsKept)
      t.writes.push_back({Cat("job/", version + 1 - kJobsKept), 1, std::nullopt});
    t.events.push_back({"s", Cat(version + 1)});
    if (version + 1 > kEventsKept) t.trims.push_back({"s", version + 1 - kEventsKept});
    if ((*store)->Apply(t) != ApplyResult::kOk) _exit(3);
    const uint64_t acked = version + 1;
    if (write(pipe, &acked, sizeof acked) != sizeof acked) _exit(4);
  }
}

TEST(SqliteStateStore, WhatWasAcknowledgedIsThereAfterKill) {
  TempDir dir("state");
  const std::string path = dir.path() + "/state.sqlite";
  uint64_t acked = 0;
  for (int round = 0; round < 5; ++round) {
    int fds[2];
    ASSERT_EQ(pipe(fds), 0);
    const pid_t child = fork();  // before any thread of this test exists
    if (child == 0) WriteUntilKilled(path, fds[1]);
    close(fds[1]);
    const uint64_t enough = acked + 20 + 7 * static_cast<uint64_t>(round);
    uint64_t value = 0;
    while (acked < enough && read(fds[0], &value, sizeof value) == sizeof value) acked = value;
    ASSERT_EQ(kill(child, SIGKILL), 0);
    while (read(fds[0], &value, sizeof value) == sizeof value) acked = value;
    close(fds[0]);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << status;

    auto store = OpenSqliteStateStore(path);
    ASSERT_TRUE(store.ok()) << MessageOf(store.status());
    const uint64_t last = (*store)->Get("last").value()->version;
    EXPECT_GE(last, acked);
    EXPECT_LE(last, acked + 1);  // one may have happened without being told
    EXPECT_EQ((*store)->Scan("job/", "", 1000000)->size(), std::min(last, kJobsKept));
    auto events = (*store)->ReadStream("s", 0, 1000000).value();
    ASSERT_EQ(events.size(), std::min(last, kEventsKept));
    for (uint64_t i = 0; i < events.size(); ++i)
      ASSERT_EQ(events[i].stream_sequence, last - events.size() + i + 1);
    acked = last;
  }
}

TEST(SqliteStateStore, ANewerSchemaIsRefused) {
  TempDir dir("state");
  const std::string path = dir.path() + "/state.sqlite";
  ASSERT_TRUE(OpenSqliteStateStore(path).ok());
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(db, "PRAGMA user_version = 99", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(db);
  EXPECT_EQ(ReasonOf(OpenSqliteStateStore(path).status()), "SCHEMA_NEWER");
}

TEST(SqliteStateStore, AFileOfTheFirstSchemaIsBroughtUpToDate) {
  TempDir dir("state");
  const std::string path = dir.path() + "/state.sqlite";
  ASSERT_EQ(OpenSqliteStateStore(path).value()->TakeLeadership(0).value(), 1u);
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(db, "DROP TABLE stream_ends; PRAGMA user_version = 1", nullptr, nullptr,
                         nullptr),
            SQLITE_OK);
  sqlite3_close(db);
  auto store = OpenSqliteStateStore(path);
  ASSERT_TRUE(store.ok()) << MessageOf(store.status());
  EXPECT_EQ((*store)->CurrentIncarnation().value(), 1u);
  EXPECT_TRUE((*store)->ScanStreamEnds("", 10)->empty());
}

TEST(SqliteStateStore, WhatIsNoDatabaseIsRefused) {
  TempDir dir("state");
  const std::string path = dir.path() + "/state.sqlite";
  ASSERT_TRUE(WriteFileAtomic(Env::Posix(), path, std::string(8192, 'x')).ok());
  EXPECT_EQ(ReasonOf(OpenSqliteStateStore(path).status()), "STATE_CORRUPT");
  EXPECT_EQ(ReasonOf(OpenSqliteStateStore(dir.path() + "/none/state.sqlite").status()),
            "STATE_CANNOT_OPEN");
}

}  // namespace
}  // namespace swage
