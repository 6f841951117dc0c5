#include "clients/cli/session.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/env.h"

namespace swage {
namespace {

TEST(SessionTest, WithoutAServerTheErrorTellsHowToStartOne) {
  const TempDir dir;
  Session session;
  session.data_dir = dir.path();
  const auto address = session.Address();
  EXPECT_EQ(ReasonOf(address.status()), "NO_SERVER");
  EXPECT_NE(NextStepOf(address.status()).find("swage up"), std::string::npos);
}

TEST(SessionTest, TheAddressOfTheDataFolderIsFound) {
  const TempDir dir;
  ASSERT_TRUE(Env::Posix()->CreateDirs(JoinPath(dir.path(), "run"), 0700).ok());
  ASSERT_TRUE(WriteFileAtomic(Env::Posix(), JoinPath(dir.path(), "run/address"), "unix:/x/swage.sock\n").ok());
  Session session;
  session.data_dir = dir.path();
  EXPECT_EQ(*session.Address(), "unix:/x/swage.sock");
  session.server = "10.0.0.1:7000";
  EXPECT_EQ(*session.Address(), "10.0.0.1:7000");
}

TEST(SessionTest, DataFolderFollowsTheEnvironment) {
  setenv("XDG_DATA_HOME", "/somewhere", 1);
  EXPECT_EQ(DefaultDataDir(), "/somewhere/swage");
  setenv("XDG_DATA_HOME", "relative", 1);  // the specification says: ignore
  setenv("HOME", "/home/x", 1);
  EXPECT_EQ(DefaultDataDir(), "/home/x/.local/share/swage");
  unsetenv("XDG_DATA_HOME");
}

TEST(SessionTest, PathsBecomeAbsolute) {
  EXPECT_EQ(AbsolutePath("/a/b/../c/"), "/a/c");
  EXPECT_EQ(AbsolutePath("x").front(), '/');
}

TEST(SessionTest, SpansAreWrittenIntoTheDataFolder) {
  const TempDir dir;
  Session session;
  session.data_dir = dir.path();
  {
    const auto tracer = session.NewTracer();
    Span span = tracer->Start("swage submit", {});
    EXPECT_TRUE(span.context().valid());
  }
  const auto text = ReadFile(Env::Posix(), JoinPath(dir.path(), "traces/cli.jsonl"), 1 << 20);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_NE(text->find("swage submit"), std::string::npos);
}

}  // namespace
}  // namespace swage
