// The gradient of causal attention of one head: weights are computed anew from the saved logarithms
// of their sums, kQueryBlock x kKeyBlock at a time (FlashAttention-2, arXiv 2307.08691, algorithm 2,
// with queries outside).
#include <algorithm>

#include "kernels/cpu/simd_families.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd_attention_grad.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"
#include "kernels/cpu/product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace swage::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr float kHidden = -1e30f;  // its exponential is 0

// What belongs to one block of queries; rows beyond the last are zero.
struct QueryTile {
  float *q, *d_out;       // [kQueryBlock, width]; q is scaled
  float* dq;              // [kQueryBlock, width]
  float *weights, *grad;  // [kQueryBlock, kKeyBlock]
  float norm[kQueryBlock], delta[kQueryBlock];
  int64_t begin, rows, padded;
};

HWY_INLINE void LoadQueries(const HeadGradient& head, QueryTile* tile) {
  const int64_t width = head.width, size = kQueryBlock * width;
  std::fill(tile->q, tile->q + size, 0.0f);
  std::fill(tile->d_out, tile->d_out + size, 0.0f);
  std::fill(tile->dq, tile->dq + size, 0.0f);
  std::fill(tile->norm, tile->norm + kQueryBlock, 0.0f);
  std::fill(tile->delta, tile->delta + kQueryBlock, 0.0f);
  for (int64_t r = 0; r < tile->rows; ++r) {
    const int64_t at = (tile->begin + r) * head.stride;
    double delta = 0;
    for (int64_t i = 0; i < head.head_dim; ++i) {
      tile->q[r * width + i] = head.q[at + i] * head.scale;
      tile->d_out[r * width + i] = head.d_out[at + i];
      delta += static_cast<double>(head.d_out[at + i]) * head.out[at + i];
    }
    tile->delta[r] = static_cast<float>(delta);
    tile->norm[r] = head.logsumexp[(tile->begin + r) * head.logsumexp_stride];
  }
}

// Scores become weights, and their gradients: weights * (d_weights - delta), times the slope of the
// soft cap.
HWY_INLINE void Differentiate(const HeadGradient& head, int64_t key, QueryTile* tile) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  const VF one = hn::Set(df, 1.0f), cap = hn::Set(df, head.softcap);
  HWY_ALIGN float slope[kKeyBlock];
  std::fill(slope, slope + kKeyBlock, 1.0f);
  for (int64_t r = 0; r < tile->padded; ++r) {
    float *weights = tile->weights + r * kKeyBlock, *grad = tile->grad + r * kKeyBlock;
    const int64_t after = tile->begin + r + 1 - key;  // the first key that is not seen
    const int64_t visible = r < tile->rows ? std::clamp<int64_t>(after, 0, kKeyBlock) : 0;
    const int64_t first = std::clamp<int64_t>(after - head.window, 0, visible);
    const VF norm = hn::Set(df, tile->norm[r]), delta = hn::Set(df, tile->delta[r]);
    if (head.softcap > 0) {
      for (int64_t j = 0; j < kKeyBlock; j += lanes) {
        const VF bent = hn::Tanh(df, hn::Div(hn::LoadU(df, weights + j), cap));
        hn::StoreU(hn::Mul(cap, bent), df, weights + j);
        hn::Store(hn::Sub(one, hn::Mul(bent, bent)), df, slope + j);
      }
    }
    std::fill(weights, weights + first, kHidden);
    std::fill(weights + visible, weights + kKeyBlock, kHidden);
    for (int64_t j = 0; j < kKeyBlock; j += lanes) {
      const VF weight = hn::Exp(df, hn::Sub(hn::LoadU(df, weights + j), norm));
      hn::StoreU(weight, df, weights + j);
      const VF change = hn::Mul(weight, hn::Sub(hn::LoadU(df, grad + j), delta));
      hn::StoreU(hn::Mul(change, hn::Load(df, slope + j)), df, grad + j);
    }
  }
}

HWY_INLINE void BackwardTile(const HeadGradient& head, int64_t key, QueryTile* tile) {
  const int64_t width = head.width, rows = tile->padded, d = head.head_dim;
  Product(rows, kKeyBlock, d, tile->q, width, head.keys_down + key * d, kKeyBlock, false,
          tile->weights, kKeyBlock);
  Product(rows, kKeyBlock, d, tile->d_out, width, head.values_down + key * d, kKeyBlock, false,
          tile->grad, kKeyBlock);
  Differentiate(head, key, tile);
  Product<true>(kKeyBlock, width, rows, tile->weights, kKeyBlock, tile->d_out, width, true,
                head.dv + key * width, width);
  Product<true>(kKeyBlock, width, rows, tile->grad, kKeyBlock, tile->q, width, true,
                head.dk + key * width, width);
  Product(rows, width, kKeyBlock, tile->grad, kKeyBlock, head.keys + key * width, width, true,
          tile->dq, width);
}

void AttendBackward(const HeadGradient& head, float* scratch) {
  QueryTile tile;
  const int64_t size = kQueryBlock * head.width;
  tile.q = scratch;
  tile.d_out = tile.q + size;
  tile.dq = tile.d_out + size;
  tile.weights = tile.dq + size;
  tile.grad = tile.weights + kQueryBlock * kKeyBlock;
  for (tile.begin = 0; tile.begin < head.tokens; tile.begin += kQueryBlock) {
    tile.rows = std::min(kQueryBlock, head.tokens - tile.begin);
    tile.padded = (tile.rows + 3) / 4 * 4;
    LoadQueries(head, &tile);
    const int64_t last = tile.begin + tile.rows;
    const int64_t seen = std::max<int64_t>(0, tile.begin + 1 - head.window);
    for (int64_t key = seen / kKeyBlock * kKeyBlock; key < last; key += kKeyBlock) {
      BackwardTile(head, key, &tile);
    }
    for (int64_t r = 0; r < tile.rows; ++r) {
      float* dq = head.dq + (tile.begin + r) * head.stride;
      for (int64_t i = 0; i < head.head_dim; ++i) dq[i] = tile.dq[r * head.width + i] * head.scale;
    }
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace swage::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace swage::cpu {

HWY_EXPORT(AttendBackward);

int64_t AttendBackwardScratchFloats(int64_t width) {
  return kQueryBlock * (3 * width + 2 * kKeyBlock);
}

void AttendBackward(const HeadGradient& head, float* scratch) {
  HWY_DYNAMIC_DISPATCH(AttendBackward)(head, scratch);
}

}  // namespace swage::cpu
#endif  // HWY_ONCE
