#include "kernels/cpu/attention_bf16.h"

#include <algorithm>
#include <cmath>

#include "base/status.h"
#include "kernels/cpu/gemm.h"

#if defined(__x86_64__)
#include <immintrin.h>

// On every function here, so that nothing else of this file is compiled for these CPUs alone.
#define SWAGE_PAIRS __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma")))
#define SWAGE_PAIRS_INLINE SWAGE_PAIRS __attribute__((always_inline)) static inline

namespace swage::cpu {
namespace {

constexpr int64_t kLanes = 16;
constexpr float kUnseen = -1e30f;

using V = __m512;

SWAGE_PAIRS_INLINE V Fill(float x) { return _mm512_set1_ps(x); }

// Within 2 ulp on [-87, 0], 0 below; no NaN comes here.
SWAGE_PAIRS_INLINE V Power(V x) {
  const V whole = _mm512_roundscale_ps(_mm512_mul_ps(x, Fill(1.44269504f)), 0);
  V r = _mm512_fnmadd_ps(whole, Fill(0.693359375f), x);
  r = _mm512_fnmadd_ps(whole, Fill(-2.12194440e-4f), r);
  V p = Fill(1.9875691500e-4f);
  p = _mm512_fmadd_ps(p, r, Fill(1.3981999507e-3f));
  p = _mm512_fmadd_ps(p, r, Fill(8.3334519073e-3f));
  p = _mm512_fmadd_ps(p, r, Fill(4.1665795894e-2f));
  p = _mm512_fmadd_ps(p, r, Fill(1.6666665459e-1f));
  p = _mm512_fmadd_ps(p, r, Fill(5.0000001201e-1f));
  p = _mm512_fmadd_ps(p, _mm512_mul_ps(r, r), _mm512_add_ps(r, Fill(1.0f)));
  const V scaled = _mm512_scalef_ps(p, whole);
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, Fill(-87.0f), _CMP_GE_OQ), scaled);
}

// 16 values of each, side by side as pairs.
SWAGE_PAIRS_INLINE __m512i Pairs(V low, V high) {
  const __m512i a = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(low));
  const __m512i b = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(high));
  return _mm512_or_si512(a, _mm512_slli_epi32(b, 16));
}
// 32 values as 16 pairs of neighbours.
SWAGE_PAIRS_INLINE __m512i Neighbours(const float* x) {
  return (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + kLanes), _mm512_loadu_ps(x));
}

// c[4, 64] += or = pairs a[4, k] times pairs b[k, 64]; kDown: a is stored [k, 4].
template <bool kDown>
SWAGE_PAIRS_INLINE void PairTile(int64_t k, const uint32_t* a, int64_t a_stride, const uint32_t* b,
                                 int64_t b_stride, bool add, float* c, int64_t c_stride) {
  V sum[4][4];
  for (int r = 0; r < 4; ++r) {
    for (int j = 0; j < 4; ++j) {
      sum[r][j] = add ? _mm512_loadu_ps(c + r * c_stride + j * kLanes) : _mm512_setzero_ps();
    }
  }
  for (int64_t i = 0; i < k; ++i) {
    __m512i row[4];
    for (int j = 0; j < 4; ++j) row[j] = _mm512_loadu_si512(b + i * b_stride + j * kLanes);
    for (int r = 0; r < 4; ++r) {
      const uint32_t pair = kDown ? a[i * a_stride + r] : a[r * a_stride + i];
      const __m512i value = _mm512_set1_epi32(static_cast<int>(pair));
      for (int j = 0; j < 4; ++j) {
        sum[r][j] = _mm512_dpbf16_ps(sum[r][j], (__m512bh)value, (__m512bh)row[j]);
      }
    }
  }
  for (int r = 0; r < 4; ++r) {
    for (int j = 0; j < 4; ++j) _mm512_storeu_ps(c + r * c_stride + j * kLanes, sum[r][j]);
  }
}

// rows is a multiple of 4, columns of 64.
template <bool kDown>
SWAGE_PAIRS_INLINE void PairProduct(int64_t rows, int64_t columns, int64_t k, const uint32_t* a,
                                    int64_t a_stride, const uint32_t* b, int64_t b_stride, bool add,
                                    float* c, int64_t c_stride) {
  for (int64_t j = 0; j < columns; j += 4 * kLanes) {
    for (int64_t r = 0; r < rows; r += 4) {
      PairTile<kDown>(k, kDown ? a + r : a + r * a_stride, a_stride, b + j, b_stride, add,
                      c + r * c_stride + j, c_stride);
    }
  }
}

