// The fast Walsh-Hadamard transform (log2(n) passes of sums and differences) and the product with a
// small matrix that other orders need.
#include <algorithm>

#include "kernels/cpu/simd_families.h"
#include "kernels/numeric/hadamard.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd_hadamard.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace swage::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using Float = hn::CappedTag<float, kStripPad>;
using VF = hn::Vec<Float>;

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE VF LaneStages(int64_t, VF x) { return x; }  // one lane has no partners
#else
// Partner lanes `kDistance` apart: the lower one becomes the sum, the upper one the difference.
template <int kDistance>
HWY_INLINE VF LaneStage(VF x) {
  const Float df;
  const auto lane = hn::Iota(hn::RebindToSigned<Float>(), 0);
  const auto bit = hn::And(lane, hn::Set(hn::RebindToSigned<Float>(), kDistance));
  // Moves the bit into the sign.
  constexpr int kShift = kDistance == 1 ? 31 : kDistance == 2 ? 30 : kDistance == 4 ? 29 : 28;
  const VF signs = hn::BitCast(df, hn::ShiftLeft<kShift>(bit));
  VF partner = x;
  if constexpr (kDistance == 1) {
    partner = hn::Shuffle2301(x);
  } else if constexpr (kDistance == 2) {
    partner = hn::Shuffle1032(x);
  } else if constexpr (2 * kDistance == hn::MaxLanes(Float())) {
    partner = hn::ConcatLowerUpper(df, x, x);
  } else {
    partner = hn::SwapAdjacentBlocks(x);
  }
  return hn::Add(partner, hn::Xor(x, signs));
}

// All stages within a vector for blocks of `block` lanes (or more).
HWY_INLINE VF LaneStages(int64_t block, VF x) {
  constexpr int64_t kLanes = hn::MaxLanes(Float());
  if (block > 1) x = LaneStage<1>(x);
  if (block > 2) x = LaneStage<2>(x);
  if constexpr (kLanes > 4) {
    if (block > 4) x = LaneStage<4>(x);
  }
  if constexpr (kLanes > 8) {
    if (block > 8) x = LaneStage<8>(x);
  }
  return x;
}
#endif  // HWY_TARGET == HWY_SCALAR

// Stages at distances 1 .. kVectors/2 vectors, in registers.
template <int kVectors>
HWY_INLINE void VectorStages(VF* v) {
  for (int distance = 1; distance < kVectors; distance *= 2) {
    for (int i = 0; i < kVectors; ++i) {
      if ((i & distance) != 0) continue;
      const VF a = v[i], b = v[i + distance];
      v[i] = hn::Add(a, b);
      v[i + distance] = hn::Sub(a, b);
    }
  }
}

// A whole block of kVectors vectors.
template <int kVectors>
HWY_INLINE void BlockInRegisters(float* x) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  VF v[kVectors];
  for (int i = 0; i < kVectors; ++i) v[i] = LaneStages(kStripPad, hn::LoadU(df, x + i * lanes));
  VectorStages<kVectors>(v);
  for (int i = 0; i < kVectors; ++i) hn::StoreU(v[i], df, x + i * lanes);
}

// kArms runs, `stride` apart, of `count` values each.
template <int kArms>
HWY_INLINE void CrossRuns(int64_t count, int64_t stride, float* x) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  for (int64_t i = 0; i < count; i += lanes) {
    VF v[kArms];
    for (int arm = 0; arm < kArms; ++arm) v[arm] = hn::LoadU(df, x + i + arm * stride);
    VectorStages<kArms>(v);
    for (int arm = 0; arm < kArms; ++arm) hn::StoreU(v[arm], df, x + i + arm * stride);
  }
}

