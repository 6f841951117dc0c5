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

// Item i of rows of `per_row` items: its row, and its place in the row. (Which scale an element
// has: numeric/scale_grid.h.)
struct PlaceInRow {
  int64_t row = 0, index = 0;
};
SWAGE_HD PlaceInRow PlaceOf(int64_t i, int64_t per_row) {
  PlaceInRow place;
  place.row = i / per_row;
  place.index = i % per_row;
  return place;
}

// A pair of channels that turns: pair `i` of all rows, heads and pairs of a head.
struct RopePlace {
  int64_t row = 0, pair = 0;
  int64_t element = 0;  // of the pair's first channel in x; the second is `half` behind it
};
SWAGE_HD RopePlace RopePlaceOf(int64_t i, int64_t half, int64_t heads, int64_t head_dim) {
  RopePlace place;
  place.pair = i % half;
  const int64_t head = i / half;  // of all rows
  place.row = head / heads;
  place.element = head * head_dim + place.pair;
  return place;
}

// A query row of one head: item `i` of all windows, positions and heads.
struct QueryPlace {
  int64_t window = 0, position = 0, kv_head = 0;
};
SWAGE_HD QueryPlace QueryPlaceOf(int64_t i, int64_t tokens, int64_t heads, int64_t kv_heads) {
  QueryPlace place;
  const int64_t row = i / heads;
  place.window = row / tokens;
  place.position = row % tokens;
  place.kv_head = i % heads / (heads / kv_heads);
  return place;
}

// window 0: all before `position` and itself.
SWAGE_HD int64_t FirstVisibleKey(int64_t position, int64_t window) {
  return window == 0 || position < window ? 0 : position - window + 1;
}

// The largest of `logits` that is not among the `taken` chosen before it; the first of equal ones.
SWAGE_HD int32_t NextLargest(const float* logits, int64_t count, const int32_t* chosen,
                             int64_t taken) {
  int32_t best = -1;
  for (int32_t e = 0; e < count; ++e) {
    bool free = true;
    for (int64_t i = 0; i < taken; ++i) free = free && chosen[i] != e;
    if (free && (best < 0 || logits[e] > logits[best])) best = e;
  }
  return best;
}

}  // namespace swage::cuda
