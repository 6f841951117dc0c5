// Causal attention and its gradient with products in bf16 (sums, maxima, exponentials and running
// totals stay f32) for CPUs with AVX512-BF16; tiles as in simd_attention.cc. Whoever calls these asks
// AttentionRunsBf16 first.
#pragma once

#include "kernels/cpu/simd.h"
#include "kernels/cpu/simd_families.h"

namespace swage::cpu {

// This CPU has the instructions, and heads of this size fit whole vectors.
bool AttentionRunsBf16(int64_t head_dim);

// One window and key-value head. Pairs are two bf16, the first in the lower half. `down`: blocks of
// kKeyBlock keys, [head_dim / 2][kKeyBlock] pairs along the head; `along`: [keys / 2][head_dim] pairs
// along the keys. Zeros behind the last key.
struct PairHead {
  const uint32_t* keys_down = nullptr;
  const uint32_t* values_down = nullptr;   // gradients only
  const uint32_t* keys_along = nullptr;    // gradients only
  const uint32_t* values_along = nullptr;  // forward only
};
// Rows of x at stride `stride`; y has room for tokens rounded up to kKeyBlock.
void PackPairsDown(int64_t tokens, int64_t head_dim, const float* x, int64_t stride, uint32_t* y);
void PackPairsAlong(int64_t tokens, int64_t head_dim, const float* x, int64_t stride, uint32_t* y);

// As AttendBlock and AttendBackward; of HeadGradient neither keys, keys_down nor values_down is
// read.
int64_t AttendPairsScratchFloats(int64_t head_dim);
void AttendBlockPairs(const QueryBlock& queries, const PairHead& keys, float* scratch);
int64_t AttendBackwardPairsScratchFloats(int64_t head_dim);
void AttendBackwardPairs(const HeadGradient& head, const PairHead& keys, float* scratch);

}  // namespace swage::cpu
