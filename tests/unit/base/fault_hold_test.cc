#include "base/fault_hold.h"

#include <gtest/gtest.h>

namespace swage {
namespace {

TEST(FaultHold, HoldsOnlyTheNamedStages) {
  EXPECT_EQ(HoldMillis("load:300,commit:50", "load"), 300);
  EXPECT_EQ(HoldMillis("load:300,commit:50", "commit"), 50);
  EXPECT_EQ(HoldMillis("load:300,commit:50", "encode"), 0);
  EXPECT_EQ(HoldMillis("", "load"), 0);
}

TEST(FaultHold, BlockMeansEveryBlockAndAnIndexMeansThatOne) {
  EXPECT_EQ(HoldMillis("block:7", "block[0]"), 7);
  EXPECT_EQ(HoldMillis("block:7", "block[12]"), 7);
  EXPECT_EQ(HoldMillis("block[3]:9", "block[3]"), 9);
  EXPECT_EQ(HoldMillis("block[3]:9", "block[4]"), 0);
}

TEST(FaultHold, IgnoresWhatIsMalformedAndBoundsTheRest) {
  EXPECT_EQ(HoldMillis("load", "load"), 0);
  EXPECT_EQ(HoldMillis("load:", "load"), 0);
  EXPECT_EQ(HoldMillis("load:-5", "load"), 0);
  EXPECT_EQ(HoldMillis("load:5x", "load"), 0);
  EXPECT_EQ(HoldMillis("load:2000000000", "load"), 600000);
  EXPECT_EQ(HoldMillis(" load : 12 ", "load"), 12);
}

}  // namespace
}  // namespace swage
