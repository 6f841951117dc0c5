// Randomness and random rotations: numbers and stochastic rounding keyed by (job seed, tensor,
// element) (kernels/numeric/philox.h), and the fast Hadamard transform. Part of Ops
// (kernels/api/ops.h), whose rules hold. Words, uniform numbers and rounded values are the same
// bytes on every implementation; normal numbers and transforms are within the bounds of
// tests/unit/kernels.
//   ops->random().Hadamard({rows, 4096, 4096, x, HadamardSide::kRows, true, {seed, tensor}});
#pragma once

#include <cstdint>

#include "base/status.h"
#include "kernels/numeric/philox.h"

namespace swage {

// kRows: each row of x is cut into blocks. kColumns: each column is.
enum class HadamardSide { kRows, kColumns };

// x <- x in blocks of `block` along one side, each multiplied by the orthonormal H D: D a diagonal
// of random signs (when random_signs; entry i belongs to row or column i of x, bit 31 of
// RandomWord(key, i) set: -1), H a Hadamard matrix divided by the root of its order
// (kernels/numeric/hadamard.h says which orders there are). The inverse, D H^T, undoes it.
struct HadamardArgs {
  int64_t rows = 0, columns = 0;
  int64_t block = 0;  // divides the side
  float* x = nullptr;
  HadamardSide side = HadamardSide::kRows;
  bool random_signs = false;
  RandomKey key;
  bool inverse = false;
};

class RandomOps {
 public:
  virtual ~RandomOps() = default;
  virtual Status Words(int64_t n, const RandomKey& key, uint32_t* y);
  virtual Status Uniform(int64_t n, const RandomKey& key, float* y);  // [0, 1)
  // Box-Muller on pairs of elements: (2i, 2i+1) are radius times cosine and sine. key.first is even.
  virtual Status Normal(int64_t n, const RandomKey& key, float* y);
  // To bf16, up with the probability of the part that is cut off.
  virtual Status RoundToBf16(int64_t n, const float* x, const RandomKey& key, uint16_t* y);
  // codes[i] = x[i] / scale + zero, rounded at random to a neighbour, then clamped to [low, high].
  virtual Status RoundToGrid(int64_t n, const float* x, float scale, float zero, int low, int high,
                             const RandomKey& key, int8_t* codes);
  virtual Status Hadamard(const HadamardArgs& args);
};

}  // namespace swage
