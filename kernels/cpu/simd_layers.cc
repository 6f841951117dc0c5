#include <cmath>

#include "kernels/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd_layers.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace swage::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using Float = hn::ScalableTag<float>;
using Double = hn::ScalableTag<double>;
using Narrow = hn::Rebind<float, Double>;
using VF = hn::Vec<Float>;
using VD = hn::Vec<Double>;

// Mean, then squared distances from it: one pass over x^2 would cancel where the mean is large.
void LayerNormRow(int64_t h, const float* x, const float* weight, const float* bias, float eps,
                  float* y) {
  const Double dd;
  const int64_t lanes = hn::Lanes(dd);
  const int64_t whole = h / lanes * lanes;
  VD sum = hn::Zero(dd);
  for (int64_t i = 0; i < whole; i += lanes) {
    sum = hn::Add(sum, hn::PromoteTo(dd, hn::LoadU(Narrow(), x + i)));
  }
  double mean = hn::GetLane(hn::SumOfLanes(dd, sum));
  for (int64_t i = whole; i < h; ++i) mean += x[i];
  mean /= static_cast<double>(h);
  const VD center = hn::Set(dd, mean);
  VD squares = hn::Zero(dd);
  for (int64_t i = 0; i < whole; i += lanes) {
    const VD a = hn::Sub(hn::PromoteTo(dd, hn::LoadU(Narrow(), x + i)), center);
    squares = hn::MulAdd(a, a, squares);
  }
  double variance = hn::GetLane(hn::SumOfLanes(dd, squares));
  for (int64_t i = whole; i < h; ++i) variance += (x[i] - mean) * (x[i] - mean);
  const double factor = 1.0 / std::sqrt(variance / static_cast<double>(h) + eps);
  for (int64_t i = 0; i < h; ++i) {
    // In double: where a value is near a large mean, its distance has no digits to lose.
    const float scaled = static_cast<float>((x[i] - mean) * factor);
    const float weighted = weight == nullptr ? scaled : scaled * weight[i];
    y[i] = bias == nullptr ? weighted : weighted + bias[i];
  }
}

// 1 / (1 + exp(-x)); Exp is defined up to 104 only.
HWY_INLINE VF Logistic(VF x) {
  const Float df;
  const VF power = hn::Exp(df, hn::Min(hn::Neg(x), hn::Set(df, 88.0f)));
  return hn::Div(hn::Set(df, 1.0f), hn::Add(hn::Set(df, 1.0f), power));
}

struct SiluOf {
  VF operator()(VF x) const { return hn::Mul(x, Logistic(x)); }
};
struct SigmoidOf {
  VF operator()(VF x) const { return Logistic(x); }
};
// (1 + tanh(u)) / 2 is the logistic of 2u, which does not cancel at the far left.
struct GeluTanhOf {
  VF operator()(VF x) const {
    const Float df;
    const VF cubic = hn::MulAdd(hn::Mul(hn::Set(df, 0.044715f), hn::Mul(x, x)), x, x);
    return hn::Mul(x, Logistic(hn::Mul(hn::Set(df, 1.5957691216f), cubic)));
  }
};
struct ReluOf {
  VF operator()(VF x) const { return hn::Max(x, hn::Zero(Float())); }
};
struct CapOf {
  float cap;
  VF operator()(VF x) const {
    const Float df;
    return hn::Mul(hn::Tanh(df, hn::Mul(x, hn::Set(df, 1.0f / cap))), hn::Set(df, cap));
  }
};

// The last values go through the same vector code: where a value lies must not change its bits.
template <typename F>
HWY_INLINE void Map(int64_t n, const float* x, const float* up, float* y, F f) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VF value = f(hn::LoadU(df, x + i));
    hn::StoreU(up == nullptr ? value : hn::Mul(value, hn::LoadU(df, up + i)), df, y + i);
  }
  if (i == n) return;
  HWY_ALIGN float values[hn::MaxLanes(df)] = {};
  for (int64_t j = i; j < n; ++j) values[j - i] = x[j];
  hn::Store(f(hn::Load(df, values)), df, values);
  for (int64_t j = i; j < n; ++j) y[j] = up == nullptr ? values[j - i] : values[j - i] * up[j];
}

void SiluRun(int64_t n, const float* x, const float* up, float* y) { Map(n, x, up, y, SiluOf()); }
void SigmoidRun(int64_t n, const float* x, const float* up, float* y) {
  Map(n, x, up, y, SigmoidOf());
}
void GeluTanhRun(int64_t n, const float* x, const float* up, float* y) {
  Map(n, x, up, y, GeluTanhOf());
}
void ReluRun(int64_t n, const float* x, const float* up, float* y) { Map(n, x, up, y, ReluOf()); }
void SoftCapRun(int64_t n, float cap, float* x) { Map(n, x, nullptr, x, CapOf{cap}); }

void ScaleRun(int64_t n, float factor, float* x) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  const VF vector_factor = hn::Set(df, factor);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::Mul(hn::LoadU(df, x + i), vector_factor), df, x + i);
  }
  for (; i < n; ++i) x[i] *= factor;
}

// A product and a sum, each rounded: the same bits in the vectors and behind them.
void AddScaledRun(int64_t n, float factor, const float* x, float* y) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  const VF vector_factor = hn::Set(df, factor);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VF scaled = hn::Mul(hn::LoadU(df, x + i), vector_factor);
    hn::StoreU(hn::Add(hn::LoadU(df, y + i), scaled), df, y + i);
  }
  for (; i < n; ++i) y[i] += x[i] * factor;
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace swage::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace swage::cpu {

HWY_EXPORT(LayerNormRow);
HWY_EXPORT(SiluRun);
HWY_EXPORT(SigmoidRun);
HWY_EXPORT(GeluTanhRun);
HWY_EXPORT(ReluRun);
HWY_EXPORT(SoftCapRun);
HWY_EXPORT(ScaleRun);
HWY_EXPORT(AddScaledRun);

void LayerNormRow(int64_t h, const float* x, const float* weight, const float* bias, float eps,
                  float* y) {
  HWY_DYNAMIC_DISPATCH(LayerNormRow)(h, x, weight, bias, eps, y);
}
void SiluRun(int64_t n, const float* x, const float* up, float* y) {
  HWY_DYNAMIC_DISPATCH(SiluRun)(n, x, up, y);
}
void SigmoidRun(int64_t n, const float* x, const float* up, float* y) {
  HWY_DYNAMIC_DISPATCH(SigmoidRun)(n, x, up, y);
}
void GeluTanhRun(int64_t n, const float* x, const float* up, float* y) {
  HWY_DYNAMIC_DISPATCH(GeluTanhRun)(n, x, up, y);
}
void ReluRun(int64_t n, const float* x, const float* up, float* y) {
  HWY_DYNAMIC_DISPATCH(ReluRun)(n, x, up, y);
}
void SoftCapRun(int64_t n, float cap, float* x) { HWY_DYNAMIC_DISPATCH(SoftCapRun)(n, cap, x); }
void ScaleRun(int64_t n, float factor, float* x) { HWY_DYNAMIC_DISPATCH(ScaleRun)(n, factor, x); }
void AddScaledRun(int64_t n, float factor, const float* x, float* y) {
  HWY_DYNAMIC_DISPATCH(AddScaledRun)(n, factor, x, y);
}

}  // namespace swage::cpu
#endif  // HWY_ONCE