// rows of x[.., d], scaled, as pairs of neighbours y[kQueryBlock, d / 2]; the others are zero.
SWAGE_PAIRS_INLINE void RowPairs(int64_t rows, int64_t d, const float* x, int64_t stride,
                                 float scale, uint32_t* y) {
  const V factor = Fill(scale);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < d; i += 2 * kLanes) {
      const V low = _mm512_mul_ps(_mm512_loadu_ps(x + r * stride + i), factor);
      const V high = _mm512_mul_ps(_mm512_loadu_ps(x + r * stride + i + kLanes), factor);
      _mm512_storeu_si512(y + (r * d + i) / 2, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
  }
  std::fill(y + rows * d / 2, y + kQueryBlock * d / 2, 0u);
}

// The same rows two by two: y[kQueryBlock / 2, d] pairs.
SWAGE_PAIRS_INLINE void PairedRows(int64_t rows, int64_t d, const float* x, int64_t stride,
                                   float scale, uint32_t* y) {
  const V factor = Fill(scale), zero = _mm512_setzero_ps();
  for (int64_t r = 0; r < kQueryBlock; r += 2) {
    const float* at = x + r * stride;
    for (int64_t i = 0; i < d; i += kLanes) {
      const V a = r < rows ? _mm512_mul_ps(_mm512_loadu_ps(at + i), factor) : zero;
      const V b = r + 1 < rows ? _mm512_mul_ps(_mm512_loadu_ps(at + stride + i), factor) : zero;
      _mm512_storeu_si512(y + r / 2 * d + i, Pairs(a, b));
    }
  }
}

SWAGE_PAIRS_INLINE void CapScores(float cap, float* scores) {
  for (int64_t j = 0; j < kKeyBlock; ++j) scores[j] = cap * std::tanh(scores[j] / cap);
}

struct PairRunning {
  float max[kQueryBlock], sum[kQueryBlock];
};

// As SoftenRow of simd_attention.cc; the weights go to `pairs` in bf16.
SWAGE_PAIRS_INLINE float SoftenPairs(int64_t begin, int64_t end, float* scores, float* max,
                                     float* sum, uint32_t* pairs) {
  if (begin >= end) {
    std::fill(pairs, pairs + kKeyBlock / 2, 0u);
    return 1.0f;
  }
  std::fill(scores, scores + begin, kUnseen);
  std::fill(scores + end, scores + kKeyBlock, kUnseen);
  V row[4];
  for (int j = 0; j < 4; ++j) row[j] = _mm512_loadu_ps(scores + j * kLanes);
  const float high = _mm512_reduce_max_ps(
      _mm512_max_ps(_mm512_max_ps(row[0], row[1]), _mm512_max_ps(row[2], row[3])));
  const float new_max = std::max(*max, high);
  const V shift = Fill(new_max);
  for (int j = 0; j < 4; ++j) row[j] = Power(_mm512_sub_ps(row[j], shift));
  const V total =
      _mm512_add_ps(_mm512_add_ps(row[0], row[1]), _mm512_add_ps(row[2], row[3]));
  _mm512_storeu_si512(pairs, (__m512i)_mm512_cvtne2ps_pbh(row[1], row[0]));
  _mm512_storeu_si512(pairs + kLanes, (__m512i)_mm512_cvtne2ps_pbh(row[3], row[2]));
  const float factor = new_max == *max ? 1.0f : std::exp(*max - new_max);
  *max = new_max;
  *sum = *sum * factor + _mm512_reduce_add_ps(total);
  return factor;
}

