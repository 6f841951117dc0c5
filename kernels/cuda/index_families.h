// index.h for the families of ops (kernels/api/random.h, select.h): which elements a thread works
// on. Host-callable, and tested on the CPU (tests/unit/kernels/cuda_families_index_test.cc).
#pragma once

#include "kernels/numeric/host_device.h"

namespace swage::cuda {

// The part of a tensor's elements that one Philox block covers: words `word`.. of block `block`
// become elements `element`.. (count of them) of a slice of n elements that begins at `first`.
struct WordRun {
  uint64_t block = 0;
  int word = 0, count = 0;
  int64_t element = 0;
};
SWAGE_HD int64_t WordRuns(uint64_t first, int64_t n) {
  return n == 0 ? 0 : static_cast<int64_t>((first + n - 1) / 4 - first / 4 + 1);
}
SWAGE_HD WordRun WordRunOf(uint64_t first, int64_t n, int64_t run) {
  WordRun made;
  made.block = first / 4 + run;
  const uint64_t begin = made.block * 4 < first ? first : made.block * 4;
  const uint64_t end = made.block * 4 + 4 < first + n ? made.block * 4 + 4 : first + n;
  made.word = static_cast<int>(begin % 4);
  made.count = static_cast<int>(end - begin);
  made.element = static_cast<int64_t>(begin - first);
  return made;
}

// The lower one of the pair that a butterfly of `distance` works on; the other is `distance` later.
SWAGE_HD int PairOf(int pair, int distance) {
  return pair / distance * 2 * distance + pair % distance;
}

// A tile of a Hadamard transform in shared memory: `block` values along the transformed side times
// `width` independent ones, element e at [e / width, e % width].
constexpr int kHadamardTile = 8192;   // floats at most
constexpr int kHadamardRowRun = 2048;  // rows: short blocks are taken together up to this

// Where element e of tile t lies in a row-major matrix of `columns` columns, transformed along its
// columns: tiles go through the strips of a block of rows first.
struct StripPlace {
  int64_t row = 0, column = 0;
};
SWAGE_HD StripPlace StripPlaceOf(int64_t tile, int element, int64_t columns, int64_t block,
                                 int width) {
  const int64_t strips = (columns + width - 1) / width;
  StripPlace place;
  place.row = tile / strips * block + element / width;
  place.column = tile % strips * width + element % width;
  return place;
}

}  // namespace swage::cuda
