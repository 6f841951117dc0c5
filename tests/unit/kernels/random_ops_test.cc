// Philox and what is built on it, and the Hadamard transform.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>

#include "kernels/numeric/hadamard.h"
#include "tests/unit/kernels/op_test.h"
#include "tests/unit/kernels/random_values.h"

namespace swage {
namespace {

using RandomOpsTest = OpTest;

// kat_vectors of Random123 1.14 (Salmon et al.), philox4x32 with 10 rounds.
TEST(PhiloxTest, GivesTheKnownAnswers) {
  struct Known {
    std::array<uint32_t, 4> counter;
    std::array<uint32_t, 2> key;
    std::array<uint32_t, 4> want;
  };
  constexpr uint32_t kOnes = 0xffffffffu;
  for (const Known& known :
       {Known{{0, 0, 0, 0}, {0, 0}, {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}},
        Known{{kOnes, kOnes, kOnes, kOnes},
              {kOnes, kOnes},
              {0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}},
        Known{{0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u},
              {0xa4093822u, 0x299f31d0u},
              {0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}}}) {
    const PhiloxBlock got = PhiloxRounds(
        {{known.counter[0], known.counter[1], known.counter[2], known.counter[3]}}, known.key[0],
        known.key[1]);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(got.word[i], known.want[i]);
    EXPECT_EQ(Philox4x32(known.counter, known.key), known.want);
  }
}

TEST(PhiloxTest, ElementsAreTheDrawsOfAStream) {
  Rng rng(77, 5);
  const RandomKey key{77, 5, 0};
  for (uint64_t i = 0; i < 21; ++i) EXPECT_EQ(RandomWord(key, i), rng());
}

TEST_P(RandomOpsTest, WordsAreTheReferencesWhateverTheSlice) {
  // The last ones cross the overflow of the low half of a block's number.
  for (const uint64_t first : {uint64_t{0}, uint64_t{3}, (uint64_t{1} << 34) - 203}) {
    for (const int64_t n : {1, 5, 64, 1000, 40001}) {
      const RandomKey key{0x123456789abcdefull, 0xfedcba987654321ull, first};
      std::vector<uint32_t> want(n);
      std::vector<float> want_unit(n);
      ASSERT_TRUE(ref()->random().Words(n, key, want.data()).ok());
      ASSERT_TRUE(ref()->random().Uniform(n, key, want_unit.data()).ok());
      DeviceArray<uint32_t> words = Space<uint32_t>(n);
      DeviceArray<float> unit = Space<float>(n);
      RUN_OP(ops()->random().Words(n, key, words.data()));
      RUN_OP(ops()->random().Uniform(n, key, unit.data()));
      ExpectSameBytes(words.Get(), want);
      ExpectSameBytes(unit.Get(), want_unit);
    }
  }
}

TEST_P(RandomOpsTest, NormalNumbersAreThoseOfTheReference) {
  for (const int64_t n : {1, 2, 33, 5000}) {
    const RandomKey key{1, 2, 6};
    std::vector<float> want(n);
    ASSERT_TRUE(ref()->random().Normal(n, key, want.data()).ok());
    DeviceArray<float> got = Space<float>(n);
    RUN_OP(ops()->random().Normal(n, key, got.data()));
    ExpectClose(got.Get(), want, 2e-6, 2e-6);
  }
}

TEST(RefRandomTest, NormalNumbersHaveTheMomentsOfTheirName) {
  const int64_t n = 200000;
  std::vector<float> x(n);
  ASSERT_TRUE(NewRefOps()->random().Normal(n, {9, 9, 0}, x.data()).ok());
  double mean = 0, square = 0, fourth = 0;
  for (const float v : x) {
    mean += v;
    square += static_cast<double>(v) * v;
    fourth += std::pow(static_cast<double>(v), 4);
  }
  EXPECT_NEAR(mean / n, 0, 0.01);  // four deviations of the mean
  EXPECT_NEAR(square / n, 1, 0.015);
  EXPECT_NEAR(fourth / n, 3, 0.1);
}

TEST_P(RandomOpsTest, StochasticRoundingGivesTheReferencesBytes) {
  std::vector<float> x = AnyFiniteFloats(4099, 4);
  x[1] = std::numeric_limits<float>::infinity();
  x[2] = -std::numeric_limits<float>::infinity();
  x[3] = std::numeric_limits<float>::quiet_NaN();
  x[4] = 1.0f;
  const std::vector<float> small = Gaussians(4099, 5, 3.0f);
  const int64_t n = static_cast<int64_t>(x.size());
  const RandomKey key{3, 4, 1};
  DeviceArray<float> in = On(x), small_in = On(small);
  DeviceArray<uint16_t> narrow = Space<uint16_t>(n);
  DeviceArray<int8_t> codes = Space<int8_t>(n);
  std::vector<uint16_t> want(n);
  ASSERT_TRUE(ref()->random().RoundToBf16(n, x.data(), key, want.data()).ok());
  RUN_OP(ops()->random().RoundToBf16(n, in.data(), key, narrow.data()));
  ExpectSameBytes(narrow.Get(), want);
  std::vector<int8_t> want_codes(n);
  ASSERT_TRUE(
      ref()->random().RoundToGrid(n, small.data(), 0.3f, 1.0f, -8, 7, key, want_codes.data()).ok());
  RUN_OP(ops()->random().RoundToGrid(n, small_in.data(), 0.3f, 1.0f, -8, 7, key, codes.data()));
  ExpectSameBytes(codes.Get(), want_codes);
  ASSERT_TRUE(
      ref()->random().RoundToGrid(n, x.data(), 0.3f, 1.0f, -8, 7, key, want_codes.data()).ok());
  RUN_OP(ops()->random().RoundToGrid(n, in.data(), 0.3f, 1.0f, -8, 7, key, codes.data()));
  ExpectSameBytes(codes.Get(), want_codes);
}

TEST(RefRandomTest, StochasticRoundingIsUnbiased) {
  const int64_t n = 100000;
  const std::vector<float> x(n, 1.0f + 0.3f / 128);  // 0.3 of the way to the next bf16
  std::vector<uint16_t> narrow(n);
  std::vector<int8_t> codes(n);
  const std::unique_ptr<Ops> ref = NewRefOps();
  ASSERT_TRUE(ref->random().RoundToBf16(n, x.data(), {1, 1, 0}, narrow.data()).ok());
  EXPECT_NEAR(static_cast<double>(std::count(narrow.begin(), narrow.end(), Bf16Of(1.0078125f))) / n,
              0.3, 0.006);
  const std::vector<float> y(n, -2.25f);
  ASSERT_TRUE(ref->random().RoundToGrid(n, y.data(), 1, 0, -8, 7, {1, 2, 0}, codes.data()).ok());
  EXPECT_NEAR(static_cast<double>(std::count(codes.begin(), codes.end(), -3)) / n, 0.25, 0.006);
}

TEST(HadamardTest, RowsOfTheMatricesAreOrthogonal) {
  for (const int64_t order : {1, 2, 8, 12, 20, 24, 28, 36, 40, 44, 56, 60, 76, 84, 108, 148, 152}) {
    const StatusOr<HadamardShape> shape = FindHadamardShape(order);
    ASSERT_TRUE(shape.ok()) << order;
    const std::vector<float> paley = PaleyMatrix(shape->base);
    std::vector<float> h(order * order);
    for (int64_t i = 0; i < order * order; ++i) {
      h[i] = HadamardEntry(*shape, paley, i / order, i % order);
      ASSERT_EQ(std::fabs(h[i]), 1.0f);
    }
    for (int64_t i = 0; i < order; ++i) {
      for (int64_t j = i; j < order; ++j) {
        float sum = 0;
        for (int64_t l = 0; l < order; ++l) sum += h[i * order + l] * h[j * order + l];
        ASSERT_EQ(sum, i == j ? static_cast<float>(order) : 0.0f) << order << ": " << i << ", " << j;
      }
    }
  }
}

TEST(HadamardTest, WidthsOfModelsHaveOrders) {
  for (const int64_t width : {896, 1024, 1536, 2560, 3072, 4096, 4864, 5120, 8192, 8960, 9728, 13824,
                              14336, 18944, 28672}) {
    EXPECT_TRUE(FindHadamardShape(width).ok()) << width;
  }
  EXPECT_EQ(FindHadamardShape(896)->base, 28);
  for (const int64_t width : {0, 3, 6, 11008}) {  // 11008 = 172 * 64: no Paley matrix of that order
    EXPECT_EQ(FindHadamardShape(width).status().code(), StatusCode::kUnimplemented) << width;
  }
}

struct Blocks {
  int64_t rows, columns, block;
};

TEST_P(RandomOpsTest, HadamardIsTheProductWithTheMatrix) {
  for (const Blocks& b : {Blocks{3, 1, 1}, {5, 6, 2}, {3, 12, 4}, {2, 24, 8}, {7, 48, 16},
                          {3, 96, 32}, {3, 128, 64}, {2, 384, 128}, {2, 256, 256}, {1, 2048, 1024},
                          {3, 24, 12}, {2, 20, 20}, {2, 112, 56}, {3, 896, 896}, {1, 152, 76}}) {
    for (const HadamardSide side : {HadamardSide::kRows, HadamardSide::kColumns}) {
      for (const bool signs : {false, true}) {
        SCOPED_TRACE(testing::Message() << b.rows << " x " << b.columns << " in blocks of "
                                        << b.block << (signs ? " with signs" : ""));
        const bool by_rows = side == HadamardSide::kRows;
        HadamardArgs args{by_rows ? b.rows : b.columns, by_rows ? b.columns : b.rows, b.block};
        args.side = side;
        args.random_signs = signs;
        args.key = {5, 6, 0};
        const std::vector<float> x = Gaussians(b.rows * b.columns, b.block);
        std::vector<float> want = x;
        DeviceArray<float> got = On(x);
        args.x = want.data();
        ASSERT_TRUE(ref()->random().Hadamard(args).ok());
        args.x = got.data();
        RUN_OP(ops()->random().Hadamard(args));
        ExpectClose(got.Get(), want, 1e-6, 2e-6);  // about ten sums of values of size 1
        args.inverse = true;
        RUN_OP(ops()->random().Hadamard(args));
        ExpectClose(got.Get(), x, 1e-6, 2e-6);
        args.x = want.data();
        ASSERT_TRUE(ref()->random().Hadamard(args).ok());
        ExpectClose(want, x, 1e-6, 1e-6);
      }
    }
  }
}

TEST_P(RandomOpsTest, HadamardOfManyColumnsAndWideStrips) {
  HadamardArgs args{128, 203, 64};
  args.side = HadamardSide::kColumns;
  const std::vector<float> x = Gaussians(128 * 203, 7);
  std::vector<float> want = x;
  DeviceArray<float> got = On(x);
  args.x = want.data();
  ASSERT_TRUE(ref()->random().Hadamard(args).ok());
  args.x = got.data();
  RUN_OP(ops()->random().Hadamard(args));
  ExpectClose(got.Get(), want, 1e-6, 2e-6);
}

TEST_P(RandomOpsTest, RefusesWhatDoesNotFit) {
  float x[8] = {};
  EXPECT_EQ(ref()->random().Hadamard({1, 8, 3, x}).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ref()->random().Hadamard({1, 6, 6, x}).code(), StatusCode::kUnimplemented);
  EXPECT_EQ(ref()->random().Normal(1, {0, 0, 1}, x).code(), StatusCode::kInvalidArgument);
}

INSTANTIATE_ON_DEVICES(RandomOpsTest);

}  // namespace
}  // namespace swage
