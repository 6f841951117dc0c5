// Which element a CUDA thread works on. Host-callable, so that the arithmetic is tested without a
// GPU (tests/unit/kernels/cuda_index_test.cc); the kernels use nothing else to find their data.
#pragma once

#include "kernels/numeric/host_device.h"

namespace swage::cuda {

constexpr int kThreads = 256;  // of every block
constexpr int kWarp = 32;
constexpr int kWarpsPerBlock = kThreads / kWarp;
constexpr int64_t kMaxBlocks = 65535;  // kernels stride over what is beyond

// Blocks for `items` when one block takes `per_block` of them at a time; at least 1.
SWAGE_HD int64_t BlocksFor(int64_t items, int64_t per_block) {
  const int64_t blocks = (items + per_block - 1) / per_block;
  return blocks < 1 ? 1 : (blocks > kMaxBlocks ? kMaxBlocks : blocks);
}

// The scale of element `i` of a row-major [out, in] matrix in groups of `group` columns: group
// divides in, so that groups are numbered through all rows. group 0: one scale for the matrix.
SWAGE_HD int64_t ScaleIndex(int64_t i, int64_t group) { return group == 0 ? 0 : i / group; }

// A packed word: its row, and its place in the row.
struct WordPlace {
  int64_t row = 0, word = 0;
};
SWAGE_HD WordPlace WordPlaceOf(int64_t i, int64_t words_per_row) {
  WordPlace place;
  place.row = i / words_per_row;
  place.word = i % words_per_row;
  return place;
}

}  // namespace swage::cuda
