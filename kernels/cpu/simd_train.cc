// Gradients of norms, activations and losses, and the optimizer's step.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/simd_families.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd_train.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace swage::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using Float = hn::ScalableTag<float>;
using Double = hn::ScalableTag<double>;
using Half = hn::Rebind<float, Double>;  // as many floats as doubles fit into a vector
using VF = hn::Vec<Float>;
using VD = hn::Vec<Double>;

HWY_INLINE VD Wide(const float* x) { return hn::PromoteTo(Double(), hn::LoadU(Half(), x)); }

NormTerms RmsNormTerms(int64_t h, const float* x, const float* weight, float eps, const float* dy) {
  const Double dd;
  const int64_t lanes = hn::Lanes(dd);
  VD squares = hn::Zero(dd), products = squares;
  int64_t i = 0;
  for (; i + lanes <= h; i += lanes) {
    const VD in = Wide(x + i);
    squares = hn::MulAdd(in, in, squares);
    products = hn::MulAdd(hn::Mul(Wide(dy + i), Wide(weight + i)), in, products);
  }
  double square = hn::GetLane(hn::SumOfLanes(dd, squares));
  double product = hn::GetLane(hn::SumOfLanes(dd, products));
  for (; i < h; ++i) {
    square += static_cast<double>(x[i]) * x[i];
    product += static_cast<double>(dy[i]) * weight[i] * x[i];
  }
  const double factor = 1.0 / std::sqrt(square / static_cast<double>(h) + eps);
  return {static_cast<float>(factor),
          static_cast<float>(product * factor * factor * factor / static_cast<double>(h))};
}

void RmsNormBackwardRow(int64_t h, const float* x, const float* weight, const NormTerms& terms,
                        const float* dy, float* dx) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  const VF factor = hn::Set(df, terms.factor), back = hn::Set(df, terms.back);
  int64_t i = 0;
  for (; i + lanes <= h; i += lanes) {
    const VF along = hn::Mul(hn::Mul(hn::LoadU(df, dy + i), hn::LoadU(df, weight + i)), factor);
    hn::StoreU(hn::Sub(along, hn::Mul(hn::LoadU(df, x + i), back)), df, dx + i);
  }
  for (; i < h; ++i) dx[i] = dy[i] * weight[i] * terms.factor - x[i] * terms.back;
}

struct GluGradient {
  VF gate, up;
};

// Exp is defined up to 104 only; the sigmoid of -88 is already below 1e-38.
HWY_INLINE GluGradient SwiGluGradient(VF gate, VF up, VF dy) {
  const Float df;
  const VF one = hn::Set(df, 1.0f);
  const VF power = hn::Exp(df, hn::Min(hn::Neg(gate), hn::Set(df, 88.0f)));
  const VF sigmoid = hn::Div(one, hn::Add(one, power));
  // 1 - sigmoid without cancellation.
  const VF rest = hn::Mul(power, sigmoid);
  const VF slope = hn::Mul(sigmoid, hn::Add(one, hn::Mul(gate, rest)));
  return {hn::Mul(hn::Mul(dy, up), slope), hn::Mul(hn::Mul(dy, gate), sigmoid)};
}

void SwiGluBackwardRun(int64_t n, const float* gate, const float* up, const float* dy, float* dgate,
                       float* dup) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const GluGradient grad =
        SwiGluGradient(hn::LoadU(df, gate + i), hn::LoadU(df, up + i), hn::LoadU(df, dy + i));
    hn::StoreU(grad.gate, df, dgate + i);
    hn::StoreU(grad.up, df, dup + i);
  }
  if (i == n) return;
  // The last values go through the same vector code: where a value lies must not change its bits.
  HWY_ALIGN float last[3][hn::MaxLanes(df)] = {};
  std::copy(gate + i, gate + n, last[0]);
  std::copy(up + i, up + n, last[1]);
  std::copy(dy + i, dy + n, last[2]);
  const GluGradient grad =
      SwiGluGradient(hn::Load(df, last[0]), hn::Load(df, last[1]), hn::Load(df, last[2]));
  hn::Store(grad.gate, df, last[0]);
  hn::Store(grad.up, df, last[1]);
  std::copy_n(last[0], n - i, dgate + i);
  std::copy_n(last[1], n - i, dup + i);
}

