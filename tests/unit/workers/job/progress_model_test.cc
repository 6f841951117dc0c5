#include "workers/job/progress_model.h"

#include <gtest/gtest.h>

namespace swage {
namespace {

TEST(ProgressModel, MeasuredTimesReplaceTheGuesses) {
  ManualClock clock;
  ProgressModel progress(&clock);
  EXPECT_LT(progress.EtaSeconds(), 0) << "nothing is known yet";
  for (const char* name : {"block[0]", "block[1]", "block[2]", "block[3]"})
    progress.Add(name, "block", 1);
  progress.Begin("block[0]");
  clock.AdvanceMillis(10000);  // ten times slower than guessed
  progress.Finish();
  EXPECT_NEAR(progress.EtaSeconds(), 30, 1e-6);
  EXPECT_NEAR(progress.Fraction(), 0.25, 1e-6);
  progress.Begin("block[1]");
  clock.AdvanceMillis(5000);
  progress.Advance(0.5);
  EXPECT_NEAR(progress.EtaSeconds(), 25, 1e-6);
  EXPECT_NEAR(progress.Fraction(), 0.375, 1e-6);
}

TEST(ProgressModel, NeverGoesBackAndEndsAtOne) {
  ManualClock clock;
  ProgressModel progress(&clock);
  progress.Begin("load");  // not announced: its length was unknown
  clock.AdvanceMillis(900);
  progress.Finish();
  const double before = progress.Fraction();
  progress.Add("block[0]", "block", 100);
  progress.Begin("block[0]");
  EXPECT_GE(progress.Fraction(), before);
  EXPECT_LT(progress.Fraction(), 1.1);
  clock.AdvanceMillis(100);
  progress.Advance(1.0);
  progress.Finish();
  EXPECT_EQ(progress.Fraction(), 1);
}

TEST(ProgressModel, WhatAnEarlierAttemptDidCostsNothing) {
  ManualClock clock;
  ProgressModel progress(&clock);
  progress.Add("block[0]", "block", 1);
  progress.Add("block[1]", "block", 1);
  progress.Skip("block[0]");
  progress.Begin("block[1]");
  clock.AdvanceMillis(2000);
  progress.Advance(0.5);
  EXPECT_NEAR(progress.EtaSeconds(), 2, 1e-6);
}

}  // namespace
}  // namespace swage
