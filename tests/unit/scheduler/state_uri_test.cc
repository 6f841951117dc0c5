#include "scheduler/state/state_uri.h"

#include "base/env.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swage {
namespace {

using testing::HasSubstr;

TEST(StateUri, FilesAndMemory) {
  EXPECT_EQ(ParseStateUri("memory:")->kind, StateUri::Kind::kMemory);
  for (const char* uri : {"sqlite:/var/state.sqlite", "/var/state.sqlite"}) {
    const auto parsed = ParseStateUri(uri);
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(parsed->kind, StateUri::Kind::kSqlite);
    EXPECT_EQ(parsed->path, "/var/state.sqlite");
    EXPECT_EQ(StateFolder(uri), "/var");
  }
  EXPECT_EQ(ParseStateUri("state.sqlite")->path, "state.sqlite");
  EXPECT_EQ(ParseStateUri("./odd:name")->path, "./odd:name");
  EXPECT_EQ(StateFolder("redis://host"), "");
}

TEST(StateUri, RedisOverTcp) {
  const auto parsed = ParseStateUri(
      "redis://:p%40ss@10.0.0.7:7000/3?durability=always&namespace=blue&timeout_ms=700");
  ASSERT_TRUE(parsed.ok());
  const RedisTarget& redis = parsed->redis;
  EXPECT_EQ(redis.addresses[0].host, "10.0.0.7");
  EXPECT_EQ(redis.addresses[0].port, 7000);
  EXPECT_EQ(redis.password, "p@ss");
  EXPECT_EQ(redis.db, 3);
  EXPECT_EQ(redis.durability, Durability::kAlways);
  EXPECT_EQ(redis.name_space, "blue");
  EXPECT_EQ(redis.timeout_ms, 700);
  EXPECT_THAT(parsed->shown, testing::Not(HasSubstr("p%40ss")));
  const auto plain = ParseStateUri("redis://host");
  EXPECT_EQ(plain->redis.addresses[0].port, 6379);
  EXPECT_EQ(plain->redis.name_space, "swage");
  EXPECT_EQ(plain->redis.durability, Durability::kEverySecond);
  EXPECT_EQ(ParseStateUri("redis://[::1]:7000")->redis.addresses[0].host, "::1");
}

TEST(StateUri, UnixSocketAndSentinel) {
  const auto unix_socket = ParseStateUri("redis+unix:///run/redis.sock?db=2");
  EXPECT_EQ(unix_socket->redis.addresses[0].path, "/run/redis.sock");
  EXPECT_EQ(unix_socket->redis.db, 2);
  const auto sentinel = ParseStateUri("redis+sentinel://:pw@a:1,b,[::1]:3/swage/4?durability=replica");
  ASSERT_TRUE(sentinel.ok());
  ASSERT_EQ(sentinel->redis.addresses.size(), 3u);
  EXPECT_EQ(sentinel->redis.addresses[1].port, 26379);
  EXPECT_EQ(sentinel->redis.master, "swage");
  EXPECT_EQ(sentinel->redis.db, 4);
  EXPECT_EQ(sentinel->redis.durability, Durability::kReplica);
}

TEST(StateUri, WhatIsUnknownIsRefusedWithWhatIsAllowed) {
  for (const char* uri : {"", "postgres://host", "redis:host", "redis://", "redis://host:0",
                          "redis://host:99999", "redis://host:x", "redis://host/x", "redis://a,b",
                          "redis://user:pw@host", "redis+unix://run/redis.sock",
                          "redis+sentinel://a:1", "sqlite:", "redis://:%4@host", "redis://[::1"}) {
    const Status status = ParseStateUri(uri).status();
    EXPECT_EQ(ReasonOf(status), "STATE_URI") << uri;
    EXPECT_THAT(NextStepOf(status), HasSubstr("redis+sentinel://")) << uri;
  }
  for (const char* uri : {"redis://host?durabilty=always", "redis://host?durability=sometimes",
                          "redis://host?namespace=", "redis://host?namespace={x}",
                          "redis://host?timeout_ms=1", "redis://host?db=1", "redis+unix:///s?db=x"}) {
    const Status status = ParseStateUri(uri).status();
    EXPECT_EQ(ReasonOf(status), "STATE_URI") << uri;
    EXPECT_THAT(NextStepOf(status), HasSubstr("durability=everysec|always|replica")) << uri;
  }
  EXPECT_EQ(ReasonOf(ParseStateUri(std::string(5000, 'a')).status()), "STATE_URI");
}

TEST(StateUri, ThePasswordMayStandInAFile) {
  TempDir dir("uri");
  const std::string path = dir.path() + "/password";
  ASSERT_TRUE(WriteFileAtomic(Env::Posix(), path, "from file\nmore\n").ok());
  EXPECT_EQ(ParseStateUri("redis://host?password_file=" + path)->redis.password, "from file");
  EXPECT_FALSE(ParseStateUri("redis://host?password_file=/none").ok());
}

}  // namespace
}  // namespace swage
