#include "base/rng.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <vector>

namespace swage {
namespace {

using U4 = std::array<uint32_t, 4>;

TEST(Philox, MatchesTheKnownAnswersOfRandom123) {
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}), (U4{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (U4{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (U4{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Rng, IsTheSameForTheSameSeedAndStreamOnly) {
  Rng a(5, 1), b(5, 1), other_seed(6, 1), other_stream(5, 2);
  int same_seed = 0, same_stream = 0;
  for (int i = 0; i < 1000; ++i) {
    const uint32_t value = a();
    ASSERT_EQ(value, b());
    same_seed += value == other_seed();
    same_stream += value == other_stream();
  }
  EXPECT_LT(same_seed, 3);
  EXPECT_LT(same_stream, 3);
}

TEST(Rng, StartsWithTheBlockOfCounterZero) {
  Rng rng(0, 0);
  EXPECT_EQ(rng(), 0x6627e8d5u);
  EXPECT_EQ(rng(), 0xe169c58du);
}

TEST(Rng, UniformStaysBelowItsBoundAndReachesEveryValue) {
  Rng rng(1);
  for (const uint64_t bound : {uint64_t{1}, uint64_t{2}, uint64_t{3}, uint64_t{10}}) {
    std::vector<int> hits(bound);
    for (int i = 0; i < 3000; ++i) ++hits.at(rng.Uniform(bound));
    for (const int count : hits) EXPECT_NEAR(count, 3000.0 / static_cast<double>(bound), 220) << bound;
  }
  const uint64_t huge = (uint64_t{1} << 63) + 1;  // half of all draws are out of range here
  for (int i = 0; i < 1000; ++i) ASSERT_LT(rng.Uniform(huge), huge);
}

TEST(Rng, GaussianHasTheMomentsOfANormal) {
  Rng rng(2);
  constexpr int kDraws = 200000;
  double sum = 0, squares = 0, fourth = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = rng.Gaussian();
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0.0, 0.01);
  EXPECT_NEAR(squares / kDraws, 1.0, 0.02);
  EXPECT_NEAR(fourth / kDraws, 3.0, 0.15);
}

TEST(Rng, DoublesAreInTheHalfOpenUnitInterval) {
  Rng rng(3);
  double sum = 0;
  for (int i = 0; i < 100000; ++i) {
    const double x = rng.UniformDouble();
    ASSERT_GE(x, 0.0);
    ASSERT_LT(x, 1.0);
    sum += x;
  }
  EXPECT_NEAR(sum / 100000, 0.5, 0.005);
}

TEST(Rng, ServesTheStandardAlgorithms) {
  std::vector<int> values(100);
  std::iota(values.begin(), values.end(), 0);
  Rng rng(4);
  std::shuffle(values.begin(), values.end(), rng);
  EXPECT_EQ(std::set<int>(values.begin(), values.end()).size(), 100u);
  EXPECT_FALSE(std::is_sorted(values.begin(), values.end()));
}

TEST(RandomIds, DifferAndHaveTheLengthAsked) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = RandomHex(16);
    ASSERT_EQ(id.size(), 32u);
    ASSERT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos);
    seen.insert(id);
  }
  EXPECT_EQ(seen.size(), 1000u);
  EXPECT_NE(RandomU64(), RandomU64());
}

}  // namespace
}  // namespace swage
