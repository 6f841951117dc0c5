#include <algorithm>
#include <cmath>

#include "kernels/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd_loss.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace swage::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using Float = hn::ScalableTag<float>;
using VF = hn::Vec<Float>;

// Highway's Exp gives 0 below -104 and wants finite arguments.
constexpr float kLowest = -200.0f;

// Sum of f over [0, n): f32 within a chunk of 512, double across chunks, so that a vocabulary of
// 10^5 loses no digits.
template <typename VectorF>
double ChunkedSum(int64_t n, VectorF f) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += 512) {
    const int64_t end = std::min(n, begin + 512);
    VF sum = hn::Zero(df);
    for (int64_t i = begin; i < end; i += lanes) sum = hn::Add(sum, f(i, std::min(lanes, end - i)));
    total += hn::GetLane(hn::SumOfLanes(df, sum));
  }
  return total;
}

// `count` values from x, `fill` in the other lanes.
HWY_INLINE VF LoadUpTo(const float* x, int64_t count, float fill) {
  const Float df;
  if (count == static_cast<int64_t>(hn::Lanes(df))) return hn::LoadU(df, x);
  HWY_ALIGN float values[hn::MaxLanes(df)];
  for (int64_t i = 0; i < static_cast<int64_t>(hn::Lanes(df)); ++i)
    values[i] = i < count ? x[i] : fill;
  return hn::Load(df, values);
}

struct ExpSum {
  const float* x;
  VF max;
  HWY_INLINE VF operator()(int64_t i, int64_t count) const {
    const Float df;
    const VF below = hn::Sub(LoadUpTo(x + i, count, -HUGE_VALF), max);
    return hn::Exp(df, hn::Max(below, hn::Set(df, kLowest)));
  }
};

SoftmaxNorm SoftmaxNormOf(int64_t n, const float* x) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  VF max = hn::Set(df, x[0]);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) max = hn::Max(max, hn::LoadU(df, x + i));
  SoftmaxNorm norm;
  norm.max = hn::GetLane(hn::MaxOfLanes(df, max));
  for (; i < n; ++i) norm.max = std::max(norm.max, x[i]);
  norm.log_sum = std::log(ChunkedSum(n, ExpSum{x, hn::Set(df, norm.max)}));
  return norm;
}

struct KlSum {
  const float *p, *q;
  VF p_norm, norm_difference;
  HWY_INLINE VF operator()(int64_t i, int64_t count) const {
    const Float df;
    const VF a = LoadUpTo(p + i, count, -HUGE_VALF), b = LoadUpTo(q + i, count, 0.0f);
    const VF log_p = hn::Sub(a, p_norm);
    const auto nothing = hn::Lt(log_p, hn::Set(df, -103.0f));  // p is 0 there, whatever q is
    const VF power = hn::Exp(df, hn::Max(log_p, hn::Set(df, kLowest)));
    // (a - b) - (norm of a - norm of b): the small difference of two close distributions keeps its
    // digits.
    const VF log_ratio = hn::Sub(hn::Sub(a, b), norm_difference);
    return hn::IfThenElse(nothing, hn::Zero(df), hn::Mul(power, log_ratio));
  }
};

float KlOf(int64_t n, const float* p, const SoftmaxNorm& p_norm, const float* q,
           const SoftmaxNorm& q_norm) {
  const Float df;
  const double p_total = p_norm.max + p_norm.log_sum, q_total = q_norm.max + q_norm.log_sum;
  const KlSum sum{p, q, hn::Set(df, static_cast<float>(p_total)),
                  hn::Set(df, static_cast<float>(p_total - q_total))};
  return static_cast<float>(ChunkedSum(n, sum));
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace swage::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace swage::cpu {

HWY_EXPORT(SoftmaxNormOf);
HWY_EXPORT(KlOf);

SoftmaxNorm SoftmaxNormOf(int64_t n, const float* x) {
  return HWY_DYNAMIC_DISPATCH(SoftmaxNormOf)(n, x);
}
float KlOf(int64_t n, const float* p, const SoftmaxNorm& p_norm, const float* q,
           const SoftmaxNorm& q_norm) {
  return HWY_DYNAMIC_DISPATCH(KlOf)(n, p, p_norm, q, q_norm);
}

}  // namespace swage::cpu
#endif  // HWY_ONCE
