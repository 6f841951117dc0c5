#include <algorithm>
#include <cmath>

#include "kernels/cpu/simd.h"
#include "kernels/numeric/fp8_e4m3.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd_quantize.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/formats-inl.h"

HWY_BEFORE_NAMESPACE();
namespace swage::cpu {
namespace HWY_NAMESPACE {

using SignedByte = hn::Rebind<int8_t, Float>;
using Byte = hn::Rebind<uint8_t, Float>;

MinMax RangeOf(int64_t n, const float* x) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  // Four chains, so that the loads and not the latency of min and max set the speed.
  VF min0 = hn::Zero(df), min1 = min0, max0 = min0, max1 = min0;
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    const VF a = hn::LoadU(df, x + i), b = hn::LoadU(df, x + i + lanes);
    min0 = hn::Min(min0, a);
    min1 = hn::Min(min1, b);
    max0 = hn::Max(max0, a);
    max1 = hn::Max(max1, b);
  }
  MinMax range;
  range.min = hn::GetLane(hn::MinOfLanes(df, hn::Min(min0, min1)));
  range.max = hn::GetLane(hn::MaxOfLanes(df, hn::Max(max0, max1)));
  for (; i < n; ++i) {
    range.min = std::min(range.min, x[i]);
    range.max = std::max(range.max, x[i]);
  }
  return range;
}

void QuantizeIntRun(int64_t n, const float* w, float scale, float zero, IntGrid grid,
                    int8_t* codes) {
  const Float df;
  const SignedByte db;
  const int64_t lanes = hn::Lanes(df);
  const VF vector_scale = hn::Set(df, scale);
  const VF vector_zero = hn::Set(df, zero);
  const VectorGrid vector_grid = VectorGridOf(grid);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VI code = EncodeInt(hn::LoadU(df, w + i), vector_scale, vector_zero, vector_grid);
    hn::StoreU(hn::DemoteTo(db, code), db, codes + i);
  }
  for (; i < n; ++i) codes[i] = QuantizeInt(w[i], scale, zero, grid);
}

HWY_INLINE float AbsMaxOf(int64_t n, const float* x) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  VF max0 = hn::Zero(df), max1 = max0;
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    max0 = hn::Max(max0, hn::Abs(hn::LoadU(df, x + i)));
    max1 = hn::Max(max1, hn::Abs(hn::LoadU(df, x + i + lanes)));
  }
  float max = hn::GetLane(hn::MaxOfLanes(df, hn::Max(max0, max1)));
  for (; i < n; ++i) max = std::max(max, std::fabs(x[i]));
  return max;
}

// Scales first, for several groups of together about this many weights: their reductions and
// divisions overlap, and the groups are still in the first-level cache when they are encoded.
constexpr int64_t kBatchWeights = 2048;

void QuantizeIntGroups(int64_t groups, int64_t group, const float* w, IntGrid grid, float* scales,
                       int8_t* zeros, int8_t* codes) {
  const int64_t batch = std::max<int64_t>(1, kBatchWeights / group);
  for (int64_t first = 0; first < groups; first += batch) {
    const int64_t last = std::min(groups, first + batch);
    for (int64_t g = first; g < last; ++g) {
      if (zeros == nullptr) {
        scales[g] = SymmetricScale(AbsMaxOf(group, w + g * group), grid);
      } else {
        const MinMax range = RangeOf(group, w + g * group);
        const ScaleAndZero s = AsymmetricScale(range.min, range.max, grid);
        scales[g] = s.scale;
        zeros[g] = s.zero;
      }
    }
    for (int64_t g = first; g < last; ++g) {
      const float zero = zeros == nullptr ? 0.0f : static_cast<float>(zeros[g]);
      QuantizeIntRun(group, w + g * group, scales[g], zero, grid, codes + g * group);
    }
  }
}

void DequantizeIntRun(int64_t n, const int8_t* codes, float scale, float zero, float* w) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  const VF vector_scale = hn::Set(df, scale), vector_zero = hn::Set(df, zero);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VI code = hn::PromoteTo(Word(), hn::LoadU(SignedByte(), codes + i));
    hn::StoreU(hn::Mul(hn::Sub(hn::ConvertTo(df, code), vector_zero), vector_scale), df, w + i);
  }
  for (; i < n; ++i) w[i] = DequantizeInt(codes[i], scale, zero);
}

