#include "tests/sim/arguments.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swage::sim {
namespace {

StatusOr<Arguments> Parse(std::vector<const char*> words) {
  words.insert(words.begin(), "swage-sim");
  return ParseArguments(static_cast<int>(words.size()), words.data());
}

TEST(Arguments, AreRead) {
  const auto args = Parse({"--seeds", "5:9", "--hours", "0.5", "--faults", "light", "--jobs", "2000",
                           "--no-minimize", "--json"});
  ASSERT_TRUE(args.ok());
  EXPECT_EQ(args->from, 5u);
  EXPECT_EQ(args->to, 9u);
  EXPECT_EQ(args->options.hours, 0.5);
  EXPECT_EQ(args->options.profile, FaultProfile::kLight);
  EXPECT_EQ(args->options.jobs_per_hour, 2000);
  EXPECT_FALSE(args->minimize);
  EXPECT_TRUE(args->json);
}

TEST(Arguments, OneSeedAlone) {
  const auto args = Parse({"--seeds", "7"});
  ASSERT_TRUE(args.ok());
  EXPECT_EQ(args->from, 7u);
  EXPECT_EQ(args->to, 7u);
}

TEST(Arguments, WhatIsNotUnderstoodIsRefused) {
  for (const std::vector<const char*>& words : std::vector<std::vector<const char*>>{
           {"--seeds"}, {"--seeds", "9:5"}, {"--seeds", "x"}, {"--hours", "0"}, {"--hours", "-1"},
           {"--faults", "some"}, {"--jobs", "0"}, {"--sede", "1"}, {"1:3"}, {"--hours", "nan"}}) {
    EXPECT_FALSE(Parse(words).ok()) << words[0];
  }
}

}  // namespace
}  // namespace swage::sim