// The stages at distances stride, 2 * stride, ... < n; stride is a multiple of the vector.
void StagesFrom(int64_t n, int64_t stride, float* x) {
  while (stride < n) {
    const int64_t arms = std::min<int64_t>(8, n / stride);
    for (int64_t at = 0; at < n; at += arms * stride) {
      if (arms == 8) {
        CrossRuns<8>(stride, stride, x + at);
      } else if (arms == 4) {
        CrossRuns<4>(stride, stride, x + at);
      } else {
        CrossRuns<2>(stride, stride, x + at);
      }
    }
    stride *= arms;
  }
}

void ScalarBlock(int64_t block, float* x) {
  for (int64_t distance = 1; distance < block; distance *= 2) {
    for (int64_t i = 0; i < block; ++i) {
      if ((i & distance) != 0) continue;
      const float a = x[i], b = x[i + distance];
      x[i] = a + b;
      x[i + distance] = a - b;
    }
  }
}

void HadamardRun(int64_t n, int64_t block, float* x) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  if (block <= lanes) {
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) {
      hn::StoreU(LaneStages(block, hn::LoadU(df, x + i)), df, x + i);
    }
    for (; i < n; i += block) ScalarBlock(block, x + i);
    return;
  }
  const int64_t vectors = std::min<int64_t>(8, block / lanes);
  for (int64_t begin = 0; begin < n; begin += block) {
    float* const run = x + begin;
    for (int64_t i = 0; i < block; i += vectors * lanes) {
      if (vectors == 8) {
        BlockInRegisters<8>(run + i);
      } else if (vectors == 4) {
        BlockInRegisters<4>(run + i);
      } else {
        BlockInRegisters<2>(run + i);
      }
    }
    StagesFrom(block, vectors * lanes, run);
  }
}

void HadamardStrip(int64_t order, int64_t width, float* x) { StagesFrom(order * width, width, x); }

// Four rows of the product at a time share the loads of what they sum up.
HWY_INLINE void MixVector(int64_t base, int64_t inner, const float* matrix, const float* in,
                          float* x) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  for (int64_t i = 0; i < base; i += 4) {
    VF sum[4] = {hn::Zero(df), hn::Zero(df), hn::Zero(df), hn::Zero(df)};
    const float* rows = matrix + i * base;
    for (int64_t j = 0; j < base; ++j) {
      const VF value = hn::Load(df, in + j * lanes);
      for (int r = 0; r < 4; ++r) {
        sum[r] = hn::MulAdd(hn::Set(df, rows[r * base + j]), value, sum[r]);
      }
    }
    for (int r = 0; r < 4; ++r) hn::StoreU(sum[r], df, x + (i + r) * inner);
  }
}

// What is left of x [base, inner] from column `at` on.
void MixLastColumns(int64_t base, int64_t inner, const float* matrix, int64_t at, float* x) {
  float in[kMaxPaleyOrder];
  for (; at < inner; ++at) {
    for (int64_t j = 0; j < base; ++j) in[j] = x[j * inner + at];
    for (int64_t i = 0; i < base; ++i) {
      float sum = 0;
      for (int64_t j = 0; j < base; ++j) sum += matrix[i * base + j] * in[j];
      x[i * inner + at] = sum;
    }
  }
}

void MixRows(int64_t base, int64_t inner, const float* matrix, float* x) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  HWY_ALIGN float in[kMaxPaleyOrder * kStripPad];
  int64_t at = 0;
  for (; at + lanes <= inner; at += lanes) {
    for (int64_t j = 0; j < base; ++j) {
      hn::Store(hn::LoadU(df, x + j * inner + at), df, in + j * lanes);
    }
    MixVector(base, inner, matrix, in, x + at);
  }
  MixLastColumns(base, inner, matrix, at, x);
}

