// The index arithmetic of families.cu, run through as its threads would.
#include "kernels/cuda/index_families.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/rng.h"
#include "kernels/numeric/hadamard.h"
#include "kernels/numeric/philox.h"

namespace swage::cuda {
namespace {

TEST(CudaFamiliesIndexTest, RunsOfWordsCoverASliceOnce) {
  for (const uint64_t first : {uint64_t{0}, uint64_t{1}, uint64_t{7}, (uint64_t{1} << 40) + 2}) {
    for (const int64_t n : {0, 1, 2, 3, 4, 5, 17, 64}) {
      const RandomKey key{3, 4, first};
      std::vector<int> seen(n, 0);
      for (int64_t i = 0; i < WordRuns(first, n); ++i) {
        const WordRun run = WordRunOf(first, n, i);
        ASSERT_GT(run.count, 0);
        for (int j = 0; j < run.count; ++j) {
          ++seen[run.element + j];
          EXPECT_EQ(RandomBlock(key, run.block).word[run.word + j],
                    RandomWord(key, run.element + j));
        }
      }
      EXPECT_EQ(seen, std::vector<int>(n, 1));
    }
  }
}

// What TransformTile does.
void Transform(int size, int block, int width, std::vector<float>* tile) {
  for (int distance = width; distance < block * width; distance *= 2) {
    std::vector<int> seen(size, 0);
    for (int pair = 0; pair < size / 2; ++pair) {
      const int at = PairOf(pair, distance);
      ++seen[at];
      ++seen[at + distance];
      const float a = (*tile)[at], b = (*tile)[at + distance];
      (*tile)[at] = a + b;
      (*tile)[at + distance] = a - b;
    }
    EXPECT_EQ(seen, std::vector<int>(size, 1));
  }
}

TEST(CudaFamiliesIndexTest, TilesOfStripsAreTransformedAlongTheirColumns) {
  const int64_t rows = 24, columns = 11;
  const int block = 8, width = 4;
  const HadamardShape shape{1, block};
  Rng rng(1);
  std::vector<float> x(rows * columns), want(x.size()), got(x.size(), 0.0f);
  for (float& value : x) value = static_cast<float>(rng.Uniform(100));
  for (int64_t i = 0; i < rows * columns; ++i) {
    const int64_t r = i / columns, first = r / block * block;
    for (int64_t j = 0; j < block; ++j) {
      want[i] += HadamardEntry(shape, {1.0f}, r - first, j) * x[(first + j) * columns + i % columns];
    }
  }
  const int64_t tiles = (columns + width - 1) / width * (rows / block);
  for (int64_t t = 0; t < tiles; ++t) {
    std::vector<float> tile(block * width, 0.0f);
    for (int e = 0; e < block * width; ++e) {
      const StripPlace at = StripPlaceOf(t, e, columns, block, width);
      if (at.column < columns) tile[e] = x[at.row * columns + at.column];
    }
    Transform(block * width, block, width, &tile);
    for (int e = 0; e < block * width; ++e) {
      const StripPlace at = StripPlaceOf(t, e, columns, block, width);
      if (at.column < columns) got[at.row * columns + at.column] = tile[e];
    }
  }
  EXPECT_EQ(got, want);
}

TEST(CudaFamiliesIndexTest, RunsOfShortBlocksAreTransformedTogether) {
  const int block = 4, size = 12;
  const HadamardShape shape{1, block};
  std::vector<float> tile = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13}, want(size);
  for (int i = 0; i < size; ++i) {
    for (int j = 0; j < block; ++j) {
      want[i] += HadamardEntry(shape, {1.0f}, i % block, j) * tile[i / block * block + j];
    }
  }
  Transform(size, block, 1, &tile);
  EXPECT_EQ(tile, want);
}

}  // namespace
}  // namespace swage::cuda