SWAGE_PAIRS void AttendBlockHere(const QueryBlock& queries, const PairHead& keys, float* scratch) {
  const int64_t d = queries.head_dim, rows = (queries.rows + 3) / 4 * 4;
  float* sums = scratch;                   // [kQueryBlock, d]
  float* scores = sums + kQueryBlock * d;  // [kQueryBlock, kKeyBlock]
  auto* q = reinterpret_cast<uint32_t*>(scores + kQueryBlock * kKeyBlock);  // [kQueryBlock, d / 2]
  uint32_t* weights = q + kQueryBlock * d / 2;  // [kQueryBlock, kKeyBlock / 2]
  PairRunning running;
  std::fill_n(running.max, kQueryBlock, kUnseen);
  std::fill_n(running.sum, kQueryBlock, 0.0f);
  std::fill(sums, sums + rows * d, 0.0f);
  RowPairs(queries.rows, d, queries.q, queries.stride, queries.scale, q);
  const int64_t last = queries.begin + queries.rows;
  const int64_t first = std::max<int64_t>(0, queries.begin + 1 - queries.window);
  for (int64_t key = first / kKeyBlock * kKeyBlock; key < last; key += kKeyBlock) {
    PairProduct<false>(rows, kKeyBlock, d / 2, q, d / 2, keys.keys_down + key * d / 2, kKeyBlock,
                       false, scores, kKeyBlock);
    for (int64_t r = 0; r < rows; ++r) {
      float* row = scores + r * kKeyBlock;
      if (queries.softcap > 0) CapScores(queries.softcap, row);
      const int64_t after = queries.begin + r + 1 - key;
      const int64_t end = std::clamp<int64_t>(after, 0, kKeyBlock);
      const int64_t begin = std::clamp<int64_t>(after - queries.window, 0, kKeyBlock);
      const float factor = SoftenPairs(begin, end, row, &running.max[r], &running.sum[r],
                                       weights + r * kKeyBlock / 2);
      if (factor == 1.0f) continue;
      for (int64_t i = 0; i < d; i += kLanes) {
        float* at = sums + r * d + i;
        _mm512_storeu_ps(at, _mm512_mul_ps(_mm512_loadu_ps(at), Fill(factor)));
      }
    }
    const int64_t pairs = (std::min(kKeyBlock, last - key) + 1) / 2;
    PairProduct<false>(rows, d, pairs, weights, kKeyBlock / 2, keys.values_along + key / 2 * d, d,
                       true, sums, d);
  }
  for (int64_t r = 0; r < queries.rows; ++r) {
    const float factor = 1.0f / running.sum[r];
    for (int64_t i = 0; i < d; i += kLanes) {
      _mm512_storeu_ps(queries.out + r * queries.stride + i,
                       _mm512_mul_ps(_mm512_loadu_ps(sums + r * d + i), Fill(factor)));
    }
    if (queries.logsumexp != nullptr) {
      queries.logsumexp[r * queries.logsumexp_stride] = running.max[r] + std::log(running.sum[r]);
    }
  }
}

// What belongs to one block of queries in the gradient; rows beyond the last are zero.
struct PairTiles {
  float *dq, *weights, *grad;        // [kQueryBlock, d], [kQueryBlock, kKeyBlock] twice
  uint32_t *q, *d_out;               // [kQueryBlock, d / 2]
  uint32_t *q_paired, *out_paired;   // [kQueryBlock / 2, d]
  uint32_t *weights_paired;          // [kQueryBlock / 2, kKeyBlock]
  uint32_t *grad_paired, *grad_row;  // the same, and [kQueryBlock, kKeyBlock / 2]
  float norm[kQueryBlock], delta[kQueryBlock];
  int64_t begin, rows;
};

SWAGE_PAIRS_INLINE void LoadTile(const HeadGradient& head, PairTiles* tile) {
  const int64_t d = head.head_dim, at = tile->begin * head.stride;
  RowPairs(tile->rows, d, head.q + at, head.stride, head.scale, tile->q);
  PairedRows(tile->rows, d, head.q + at, head.stride, head.scale, tile->q_paired);
  RowPairs(tile->rows, d, head.d_out + at, head.stride, 1.0f, tile->d_out);
  PairedRows(tile->rows, d, head.d_out + at, head.stride, 1.0f, tile->out_paired);
  std::fill(tile->dq, tile->dq + kQueryBlock * d, 0.0f);
  std::fill_n(tile->norm, kQueryBlock, 0.0f);
  std::fill_n(tile->delta, kQueryBlock, 0.0f);
  for (int64_t r = 0; r < tile->rows; ++r) {
    const float *d_out = head.d_out + at + r * head.stride, *out = head.out + at + r * head.stride;
    V along = _mm512_setzero_ps();
    for (int64_t i = 0; i < d; i += kLanes) {
      along = _mm512_fmadd_ps(_mm512_loadu_ps(d_out + i), _mm512_loadu_ps(out + i), along);
    }
    tile->delta[r] = _mm512_reduce_add_ps(along);
    tile->norm[r] = head.logsumexp[(tile->begin + r) * head.logsumexp_stride];
  }
}

