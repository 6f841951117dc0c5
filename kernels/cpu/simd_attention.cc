// Causal attention of one block of queries, key block by key block with a running maximum and sum
// (online softmax, as in FlashAttention, arXiv 2205.14135): scores of at most kQueryBlock x
// kKeyBlock exist at a time.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd_attention.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace swage::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
// At most kLanePad lanes, so that padded rows are whole vectors on every instruction set.
using Float = hn::CappedTag<float, kLanePad>;
using VF = hn::Vec<Float>;

constexpr float kMasked = -1e30f;

// c[4 rows, kVectors vectors] = a[4, k] * b[k, ...], added to c when `add`.
template <int kVectors>
HWY_INLINE void Tile(int64_t k, const float* a, int64_t a_stride, const float* b, int64_t b_stride,
                     bool add, float* c, int64_t c_stride) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  VF sum[4][kVectors];
  for (int r = 0; r < 4; ++r) {
    for (int j = 0; j < kVectors; ++j) {
      sum[r][j] = add ? hn::LoadU(df, c + r * c_stride + j * lanes) : hn::Zero(df);
    }
  }
  for (int64_t i = 0; i < k; ++i) {
    VF row[kVectors];
    for (int j = 0; j < kVectors; ++j) row[j] = hn::LoadU(df, b + i * b_stride + j * lanes);
    for (int r = 0; r < 4; ++r) {
      const VF value = hn::Set(df, a[r * a_stride + i]);
      for (int j = 0; j < kVectors; ++j) sum[r][j] = hn::MulAdd(value, row[j], sum[r][j]);
    }
  }
  for (int r = 0; r < 4; ++r) {
    for (int j = 0; j < kVectors; ++j) hn::StoreU(sum[r][j], df, c + r * c_stride + j * lanes);
  }
}

// rows is a multiple of 4, columns of kLanePad.
HWY_INLINE void Product(int64_t rows, int64_t columns, int64_t k, const float* a, int64_t a_stride,
                        const float* b, int64_t b_stride, bool add, float* c, int64_t c_stride) {
  // As many accumulators as the registers hold: 16 of 32 with AVX-512 and NEON, 8 of 16 with AVX2.
  constexpr int kWide = HWY_TARGET == HWY_AVX2 ? 2 : 4;
  const int64_t lanes = hn::Lanes(Float());
  for (int64_t r = 0; r < rows; r += 4) {
    int64_t j = 0;
    for (; j + kWide * lanes <= columns; j += kWide * lanes) {
      Tile<kWide>(k, a + r * a_stride, a_stride, b + j, b_stride, add, c + r * c_stride + j,
                  c_stride);
    }
    for (; j < columns; j += lanes) {
      Tile<1>(k, a + r * a_stride, a_stride, b + j, b_stride, add, c + r * c_stride + j, c_stride);
    }
  }
}

struct Running {
  float max = kMasked;
  float sum = 0;
};

// Turns one row of scores into weights relative to the new maximum; returns what earlier sums are
// multiplied by.
HWY_INLINE float SoftenRow(int64_t visible, float* scores, Running* running) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  for (int64_t j = visible; j < kKeyBlock; ++j) scores[j] = kMasked;
  VF max = hn::Set(df, running->max);
  for (int64_t j = 0; j < kKeyBlock; j += lanes) max = hn::Max(max, hn::LoadU(df, scores + j));
  const float new_max = hn::GetLane(hn::MaxOfLanes(df, max));
  const VF shift = hn::Set(df, new_max);
  VF sum = hn::Zero(df);
  for (int64_t j = 0; j < kKeyBlock; j += lanes) {
    const VF weight = hn::Exp(df, hn::Sub(hn::LoadU(df, scores + j), shift));
    sum = hn::Add(sum, weight);
    hn::StoreU(weight, df, scores + j);
  }
  const float factor = std::exp(running->max - new_max);
  running->max = new_max;
  running->sum = running->sum * factor + hn::GetLane(hn::SumOfLanes(df, sum));
  return factor;
}

HWY_INLINE void ScaleRow(int64_t n, float factor, float* row) {
  const Float df;
  const VF vector_factor = hn::Set(df, factor);
  for (int64_t j = 0; j < n; j += hn::Lanes(df)) {
    hn::StoreU(hn::Mul(hn::LoadU(df, row + j), vector_factor), df, row + j);
  }
}

void AttendBlock(const QueryBlock& queries, const HeadKeys& keys, float* scratch) {
  const int64_t d = queries.head_dim, width = keys.value_width;
  const int64_t rows = (queries.rows + 3) / 4 * 4;
  float* q = scratch;                          // [rows, d], scaled; rows beyond the last are zero
  float* sums = q + kQueryBlock * d;           // [rows, width]
  float* scores = sums + kQueryBlock * width;  // [rows, kKeyBlock]
  Running running[kQueryBlock];
  std::fill(sums, sums + rows * width, 0.0f);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < d; ++i) {
      q[r * d + i] = r < queries.rows ? queries.q[r * queries.stride + i] * queries.scale : 0.0f;
    }
  }
  const int64_t last = queries.begin + queries.rows;
  for (int64_t key = 0; key < last; key += kKeyBlock) {
    Product(rows, kKeyBlock, d, q, d, keys.k + key, keys.key_stride, false, scores, kKeyBlock);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t visible = std::clamp<int64_t>(queries.begin + r + 1 - key, 0, kKeyBlock);
      const float factor = SoftenRow(visible, scores + r * kKeyBlock, &running[r]);
      if (factor != 1.0f) ScaleRow(width, factor, sums + r * width);
    }
    Product(rows, width, std::min(kKeyBlock, last - key), scores, kKeyBlock, keys.v + key * width,
            width, true, sums, width);
  }
  for (int64_t r = 0; r < queries.rows; ++r) {
    const float factor = 1.0f / running[r].sum;
    for (int64_t i = 0; i < d; ++i)
      queries.out[r * queries.stride + i] = sums[r * width + i] * factor;
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace swage::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace swage::cpu {

HWY_EXPORT(AttendBlock);

int64_t AttendScratchFloats(int64_t head_dim) {
  const int64_t width = (head_dim + kLanePad - 1) / kLanePad * kLanePad;
  return kQueryBlock * (head_dim + width + kKeyBlock);
}

void AttendBlock(const QueryBlock& queries, const HeadKeys& keys, float* scratch) {
  HWY_DYNAMIC_DISPATCH(AttendBlock)(queries, keys, scratch);
}

}  // namespace swage::cpu
#endif  // HWY_ONCE
