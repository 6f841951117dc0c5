#include "workers/daemon/input_cache.h"

#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/digest.h"
#include "workers/daemon/scratch.h"

namespace swage {
namespace {

class InputCacheTest : public ::testing::Test {
 protected:
  std::string Id(const std::string& name) { return Sha256Of(name).Hex(); }
  StatusOr<InputCache::Pin> Get(InputCache* cache, const std::string& name, size_t bytes = 1000) {
    return cache->Acquire(
        Id(name),
        [&](const std::string& folder) {
          ++fetched_;
          EXPECT_TRUE(env_->CreateDirs(folder).ok());
          return WriteFileAtomic(env_, JoinPath(folder, "f"), std::string(bytes, 'x'));
        },
        [] { return true; });
  }

  Env* env_ = Env::Posix();
  TempDir dir_;
  int fetched_ = 0;
};

TEST_F(InputCacheTest, FetchesOnceAlsoAfterARestart) {
  {
    InputCache cache(env_, dir_.path(), 1 << 20);
    ASSERT_TRUE(Get(&cache, "a").ok());
    ASSERT_TRUE(Get(&cache, "a").ok());
    EXPECT_EQ(cache.bytes(), 1000u);
  }
  InputCache again(env_, dir_.path(), 1 << 20);
  ASSERT_TRUE(Get(&again, "a").ok());
  EXPECT_EQ(fetched_, 1);
}

TEST_F(InputCacheTest, AFailedFetchIsTriedAnew) {
  InputCache cache(env_, dir_.path(), 1 << 20);
  const auto failed = cache.Acquire(Id("a"), [](const std::string&) { return DataLoss("X", "x"); }, [] { return true; });
  EXPECT_EQ(failed.status().code(), StatusCode::kDataLoss);
  EXPECT_TRUE(Get(&cache, "a").ok());
}

TEST_F(InputCacheTest, TheLeastRecentlyUsedGoesFirstAndWhatIsPinnedStays) {
  InputCache cache(env_, dir_.path(), 2500);
  const auto pinned = Get(&cache, "a");
  ASSERT_TRUE(Get(&cache, "b").ok());
  ASSERT_TRUE(Get(&cache, "c").ok());  // a is in use, so b goes
  EXPECT_TRUE(env_->Exists(**pinned));
  EXPECT_FALSE(env_->Exists(JoinPath(dir_.path(), Id("b"))));
  EXPECT_TRUE(env_->Exists(JoinPath(dir_.path(), Id("c"))));
  EXPECT_LE(cache.bytes(), 2500u);
}

TEST_F(InputCacheTest, TellsTheModelsThatItHasTheLastUsedFirst) {
  const auto put = [&](InputCache* cache, const std::string& name, const std::string& file) {
    const auto pin = cache->Acquire(
        Id(name),
        [&](const std::string& folder) {
          EXPECT_TRUE(env_->CreateDirs(folder).ok());
          return WriteFileAtomic(env_, JoinPath(folder, file), "x");
        },
        [] { return true; });
    EXPECT_TRUE(pin.ok());
  };
  InputCache cache(env_, dir_.path(), 1 << 20);
  put(&cache, "a", "config.json");
  put(&cache, "t", "text");
  put(&cache, "b", "config.json");
  put(&cache, "a", "config.json");
  EXPECT_EQ(cache.Models(64), (std::vector<std::string>{Id("a"), Id("b")}));
  EXPECT_EQ(cache.Models(1), (std::vector<std::string>{Id("a")}));
  EXPECT_EQ(InputCache(env_, dir_.path(), 1 << 20).Models(64).size(), 2u);
}

TEST_F(InputCacheTest, AnIdThatIsNoDigestIsRefused) {
  InputCache cache(env_, dir_.path(), 1000);
  EXPECT_FALSE(cache.Acquire("../../etc", [](const std::string&) { return absl::OkStatus(); }, [] { return true; }).ok());
}

TEST(Scratch, WhatWasNotTouchedForADayGoesUnlessItIsInUse) {
  TempDir dir;
  Env* env = Env::Posix();
  for (const char* job : {"default.a", "default.b"}) ASSERT_TRUE(env->CreateDirs(JoinPath(dir.path(), job) + "/work").ok());
  const int64_t now = Clock::Real()->UnixNanos(), hour = 3600ll * 1000000000;
  SweepScratch(env, dir.path(), now + 23 * hour, {});
  EXPECT_EQ(env->ListDir(dir.path())->size(), 2u);
  SweepScratch(env, dir.path(), now + 25 * hour, {"default.b"});
  ASSERT_EQ(env->ListDir(dir.path())->size(), 1u);
  EXPECT_EQ((*env->ListDir(dir.path()))[0].name, "default.b");
}

}  // namespace
}  // namespace swage