// One row: scores to weights, gradients of weights to those of scores.
SWAGE_PAIRS_INLINE void DifferentiateRow(const HeadGradient& head, int64_t key, int64_t r,
                                         PairTiles* tile) {
  float *weights = tile->weights + r * kKeyBlock, *grad = tile->grad + r * kKeyBlock;
  const int64_t after = tile->begin + r + 1 - key;
  const int64_t end = r < tile->rows ? std::clamp<int64_t>(after, 0, kKeyBlock) : 0;
  const int64_t first = std::clamp<int64_t>(after - head.window, 0, end);
  alignas(64) float slope[kKeyBlock];
  if (head.softcap > 0) {
    for (int64_t j = 0; j < kKeyBlock; ++j) {
      const float bent = std::tanh(weights[j] / head.softcap);
      weights[j] = head.softcap * bent;
      slope[j] = 1.0f - bent * bent;
    }
  }
  std::fill(weights, weights + first, kUnseen);
  std::fill(weights + end, weights + kKeyBlock, kUnseen);
  const V norm = Fill(tile->norm[r]), delta = Fill(tile->delta[r]);
  for (int64_t j = 0; j < kKeyBlock; j += kLanes) {
    const V weight = Power(_mm512_sub_ps(_mm512_loadu_ps(weights + j), norm));
    V change = _mm512_mul_ps(weight, _mm512_sub_ps(_mm512_loadu_ps(grad + j), delta));
    if (head.softcap > 0) change = _mm512_mul_ps(change, _mm512_load_ps(slope + j));
    _mm512_storeu_ps(weights + j, weight);
    _mm512_storeu_ps(grad + j, change);
  }
}

SWAGE_PAIRS_INLINE void BackwardPairs(const HeadGradient& head, const PairHead& keys, int64_t key,
                                      PairTiles* tile) {
  const int64_t d = head.head_dim, half = d / 2;
  const int64_t rows = (tile->rows + 3) / 4 * 4;
  PairProduct<false>(rows, kKeyBlock, half, tile->q, half, keys.keys_down + key * half, kKeyBlock,
                     false, tile->weights, kKeyBlock);
  PairProduct<false>(rows, kKeyBlock, half, tile->d_out, half, keys.values_down + key * half,
                     kKeyBlock, false, tile->grad, kKeyBlock);
  for (int64_t r = 0; r < rows; ++r) DifferentiateRow(head, key, r, tile);
  for (int64_t r = 0; r < rows; r += 2) {
    for (int64_t j = 0; j < kKeyBlock; j += kLanes) {
      const int64_t at = r * kKeyBlock + j, to = r / 2 * kKeyBlock + j;
      const auto pairs = [&](const float* x) SWAGE_PAIRS {
        return Pairs(_mm512_loadu_ps(x + at), _mm512_loadu_ps(x + at + kKeyBlock));
      };
      _mm512_storeu_si512(tile->weights_paired + to, pairs(tile->weights));
      _mm512_storeu_si512(tile->grad_paired + to, pairs(tile->grad));
    }
  }
  for (int64_t i = 0; i < rows * kKeyBlock; i += 2 * kLanes) {
    _mm512_storeu_si512(tile->grad_row + i / 2, Neighbours(tile->grad + i));
  }
  PairProduct<true>(kKeyBlock, d, rows / 2, tile->weights_paired, kKeyBlock, tile->out_paired, d,
                    true, head.dv + key * head.width, head.width);
  PairProduct<true>(kKeyBlock, d, rows / 2, tile->grad_paired, kKeyBlock, tile->q_paired, d, true,
                    head.dk + key * head.width, head.width);
  PairProduct<false>(rows, d, kKeyBlock / 2, tile->grad_row, kKeyBlock / 2,
                     keys.keys_along + key / 2 * d, d, true, tile->dq, d);
}

