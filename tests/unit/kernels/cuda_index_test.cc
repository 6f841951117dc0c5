// The CUDA kernels' index arithmetic, run on the host: launches as the kernels stride, each element
// exactly once.
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "kernels/cuda/index.h"
#include "kernels/numeric/int_quant.h"

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

TEST(CudaIndexTest, ElementsFindTheScaleOfTheirGroup) {
  const int64_t out = 5, in = 12, group = 4;
  for (int64_t r = 0; r < out; ++r) {
    for (int64_t c = 0; c < in; ++c) {
      EXPECT_EQ(ScaleIndex(r * in + c, group), r * (in / group) + c / group);
      EXPECT_EQ(ScaleIndex(r * in + c, in), r);
      EXPECT_EQ(ScaleIndex(r * in + c, 0), 0);
    }
  }
}

TEST(CudaIndexTest, ThreadsPackTheRowsOfTheReference) {
  const int64_t rows = 3, n = 37;
  for (int bits = 2; bits <= 8; ++bits) {
    const int64_t width = PackedWords(n, bits);
    std::vector<int8_t> codes(rows * n);
    for (size_t i = 0; i < codes.size(); ++i)
      codes[i] = static_cast<int8_t>(i * 7 % (1u << bits)) - (1 << (bits - 1));
    std::vector<uint32_t> words(rows * width);
    for (int64_t i = 0; i < rows * width; ++i) {  // one thread each
      const WordPlace place = WordPlaceOf(i, width);
      words[i] = PackedWord(codes.data() + place.row * n, n, bits, place.word);
    }
    for (int64_t i = 0; i < rows * n; ++i) {
      EXPECT_EQ(UnpackedCode(words.data() + i / n * width, bits, i % n), codes[i]);
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

}  // namespace
}  // namespace swage::cuda