// Rows 2i and 2i + 1: sums of +-(a + b), to which a - b of their own pair comes, and of +-(a - b),
// from which its a + b goes. Two pairs of rows at a time: the number of pairs is even.
HWY_INLINE void MixPairedVector(int64_t base, int64_t inner, const float* matrix, const float* in,
                                float* x) {
  const Float df;
  const int64_t lanes = hn::Lanes(df), pairs = base / 2;
  const float* differences = in + pairs * lanes;
  for (int64_t i = 0; i < pairs; i += 2) {
    VF even[2], odd[2];
    for (int r = 0; r < 2; ++r) {
      even[r] = hn::Load(df, differences + (i + r) * lanes);
      odd[r] = hn::Neg(hn::Load(df, in + (i + r) * lanes));
    }
    for (int64_t j = 0; j < pairs; ++j) {
      const VF sum = hn::Load(df, in + j * lanes), difference = hn::Load(df, differences + j * lanes);
      for (int r = 0; r < 2; ++r) {
        if (j == i + r) continue;
        const VF entry = hn::Set(df, matrix[2 * (i + r) * base + 2 * j]);
        even[r] = hn::MulAdd(entry, sum, even[r]);
        odd[r] = hn::MulAdd(entry, difference, odd[r]);
      }
    }
    for (int r = 0; r < 2; ++r) {
      hn::StoreU(even[r], df, x + 2 * (i + r) * inner);
      hn::StoreU(odd[r], df, x + (2 * (i + r) + 1) * inner);
    }
  }
}

void MixPairedRows(int64_t base, int64_t inner, const float* matrix, float* x) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  HWY_ALIGN float in[kMaxPaleyOrder * kStripPad];  // sums of pairs, then their differences
  int64_t at = 0;
  for (; at + lanes <= inner; at += lanes) {
    for (int64_t j = 0; j < base / 2; ++j) {
      const VF a = hn::LoadU(df, x + 2 * j * inner + at);
      const VF b = hn::LoadU(df, x + (2 * j + 1) * inner + at);
      hn::Store(hn::Add(a, b), df, in + j * lanes);
      hn::Store(hn::Sub(a, b), df, in + (base / 2 + j) * lanes);
    }
    MixPairedVector(base, inner, matrix, in, x + at);
  }
  MixLastColumns(base, inner, matrix, at, x);
}

void TimesEachRun(int64_t n, const float* factors, float* x) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::Mul(hn::LoadU(df, x + i), hn::LoadU(df, factors + i)), df, x + i);
  }
  for (; i < n; ++i) x[i] *= factors[i];
}

void TimesRun(int64_t n, float factor, const float* x, float* y) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  const VF factors = hn::Set(df, factor);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::Mul(hn::LoadU(df, x + i), factors), df, y + i);
  }
  for (; i < n; ++i) y[i] = x[i] * factor;
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace swage::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace swage::cpu {

HWY_EXPORT(HadamardRun);
HWY_EXPORT(HadamardStrip);
HWY_EXPORT(MixRows);
HWY_EXPORT(MixPairedRows);
HWY_EXPORT(TimesEachRun);
HWY_EXPORT(TimesRun);

void HadamardRun(int64_t n, int64_t block, float* x) {
  HWY_DYNAMIC_DISPATCH(HadamardRun)(n, block, x);
}
void HadamardStrip(int64_t order, int64_t width, float* x) {
  HWY_DYNAMIC_DISPATCH(HadamardStrip)(order, width, x);
}
void MixRows(int64_t base, int64_t inner, const float* matrix, float* x) {
  HWY_DYNAMIC_DISPATCH(MixRows)(base, inner, matrix, x);
}
void TimesEachRun(int64_t n, const float* factors, float* x) {
  HWY_DYNAMIC_DISPATCH(TimesEachRun)(n, factors, x);
}
void TimesRun(int64_t n, float factor, const float* x, float* y) {
  HWY_DYNAMIC_DISPATCH(TimesRun)(n, factor, x, y);
}
void MixPairedRows(int64_t base, int64_t inner, const float* matrix, float* x) {
  HWY_DYNAMIC_DISPATCH(MixPairedRows)(base, inner, matrix, x);
}

}  // namespace swage::cpu
#endif  // HWY_ONCE