SWAGE_PAIRS void AttendBackwardHere(const HeadGradient& head, const PairHead& keys,
                                    float* scratch) {
  const int64_t d = head.head_dim, half = kQueryBlock * d / 2;
  PairTiles tile;
  tile.dq = scratch;
  tile.weights = tile.dq + kQueryBlock * d;
  tile.grad = tile.weights + kQueryBlock * kKeyBlock;
  tile.q = reinterpret_cast<uint32_t*>(tile.grad + kQueryBlock * kKeyBlock);
  tile.d_out = tile.q + half;
  tile.q_paired = tile.d_out + half;
  tile.out_paired = tile.q_paired + half;
  tile.weights_paired = tile.out_paired + half;
  tile.grad_paired = tile.weights_paired + kQueryBlock * kKeyBlock / 2;
  tile.grad_row = tile.grad_paired + kQueryBlock * kKeyBlock / 2;
  for (tile.begin = 0; tile.begin < head.tokens; tile.begin += kQueryBlock) {
    tile.rows = std::min(kQueryBlock, head.tokens - tile.begin);
    LoadTile(head, &tile);
    const int64_t last = tile.begin + tile.rows;
    const int64_t seen = std::max<int64_t>(0, tile.begin + 1 - head.window);
    for (int64_t key = seen / kKeyBlock * kKeyBlock; key < last; key += kKeyBlock) {
      BackwardPairs(head, keys, key, &tile);
    }
    for (int64_t r = 0; r < tile.rows; ++r) {
      float* dq = head.dq + (tile.begin + r) * head.stride;
      for (int64_t i = 0; i < d; ++i) dq[i] = tile.dq[r * d + i] * head.scale;
    }
  }
}

SWAGE_PAIRS void PackDownHere(int64_t tokens, int64_t d, const float* x, int64_t stride,
                              uint32_t* y) {
  alignas(64) uint32_t row[512];
  const int64_t blocks = (tokens + kKeyBlock - 1) / kKeyBlock;
  std::fill(y, y + blocks * kKeyBlock * d / 2, 0u);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t i = 0; i < d; i += 2 * kLanes) {
      _mm512_store_si512(row + i / 2, Neighbours(x + t * stride + i));
    }
    uint32_t* to = y + t / kKeyBlock * kKeyBlock * d / 2 + t % kKeyBlock;
    for (int64_t i = 0; i < d / 2; ++i) to[i * kKeyBlock] = row[i];
  }
}

SWAGE_PAIRS void PackAlongHere(int64_t tokens, int64_t d, const float* x, int64_t stride,
                               uint32_t* y) {
  const int64_t rows = (tokens + kKeyBlock - 1) / kKeyBlock * kKeyBlock;
  const V zero = _mm512_setzero_ps();
  for (int64_t t = 0; t < rows; t += 2) {
    for (int64_t i = 0; i < d; i += kLanes) {
      const V a = t < tokens ? _mm512_loadu_ps(x + t * stride + i) : zero;
      const V b = t + 1 < tokens ? _mm512_loadu_ps(x + (t + 1) * stride + i) : zero;
      _mm512_storeu_si512(y + t / 2 * d + i, Pairs(a, b));
    }
  }
}

}  // namespace

bool AttentionRunsBf16(int64_t head_dim) {
  return head_dim % (4 * kLanes) == 0 && head_dim <= 1024 && Gemm::RunsBf16() &&
         __builtin_cpu_supports("avx512bf16");
}

void PackPairsDown(int64_t tokens, int64_t head_dim, const float* x, int64_t stride, uint32_t* y) {
  PackDownHere(tokens, head_dim, x, stride, y);
}
void PackPairsAlong(int64_t tokens, int64_t head_dim, const float* x, int64_t stride, uint32_t* y) {
  PackAlongHere(tokens, head_dim, x, stride, y);
}
void AttendBlockPairs(const QueryBlock& queries, const PairHead& keys, float* scratch) {
  AttendBlockHere(queries, keys, scratch);
}
void AttendBackwardPairs(const HeadGradient& head, const PairHead& keys, float* scratch) {
  AttendBackwardHere(head, keys, scratch);
}

}  // namespace swage::cpu

#else

namespace swage::cpu {

bool AttentionRunsBf16(int64_t) { return false; }
void PackPairsDown(int64_t, int64_t, const float*, int64_t, uint32_t*) {}
void PackPairsAlong(int64_t, int64_t, const float*, int64_t, uint32_t*) {}
void AttendBlockPairs(const QueryBlock&, const PairHead&, float*) {}
void AttendBackwardPairs(const HeadGradient&, const PairHead&, float*) {}

}  // namespace swage::cpu

#endif

namespace swage::cpu {

int64_t AttendPairsScratchFloats(int64_t head_dim) {
  return kQueryBlock * (head_dim + kKeyBlock + head_dim / 2 + kKeyBlock / 2);
}
int64_t AttendBackwardPairsScratchFloats(int64_t head_dim) {
  return kQueryBlock * (3 * head_dim + 4 * kKeyBlock);
}

}  // namespace swage::cpu
