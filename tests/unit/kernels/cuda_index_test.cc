// The CUDA kernels' index arithmetic, run on the host: launches as the kernels stride, each element
// exactly once.
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "kernels/cuda/index.h"
#include "kernels/numeric/lane_sum.h"
#include "kernels/numeric/pack_stream.h"
#include "kernels/numeric/scale_grid.h"

namespace swage::cuda {
namespace {

TEST(CudaIndexTest, GridsCoverEverythingAndStayInTheirLimits) {
  EXPECT_EQ(BlocksFor(0, kThreads), 1);
  EXPECT_EQ(BlocksFor(1, kThreads), 1);
  EXPECT_EQ(BlocksFor(kThreads, kThreads), 1);
  EXPECT_EQ(BlocksFor(kThreads + 1, kThreads), 2);
  EXPECT_EQ(BlocksFor(int64_t{1} << 50, kThreads), kMaxBlocks);
  for (const int64_t items : {int64_t{1}, int64_t{255}, int64_t{257}, kMaxBlocks * kThreads + 5}) {
    const int64_t blocks = BlocksFor(items, kThreads), stride = blocks * kThreads;
    const int64_t rounds = (items + stride - 1) / stride;
    EXPECT_GE(rounds * stride, items);
    EXPECT_EQ(rounds, items <= kMaxBlocks * kThreads ? 1 : 2);
  }
}

TEST(CudaIndexTest, WarpsTakeEachGroupOnce) {
  for (const int64_t groups : {1, 7, 8, 9, 1000}) {
    std::vector<int> taken(groups);
    const int64_t blocks = BlocksFor(groups, kWarpsPerBlock);
    for (int64_t block = 0; block < blocks; ++block) {
      for (int thread = 0; thread < kThreads; thread += kWarp) {
        for (int64_t g = block * kWarpsPerBlock + thread / kWarp; g < groups;
             g += blocks * kWarpsPerBlock)
          ++taken[g];
      }
    }
    EXPECT_EQ(taken, std::vector<int>(groups, 1));
  }
}

// Every element belongs to the rectangle that its scale is made from, edges included.
TEST(CudaIndexTest, ElementsFindTheScaleOfTheirRectangle) {
  const ScaleGrid grids[] = {{5, 12, 1, 4}, {5, 12, 1, 12},       {5, 12, 5, 12},
                             {5, 12, 2, 5}, {300, 257, 128, 128}, {1, 1, 128, 128}};
  for (const ScaleGrid& grid : grids) {
    std::vector<int> scale_of(grid.out * grid.in, -1);
    for (int64_t at = 0; at < ScaleCount(grid); ++at) {
      const Rectangle part = RectangleOf(grid, at);
      for (int64_t i = 0; i < part.rows * part.columns; ++i) {  // as a block of threads walks it
        const int64_t row = part.row + i / part.columns, column = part.column + i % part.columns;
        ASSERT_LT(row, grid.out);
        ASSERT_LT(column, grid.in);
        ASSERT_EQ(scale_of[row * grid.in + column], -1);
        scale_of[row * grid.in + column] = static_cast<int>(at);
      }
    }
    for (int64_t i = 0; i < grid.out * grid.in; ++i) EXPECT_EQ(ScaleIndexOf(grid, i), scale_of[i]);
  }
}

TEST(CudaIndexTest, ThreadsPackTheRowsOfTheReference) {
  const int64_t rows = 3, n = 37;
  for (const CodePacking packing : {CodePacking::kWords, CodePacking::kBits, CodePacking::kTrits}) {
    for (int bits = packing == CodePacking::kTrits ? 2 : 1; bits <= 8; ++bits) {
      const int64_t width = PackedRowBytes(packing, bits, n);
      std::vector<int8_t> codes(rows * n);
      for (size_t i = 0; i < codes.size(); ++i) {
        const int code =
            static_cast<int>(i * 7 % (packing == CodePacking::kTrits ? 3 : 1u << bits));
        codes[i] = static_cast<int8_t>(packing == CodePacking::kTrits   ? code - 1
                                       : packing == CodePacking::kWords ? code - (1 << (bits - 1))
                                                                        : code);
      }
      std::vector<uint8_t> bytes(rows * width);
      for (int64_t i = 0; i < rows * width; ++i) {  // one thread each
        const PlaceInRow place = PlaceOf(i, width);
        bytes[i] = PackedByte(packing, bits, codes.data() + place.row * n, n, place.index);
      }
      for (int64_t i = 0; i < rows * n; ++i) {
        const PlaceInRow place = PlaceOf(i, n);
        EXPECT_EQ(CodeOfStream(packing, bits, bytes.data() + place.row * width, place.index),
                  codes[i]);
      }
      if (packing != CodePacking::kWords) continue;
      for (int64_t i = 0; i < rows * PackedWords(n, bits); ++i) {  // words are the same stream
        const PlaceInRow place = PlaceOf(i, PackedWords(n, bits));
        const uint32_t word = PackedWord(codes.data() + place.row * n, n, bits, place.index);
        for (int b = 0; b < 4; ++b) EXPECT_EQ(bytes[4 * i + b], word >> (8 * b) & 0xffu);
      }
    }
  }
}

TEST(CudaIndexTest, RopePairsCoverEveryTurningChannelOnce) {
  const int64_t rows = 3, heads = 2, half = 3, head_dim = 8;
  std::set<int64_t> seen;
  for (int64_t i = 0; i < rows * heads * half; ++i) {
    const cuda::RopePlace place = cuda::RopePlaceOf(i, half, heads, head_dim);
    EXPECT_EQ(place.element / (heads * head_dim), place.row);
    EXPECT_EQ(place.element % head_dim, place.pair);
    EXPECT_LT(place.pair, half);
    EXPECT_TRUE(seen.insert(place.element).second);
    EXPECT_TRUE(seen.insert(place.element + half).second);
  }
}

TEST(CudaIndexTest, QueriesKnowTheirWindowPositionAndKeys) {
  const cuda::QueryPlace place = cuda::QueryPlaceOf((7 * 2 + 1) * 6 + 4, 7, 6, 2);
  EXPECT_EQ(place.window, 2);
  EXPECT_EQ(place.position, 1);
  EXPECT_EQ(place.kv_head, 1);
  EXPECT_EQ(cuda::FirstVisibleKey(9, 0), 0);
  EXPECT_EQ(cuda::FirstVisibleKey(9, 10), 0);
  EXPECT_EQ(cuda::FirstVisibleKey(9, 9), 1);
  EXPECT_EQ(cuda::FirstVisibleKey(9, 1), 9);
}

TEST(CudaIndexTest, NextLargestTakesTheFirstOfEqualOnes) {
  const float logits[] = {1, 3, 3, -2};
  int32_t chosen[4];
  for (int64_t i = 0; i < 4; ++i) chosen[i] = cuda::NextLargest(logits, 4, chosen, i);
  EXPECT_EQ(chosen[0], 1);
  EXPECT_EQ(chosen[1], 2);
  EXPECT_EQ(chosen[2], 0);
  EXPECT_EQ(chosen[3], 3);
}

// A warp's shuffles add as the reference's tree does, and every lane ends with the sum.
TEST(CudaIndexTest, WarpsSumAsTheReference) {
  LaneSums sums;
  for (int l = 0; l < kSumLanes; ++l) sums.lane[l] = 1.0f / static_cast<float>(l + 3);
  static_assert(kSumLanes == kWarp);
  LaneSums lanes = sums;
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    const LaneSums before = lanes;
    for (int l = 0; l < kWarp; ++l) lanes.lane[l] += before.lane[l ^ distance];
  }
  for (int l = 0; l < kWarp; ++l) EXPECT_EQ(lanes.lane[l], TreeSum(sums));
}

}  // namespace
}  // namespace swage::cuda
