#include <cmath>

#include "kernels/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd_block.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace swage::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using Float = hn::ScalableTag<float>;
using Double = hn::ScalableTag<double>;
using Narrow = hn::Rebind<float, Double>;  // as many floats as doubles fit into a vector
using VF = hn::Vec<Float>;
using VD = hn::Vec<Double>;

void RmsNormRow(int64_t h, const float* x, const float* weight, float eps, float* y) {
  const Double dd;
  const int64_t half = hn::Lanes(dd);
  VD sum0 = hn::Zero(dd), sum1 = sum0;
  int64_t i = 0;
  for (; i + 2 * half <= h; i += 2 * half) {
    const VD a = hn::PromoteTo(dd, hn::LoadU(Narrow(), x + i));
    const VD b = hn::PromoteTo(dd, hn::LoadU(Narrow(), x + i + half));
    sum0 = hn::MulAdd(a, a, sum0);
    sum1 = hn::MulAdd(b, b, sum1);
  }
  double sum = hn::GetLane(hn::SumOfLanes(dd, hn::Add(sum0, sum1)));
  for (; i < h; ++i) sum += static_cast<double>(x[i]) * x[i];
  const float factor = static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(h) + eps));
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  const VF vector_factor = hn::Set(df, factor);
  for (i = 0; i + lanes <= h; i += lanes) {
    const VF scaled = hn::Mul(hn::LoadU(df, x + i), vector_factor);
    hn::StoreU(hn::Mul(scaled, hn::LoadU(df, weight + i)), df, y + i);
  }
  for (; i < h; ++i) y[i] = x[i] * factor * weight[i];
}

// Exp is defined up to 104 only; silu(-88) is already below 1e-36.
HWY_INLINE VF Silu(VF gate) {
  const Float df;
  const VF power = hn::Exp(df, hn::Min(hn::Neg(gate), hn::Set(df, 88.0f)));
  return hn::Div(gate, hn::Add(hn::Set(df, 1.0f), power));
}

void SwiGluRun(int64_t n, const float* gate, const float* up, float* y) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::Mul(Silu(hn::LoadU(df, gate + i)), hn::LoadU(df, up + i)), df, y + i);
  }
  if (i == n) return;
  // The last values go through the same vector code: where a value lies must not change its bits.
  HWY_ALIGN float gates[hn::MaxLanes(df)] = {};
  for (int64_t j = i; j < n; ++j) gates[j - i] = gate[j];
  hn::Store(Silu(hn::Load(df, gates)), df, gates);
  for (int64_t j = i; j < n; ++j) y[j] = gates[j - i] * up[j];
}

void AddRun(int64_t n, const float* x, float* y) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    hn::StoreU(hn::Add(hn::LoadU(df, y + i), hn::LoadU(df, x + i)), df, y + i);
  for (; i < n; ++i) y[i] += x[i];
}

void RopeHead(int64_t half, const float* cosine, const float* sine, float* x) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  float* high = x + half;
  int64_t i = 0;
  for (; i + lanes <= half; i += lanes) {
    const VF a = hn::LoadU(df, x + i), b = hn::LoadU(df, high + i);
    const VF c = hn::LoadU(df, cosine + i), s = hn::LoadU(df, sine + i);
    hn::StoreU(hn::Sub(hn::Mul(a, c), hn::Mul(b, s)), df, x + i);
    hn::StoreU(hn::Add(hn::Mul(b, c), hn::Mul(a, s)), df, high + i);
  }
  for (; i < half; ++i) {
    const float a = x[i], b = high[i];
    x[i] = a * cosine[i] - b * sine[i];
    high[i] = b * cosine[i] + a * sine[i];
  }
}

SquareSums ErrorSumsRun(int64_t n, const float* a, const float* b) {
  const Double dd;
  const int64_t lanes = hn::Lanes(dd);
  VD error = hn::Zero(dd), norm = error;
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VD x = hn::PromoteTo(dd, hn::LoadU(Narrow(), a + i));
    const VD difference = hn::Sub(x, hn::PromoteTo(dd, hn::LoadU(Narrow(), b + i)));
    error = hn::MulAdd(difference, difference, error);
    norm = hn::MulAdd(x, x, norm);
  }
  SquareSums sums;
  sums.error = hn::GetLane(hn::SumOfLanes(dd, error));
  sums.norm = hn::GetLane(hn::SumOfLanes(dd, norm));
  for (; i < n; ++i) {
    const double x = a[i], difference = x - b[i];
    sums.error += difference * difference;
    sums.norm += x * x;
  }
  return sums;
}

bool AllFiniteRun(int64_t n, const float* x) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  // x - x is 0 for what is finite and NaN else; sums keep a NaN.
  VF sum0 = hn::Zero(df), sum1 = sum0;
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    const VF a = hn::LoadU(df, x + i), b = hn::LoadU(df, x + i + lanes);
    sum0 = hn::Add(sum0, hn::Sub(a, a));
    sum1 = hn::Add(sum1, hn::Sub(b, b));
  }
  float sum = hn::GetLane(hn::SumOfLanes(df, hn::Add(sum0, sum1)));
  for (; i < n; ++i) sum += x[i] - x[i];
  return sum == 0.0f;
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace swage::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace swage::cpu {

HWY_EXPORT(RmsNormRow);
HWY_EXPORT(SwiGluRun);
HWY_EXPORT(AddRun);
HWY_EXPORT(RopeHead);
HWY_EXPORT(ErrorSumsRun);
HWY_EXPORT(AllFiniteRun);

void RmsNormRow(int64_t h, const float* x, const float* weight, float eps, float* y) {
  HWY_DYNAMIC_DISPATCH(RmsNormRow)(h, x, weight, eps, y);
}
void SwiGluRun(int64_t n, const float* gate, const float* up, float* y) {
  HWY_DYNAMIC_DISPATCH(SwiGluRun)(n, gate, up, y);
}
void AddRun(int64_t n, const float* x, float* y) { HWY_DYNAMIC_DISPATCH(AddRun)(n, x, y); }
void RopeHead(int64_t half, const float* cosine, const float* sine, float* x) {
  HWY_DYNAMIC_DISPATCH(RopeHead)(half, cosine, sine, x);
}
SquareSums ErrorSumsRun(int64_t n, const float* a, const float* b) {
  return HWY_DYNAMIC_DISPATCH(ErrorSumsRun)(n, a, b);
}
bool AllFiniteRun(int64_t n, const float* x) { return HWY_DYNAMIC_DISPATCH(AllFiniteRun)(n, x); }

}  // namespace swage::cpu
#endif  // HWY_ONCE
