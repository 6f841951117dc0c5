// Signed integer grids of 2..8 bits, with and without a zero point: the arithmetic of
// compressed-tensors 0.19, operation by operation in f32, so that codes and scales are byte-equal
// to its round-to-nearest (tests/golden/rtn).
//   symmetric    scale = absmax / ((2^b - 1) / 2)         code = round(clamp(w / scale, lo, hi))
//   asymmetric   scale = (max - min) / (2^b - 1)          code = round(clamp(w / scale + zero, lo,
//   hi))
//                zero  = round(clamp(lo - min / scale))   w'   = (code - zero) * scale
// with lo = -2^(b-1), hi = 2^(b-1) - 1, round = half to even, min <= 0 <= max always (0 must be
// representable). Packed rows: little-endian stream of (code + 2^(b-1)), b bits each, in
// ceil(n*b/32) 32-bit words; codes straddle words. Pure functions, usable on the host and in CUDA
// kernels. Weights are finite: callers check that (Ops::AllFinite).
#pragma once

#include <math.h>

#include "kernels/numeric/host_device.h"

namespace swage {

struct IntGrid {
  float lo = 0, hi = 0;
};

SWAGE_HD IntGrid IntGridOf(int bits) {
  const int half = 1 << (bits - 1);
  IntGrid grid;
  grid.lo = static_cast<float>(-half);
  grid.hi = static_cast<float>(half - 1);
  return grid;
}

constexpr float kScaleEpsilon = 1.1920928955078125e-07f;  // f32's epsilon, in place of a zero scale

// NaN gives lo, so that the conversion to an integer is always defined.
SWAGE_HD float ClampToGrid(float x, IntGrid grid) {
  const float up = x > grid.lo ? x : grid.lo;
  return up < grid.hi ? up : grid.hi;
}

SWAGE_HD float SymmetricScale(float absmax, IntGrid grid) {
  const float scale = absmax / ((grid.hi - grid.lo) / 2.0f);
  return scale == 0.0f ? kScaleEpsilon : scale;
}

struct ScaleAndZero {
  float scale = 0;
  int8_t zero = 0;
};

// min <= 0 <= max.
SWAGE_HD ScaleAndZero AsymmetricScale(float min, float max, IntGrid grid) {
  ScaleAndZero result;
  const float scale = (max - min) / (grid.hi - grid.lo);
  const float zero = grid.lo - min / scale;
  // A group of zeros has 0/0 here; torch's conversion of NaN to int8 gives 0.
  result.zero = zero != zero ? int8_t{0} : static_cast<int8_t>(rintf(ClampToGrid(zero, grid)));
  result.scale = scale == 0.0f ? kScaleEpsilon : scale;
  return result;
}

SWAGE_HD int8_t QuantizeInt(float w, float scale, float zero, IntGrid grid) {
  return static_cast<int8_t>(rintf(ClampToGrid(w / scale + zero, grid)));
}

SWAGE_HD float DequantizeInt(int8_t code, float scale, float zero) {
  return (static_cast<float>(code) - zero) * scale;
}

SWAGE_HD int64_t PackedWords(int64_t n, int bits) { return (n * bits + 31) / 32; }

// Word `index` of a packed row of n codes: what one CUDA thread writes, and the definition of the
// layout.
SWAGE_HD uint32_t PackedWord(const int8_t* codes, int64_t n, int bits, int64_t index) {
  const int64_t begin = index * 32;  // first bit of this word
  const uint32_t mask = (1u << bits) - 1u;
  const uint32_t offset = 1u << (bits - 1);
  uint32_t word = 0;
  for (int64_t i = begin / bits; i < n && i * bits < begin + 32; ++i) {
    const uint32_t code = (static_cast<uint32_t>(static_cast<int32_t>(codes[i])) + offset) & mask;
    const int64_t at = i * bits - begin;
    word |= at >= 0 ? code << at : code >> -at;
  }
  return word;
}

// Code i of a packed row.
SWAGE_HD int8_t UnpackedCode(const uint32_t* words, int bits, int64_t i) {
  const int64_t bit = i * bits;
  const int shift = static_cast<int>(bit % 32);
  uint32_t code = words[bit / 32] >> shift;
  if (shift + bits > 32) code |= words[bit / 32 + 1] << (32 - shift);
  code &= (1u << bits) - 1u;
  return static_cast<int8_t>(static_cast<int32_t>(code) - (1 << (bits - 1)));
}

}  // namespace swage