void SoftmaxRow(int64_t n, float shift, float scale, const float* x, float* y) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  const VF shifts = hn::Set(df, shift), scales = hn::Set(df, scale);
  const VF lowest = hn::Set(df, -200.0f);  // Exp gives 0 below -104 and wants finite arguments
  const auto weigh = [&](VF value) HWY_ATTR {
    return hn::Mul(scales, hn::Exp(df, hn::Max(hn::Sub(value, shifts), lowest)));
  };
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(weigh(hn::LoadU(df, x + i)), df, y + i);
  if (i == n) return;
  HWY_ALIGN float last[hn::MaxLanes(df)] = {};
  std::copy(x + i, x + n, last);
  hn::Store(weigh(hn::Load(df, last)), df, last);
  std::copy_n(last, n - i, y + i);
}

void AdamWRun(int64_t n, const AdamWFactors& step, float eps, float gradient_scale,
              const float* gradient, float* w, float* m, float* v) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  const auto set = [&](float x) HWY_ATTR { return hn::Set(df, x); };
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VF g = hn::Mul(hn::LoadU(df, gradient + i), set(gradient_scale));
    const VF first = hn::Add(hn::Mul(hn::LoadU(df, m + i), set(step.beta1)),
                             hn::Mul(g, set(step.one_minus_beta1)));
    const VF second = hn::Add(hn::Mul(hn::LoadU(df, v + i), set(step.beta2)),
                              hn::Mul(hn::Mul(g, g), set(step.one_minus_beta2)));
    const VF root = hn::Sqrt(hn::Mul(second, set(step.root_correction)));
    const VF change = hn::Div(hn::Mul(first, set(step.rate)), hn::Add(root, set(eps)));
    hn::StoreU(hn::Sub(hn::Mul(hn::LoadU(df, w + i), set(step.kept)), change), df, w + i);
    hn::StoreU(first, df, m + i);
    hn::StoreU(second, df, v + i);
  }
  for (; i < n; ++i) {
    const float g = gradient[i] * gradient_scale;
    m[i] = m[i] * step.beta1 + g * step.one_minus_beta1;
    v[i] = v[i] * step.beta2 + g * g * step.one_minus_beta2;
    const float root = std::sqrt(v[i] * step.root_correction);
    w[i] = w[i] * step.kept - m[i] * step.rate / (root + eps);
  }
}

double SquaresRun(int64_t n, const float* x) {
  const Double dd;
  const int64_t lanes = hn::Lanes(dd);
  VD sum0 = hn::Zero(dd), sum1 = sum0;
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    const VD a = Wide(x + i), b = Wide(x + i + lanes);
    sum0 = hn::MulAdd(a, a, sum0);
    sum1 = hn::MulAdd(b, b, sum1);
  }
  double sum = hn::GetLane(hn::SumOfLanes(dd, hn::Add(sum0, sum1)));
  for (; i < n; ++i) sum += static_cast<double>(x[i]) * x[i];
  return sum;
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace swage::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace swage::cpu {

HWY_EXPORT(RmsNormTerms);
HWY_EXPORT(RmsNormBackwardRow);
HWY_EXPORT(SwiGluBackwardRun);
HWY_EXPORT(SoftmaxRow);
HWY_EXPORT(AdamWRun);
HWY_EXPORT(SquaresRun);

NormTerms RmsNormTerms(int64_t h, const float* x, const float* weight, float eps, const float* dy) {
  return HWY_DYNAMIC_DISPATCH(RmsNormTerms)(h, x, weight, eps, dy);
}
void RmsNormBackwardRow(int64_t h, const float* x, const float* weight, const NormTerms& terms,
                        const float* dy, float* dx) {
  HWY_DYNAMIC_DISPATCH(RmsNormBackwardRow)(h, x, weight, terms, dy, dx);
}
void SwiGluBackwardRun(int64_t n, const float* gate, const float* up, const float* dy, float* dgate,
                       float* dup) {
  HWY_DYNAMIC_DISPATCH(SwiGluBackwardRun)(n, gate, up, dy, dgate, dup);
}
void SoftmaxRow(int64_t n, float shift, float scale, const float* x, float* y) {
  HWY_DYNAMIC_DISPATCH(SoftmaxRow)(n, shift, scale, x, y);
}
void AdamWRun(int64_t n, const AdamWFactors& step, float eps, float gradient_scale,
              const float* gradient, float* w, float* m, float* v) {
  HWY_DYNAMIC_DISPATCH(AdamWRun)(n, step, eps, gradient_scale, gradient, w, m, v);
}
double SquaresRun(int64_t n, const float* x) { return HWY_DYNAMIC_DISPATCH(SquaresRun)(n, x); }

}  // namespace swage::cpu
#endif  // HWY_ONCE
