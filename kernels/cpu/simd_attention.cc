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
#include "kernels/cpu/product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace swage::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr float kMasked = -1e30f;

struct Running {
  float max = kMasked;
  float sum = 0;
};

HWY_INLINE void CapRow(float cap, float* scores) {
  const Float df;
  const VF limit = hn::Set(df, cap), inverse = hn::Set(df, 1.0f / cap);
  for (int64_t j = 0; j < kKeyBlock; j += hn::Lanes(df)) {
    const VF capped = hn::Tanh(df, hn::Mul(hn::LoadU(df, scores + j), inverse));
    hn::StoreU(hn::Mul(capped, limit), df, scores + j);
  }
}

// Turns one row of scores, of which [begin, end) are seen, into weights relative to the new
// maximum; returns what earlier sums are multiplied by.
HWY_INLINE float SoftenRow(int64_t begin, int64_t end, float* scores, Running* running) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  if (begin >= end) {  // nothing yet: masked scores must not pass for a maximum
    std::fill(scores, scores + kKeyBlock, 0.0f);
    return 1.0f;
  }
  for (int64_t j = 0; j < begin; ++j) scores[j] = kMasked;
  for (int64_t j = end; j < kKeyBlock; ++j) scores[j] = kMasked;
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
  const float factor = new_max == running->max ? 1.0f : std::exp(running->max - new_max);
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
  // The first key that the first row sees.
  const int64_t first = std::max<int64_t>(0, queries.begin + 1 - queries.window);
  for (int64_t key = first / kKeyBlock * kKeyBlock; key < last; key += kKeyBlock) {
    Product(rows, kKeyBlock, d, q, d, keys.k + key * d, kKeyBlock, false, scores, kKeyBlock);
    for (int64_t r = 0; r < rows; ++r) {
      float* row = scores + r * kKeyBlock;
      if (queries.softcap > 0) CapRow(queries.softcap, row);
      const int64_t end = std::clamp<int64_t>(queries.begin + r + 1 - key, 0, kKeyBlock);
      const int64_t begin =
          std::clamp<int64_t>(queries.begin + r + 1 - queries.window - key, 0, kKeyBlock);
      const float factor = SoftenRow(begin, end, row, &running[r]);
      if (factor != 1.0f) ScaleRow(width, factor, sums + r * width);
    }
    Product(rows, width, std::min(kKeyBlock, last - key), scores, kKeyBlock, keys.v + key * width,
            width, true, sums, width);
  }
  for (int64_t r = 0; r < queries.rows; ++r) {
    const float factor = 1.0f / running[r].sum;
    for (int64_t i = 0; i < d; ++i)
      queries.out[r * queries.stride + i] = sums[r * width + i] * factor;
    if (queries.logsumexp != nullptr) {
      queries.logsumexp[r * queries.logsumexp_stride] = running[r].max + std::log(running[r].sum);
    }
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