void QuantizeFp8Run(int64_t n, const float* w, float scale, int8_t* codes) {
  const Float df;
  const Byte db;
  const int64_t lanes = hn::Lanes(df);
  const VF vector_scale = hn::Set(df, scale);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VI code = EncodeScaledFp8(hn::LoadU(df, w + i), vector_scale);
    hn::StoreU(hn::DemoteTo(db, code), db, reinterpret_cast<uint8_t*>(codes + i));
  }
  for (; i < n; ++i) codes[i] = static_cast<int8_t>(QuantizeFp8(w[i], scale));
}

void DequantizeFp8Run(int64_t n, const int8_t* codes, float scale, float* w) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  const VF vector_scale = hn::Set(df, scale);
  const auto* bytes = reinterpret_cast<const uint8_t*>(codes);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VF value = DecodeFp8(hn::PromoteTo(Word(), hn::LoadU(Byte(), bytes + i)));
    hn::StoreU(hn::Mul(value, vector_scale), df, w + i);
  }
  for (; i < n; ++i) w[i] = DequantizeFp8(bytes[i], scale);
}

void FakeQuantizeIntRun(int64_t n, float scale, IntGrid grid, float* x) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  const VF vector_scale = hn::Set(df, scale);
  const VectorGrid vector_grid = VectorGridOf(grid);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VI code = EncodeInt(hn::LoadU(df, x + i), vector_scale, hn::Zero(df), vector_grid);
    hn::StoreU(hn::Mul(hn::ConvertTo(df, code), vector_scale), df, x + i);
  }
  for (; i < n; ++i) x[i] = DequantizeInt(QuantizeInt(x[i], scale, 0, grid), scale, 0);
}

void FakeQuantizeFp8Run(int64_t n, float scale, float* x) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  const VF vector_scale = hn::Set(df, scale);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VI code = EncodeScaledFp8(hn::LoadU(df, x + i), vector_scale);
    hn::StoreU(hn::Mul(DecodeFp8(code), vector_scale), df, x + i);
  }
  for (; i < n; ++i) x[i] = DequantizeFp8(QuantizeFp8(x[i], scale), scale);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace swage::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace swage::cpu {

HWY_EXPORT(RangeOf);
HWY_EXPORT(QuantizeIntRun);
HWY_EXPORT(QuantizeIntGroups);
HWY_EXPORT(DequantizeIntRun);
HWY_EXPORT(QuantizeFp8Run);
HWY_EXPORT(DequantizeFp8Run);
HWY_EXPORT(FakeQuantizeIntRun);
HWY_EXPORT(FakeQuantizeFp8Run);

MinMax RangeOf(int64_t n, const float* x) { return HWY_DYNAMIC_DISPATCH(RangeOf)(n, x); }
void QuantizeIntRun(int64_t n, const float* w, float scale, float zero, IntGrid grid,
                    int8_t* codes) {
  HWY_DYNAMIC_DISPATCH(QuantizeIntRun)(n, w, scale, zero, grid, codes);
}
void QuantizeIntGroups(int64_t groups, int64_t group, const float* w, IntGrid grid, float* scales,
                       int8_t* zeros, int8_t* codes) {
  HWY_DYNAMIC_DISPATCH(QuantizeIntGroups)(groups, group, w, grid, scales, zeros, codes);
}
void DequantizeIntRun(int64_t n, const int8_t* codes, float scale, float zero, float* w) {
  HWY_DYNAMIC_DISPATCH(DequantizeIntRun)(n, codes, scale, zero, w);
}
void QuantizeFp8Run(int64_t n, const float* w, float scale, int8_t* codes) {
  HWY_DYNAMIC_DISPATCH(QuantizeFp8Run)(n, w, scale, codes);
}
void DequantizeFp8Run(int64_t n, const int8_t* codes, float scale, float* w) {
  HWY_DYNAMIC_DISPATCH(DequantizeFp8Run)(n, codes, scale, w);
}
void FakeQuantizeIntRun(int64_t n, float scale, IntGrid grid, float* x) {
  HWY_DYNAMIC_DISPATCH(FakeQuantizeIntRun)(n, scale, grid, x);
}
void FakeQuantizeFp8Run(int64_t n, float scale, float* x) {
  HWY_DYNAMIC_DISPATCH(FakeQuantizeFp8Run)(n, scale, x);
}

}  // namespace swage::cpu
#endif  // HWY_ONCE
