// Products of small tiles in registers, of which attention and its gradient are made. Included once
// per instruction set by the simd_*.cc files (Highway's foreach_target), hence the toggling guard.
#if defined(SWAGE_KERNELS_CPU_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SWAGE_KERNELS_CPU_PRODUCT_INL_H_
#undef SWAGE_KERNELS_CPU_PRODUCT_INL_H_
#else
#define SWAGE_KERNELS_CPU_PRODUCT_INL_H_
#endif

#include "hwy/highway.h"
#include "kernels/cpu/simd.h"

HWY_BEFORE_NAMESPACE();
namespace swage::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
// At most kLanePad lanes, so that padded rows are whole vectors on every instruction set.
using Float = hn::CappedTag<float, kLanePad>;
using VF = hn::Vec<Float>;

// c[4 rows, kVectors vectors] = a[4, k] * b[k, ...], added to c when `add`; kDown: a is stored
// [k, 4].
template <int kVectors, bool kDown>
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
      const VF value = hn::Set(df, kDown ? a[i * a_stride + r] : a[r * a_stride + i]);
      for (int j = 0; j < kVectors; ++j) sum[r][j] = hn::MulAdd(value, row[j], sum[r][j]);
    }
  }
  for (int r = 0; r < 4; ++r) {
    for (int j = 0; j < kVectors; ++j) hn::StoreU(sum[r][j], df, c + r * c_stride + j * lanes);
  }
}

// rows is a multiple of 4, columns of kLanePad. kDown: a is stored [k, rows].
template <bool kDown = false>
HWY_INLINE void Product(int64_t rows, int64_t columns, int64_t k, const float* a, int64_t a_stride,
                        const float* b, int64_t b_stride, bool add, float* c, int64_t c_stride) {
  // As many accumulators as the registers hold: 16 of 32 with AVX-512 and NEON, 8 of 16 with AVX2.
  constexpr int kWide = HWY_TARGET == HWY_AVX2 ? 2 : 4;
  const int64_t lanes = hn::Lanes(Float());
  for (int64_t r = 0; r < rows; r += 4) {
    const float* first = kDown ? a + r : a + r * a_stride;
    int64_t j = 0;
    for (; j + kWide * lanes <= columns; j += kWide * lanes) {
      Tile<kWide, kDown>(k, first, a_stride, b + j, b_stride, add, c + r * c_stride + j, c_stride);
    }
    for (; j < columns; j += lanes) {
      Tile<1, kDown>(k, first, a_stride, b + j, b_stride, add, c + r * c_stride + j, c_stride);
    }
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace swage::cpu
HWY_AFTER_NAMESPACE();

#endif  // toggling guard
