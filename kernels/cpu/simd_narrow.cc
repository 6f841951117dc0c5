// Gated activations and their gradients with bf16 results; the f32 arithmetic is that of
// simd_block.cc and simd_train.cc.
#include <algorithm>

#include "kernels/cpu/simd_families.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd_narrow.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"
#include "kernels/cpu/formats-inl.h"

HWY_BEFORE_NAMESPACE();
namespace swage::cpu {
namespace HWY_NAMESPACE {
using Half = hn::Rebind<uint16_t, Float>;

HWY_INLINE VF Load(const float* x) { return hn::LoadU(Float(), x); }
HWY_INLINE VF Load(const uint16_t* x) {
  return hn::BitCast(Float(), hn::ShiftLeft<16>(hn::PromoteTo(Word(), hn::LoadU(Half(), x))));
}
// To nearest even, as F32ToBf16 (simd_cast.cc).
HWY_INLINE void Store(VF value, uint16_t* y) {
  const Word di;
  const VI bits = hn::BitCast(di, value), low = hn::Set(di, 0xffff);
  const VI rounded = hn::And(hn::ShiftRight<16>(RoundBits<16>(bits)), low);
  const VI quiet = hn::Or(hn::And(hn::ShiftRight<16>(bits), low), hn::Set(di, 0x40));
  const auto nan = hn::Gt(hn::And(bits, hn::Set(di, 0x7fffffff)), hn::Set(di, 0x7f800000));
  hn::StoreU(hn::DemoteTo(Half(), hn::IfThenElse(nan, quiet, rounded)), Half(), y);
}

// 1 + exp(-gate); Exp is defined up to 104 only.
HWY_INLINE VF OnePlusPower(VF gate) {
  const Float df;
  const VF power = hn::Exp(df, hn::Min(hn::Neg(gate), hn::Set(df, 88.0f)));
  return hn::Add(hn::Set(df, 1.0f), power);
}

template <typename T>
HWY_INLINE void SwiGluRunOf(int64_t n, const T* gate, const T* up, uint16_t* y) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VF g = Load(gate + i);
    Store(hn::Mul(hn::Div(g, OnePlusPower(g)), Load(up + i)), y + i);
  }
  if (i == n) return;
  HWY_ALIGN T last[2][hn::MaxLanes(df)] = {};
  HWY_ALIGN uint16_t out[hn::MaxLanes(df)];
  std::copy(gate + i, gate + n, last[0]);
  std::copy(up + i, up + n, last[1]);
  const VF g = Load(last[0]);
  Store(hn::Mul(hn::Div(g, OnePlusPower(g)), Load(last[1])), out);
  std::copy_n(out, n - i, y + i);
}

void SwiGluOfFloats(int64_t n, const float* gate, const float* up, uint16_t* y) {
  SwiGluRunOf(n, gate, up, y);
}
void SwiGluOfHalves(int64_t n, const uint16_t* gate, const uint16_t* up, uint16_t* y) {
  SwiGluRunOf(n, gate, up, y);
}

HWY_INLINE void GluGradientAt(const uint16_t* gate, const uint16_t* up, const float* dy,
                              uint16_t* dgate, uint16_t* dup) {
  const Float df;
  const VF one = hn::Set(df, 1.0f), g = Load(gate), u = Load(up), d = Load(dy);
  const VF power = hn::Exp(df, hn::Min(hn::Neg(g), hn::Set(df, 88.0f)));
  const VF sigmoid = hn::Div(one, hn::Add(one, power));
  const VF rest = hn::Mul(power, sigmoid);  // 1 - sigmoid without cancellation
  const VF slope = hn::Mul(sigmoid, hn::Add(one, hn::Mul(g, rest)));
  Store(hn::Mul(hn::Mul(d, u), slope), dgate);
  Store(hn::Mul(hn::Mul(d, g), sigmoid), dup);
}

void SwiGluBackwardNarrowRun(int64_t n, const uint16_t* gate, const uint16_t* up, const float* dy,
                             uint16_t* dgate, uint16_t* dup) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) GluGradientAt(gate + i, up + i, dy + i, dgate + i, dup + i);
  if (i == n) return;
  HWY_ALIGN uint16_t last[2][hn::MaxLanes(df)] = {};
  HWY_ALIGN float last_dy[hn::MaxLanes(df)] = {};
  std::copy(gate + i, gate + n, last[0]);
  std::copy(up + i, up + n, last[1]);
  std::copy(dy + i, dy + n, last_dy);
  GluGradientAt(last[0], last[1], last_dy, last[0], last[1]);
  std::copy_n(last[0], n - i, dgate + i);
  std::copy_n(last[1], n - i, dup + i);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace swage::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace swage::cpu {

HWY_EXPORT(SwiGluOfFloats);
HWY_EXPORT(SwiGluOfHalves);
HWY_EXPORT(SwiGluBackwardNarrowRun);

void SwiGluNarrowRun(int64_t n, const float* gate, const float* up, uint16_t* y) {
  HWY_DYNAMIC_DISPATCH(SwiGluOfFloats)(n, gate, up, y);
}
void SwiGluNarrowRun(int64_t n, const uint16_t* gate, const uint16_t* up, uint16_t* y) {
  HWY_DYNAMIC_DISPATCH(SwiGluOfHalves)(n, gate, up, y);
}
void SwiGluBackwardNarrowRun(int64_t n, const uint16_t* gate, const uint16_t* up, const float* dy,
                             uint16_t* dgate, uint16_t* dup) {
  HWY_DYNAMIC_DISPATCH(SwiGluBackwardNarrowRun)(n, gate, up, dy, dgate, dup);
}

}  // namespace swage::cpu
#endif  // HWY_ONCE
