// Hadamard matrices: entries +1 and -1, H H^T = n I. Powers of two by Sylvester's doubling; other
// orders m * 2^k as the Kronecker product of a Paley matrix of order m with a Sylvester matrix:
// q + 1 for a prime q = 3 mod 4 (12, 20, 24, 44, ...), 2 (q + 1) for a prime q = 1 mod 4 (28, 36,
// 76, 148, ...) (Paley, "On orthogonal matrices", 1933). So 896 = 28 * 32, 4864 = 76 * 64,
// 18944 = 148 * 128. Thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"

namespace swage {

constexpr int kMaxPaleyOrder = 256;

struct HadamardShape {
  int base = 1;       // 1, or the order of a Paley matrix
  int64_t power = 1;  // a power of two
};

// The shape of order base * power with the least base; UNIMPLEMENTED (KERNEL_SHAPE) when there is
// none with a base of at most kMaxPaleyOrder.
StatusOr<HadamardShape> FindHadamardShape(int64_t order);

// base x base values, +1 or -1, row-major. base is 1 or one that FindHadamardShape gave.
std::vector<float> PaleyMatrix(int base);

// Whether PaleyMatrix(base) is of the second kind: symmetric, and made of 2 x 2 blocks, c [1 1; 1 -1]
// for the entries c = +-1 of a conference matrix and [1 -1; -1 -1] on its diagonal; so that pairs
// (a, b) can be replaced by (a + b, a - b), and half of the work is saved.
bool IsPairedPaley(int base);

// Entry (i, j) of the matrix of a shape; `paley` is PaleyMatrix(shape.base).
float HadamardEntry(const HadamardShape& shape, const std::vector<float>& paley, int64_t i,
                    int64_t j);

}  // namespace swage
