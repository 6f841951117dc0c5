// Vector forms of kernels/numeric, lane by lane the same arithmetic. Included once per instruction
// set by the simd_*.cc files (Highway's foreach_target), hence the toggling guard.
#if defined(SWAGE_KERNELS_CPU_FORMATS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SWAGE_KERNELS_CPU_FORMATS_INL_H_
#undef SWAGE_KERNELS_CPU_FORMATS_INL_H_
#else
#define SWAGE_KERNELS_CPU_FORMATS_INL_H_
#endif

#include "hwy/highway.h"
#include "kernels/numeric/int_quant.h"

HWY_BEFORE_NAMESPACE();
namespace swage::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Float = hn::ScalableTag<float>;
using Word = hn::RebindToSigned<Float>;
using VF = hn::Vec<Float>;
using VI = hn::Vec<Word>;

// (bits + half - 1 + lowest kept bit): after dropping `kDropped` bits, rounded half to even.
template <int kDropped>
HWY_INLINE VI RoundBits(VI bits) {
  const Word di;
  const VI odd = hn::And(hn::ShiftRight<kDropped>(bits), hn::Set(di, 1));
  return hn::Add(hn::Add(bits, hn::Set(di, (1 << (kDropped - 1)) - 1)), odd);
}

HWY_INLINE VI EncodeFp8(VF x) {
  const Float df;
  const Word di;
  const VI bits = hn::BitCast(di, x);
  const VI sign = hn::And(hn::ShiftRight<24>(bits), hn::Set(di, 0x80));
  const VI magnitude = hn::And(bits, hn::Set(di, 0x7fffffff));
  const VI clamped = hn::Min(magnitude, hn::Set(di, 0x43e00000));
  const VI normal = hn::Sub(hn::ShiftRight<20>(RoundBits<20>(clamped)), hn::Set(di, 120 << 3));
  const VF shifted = hn::Add(hn::BitCast(df, clamped), hn::Set(df, 16384.0f));
  const VI small = hn::Sub(hn::BitCast(di, shifted), hn::Set(di, 0x46800000));
  VI code = hn::IfThenElse(hn::Lt(clamped, hn::Set(di, 0x3c800000)), small, normal);
  code = hn::IfThenElse(hn::Gt(magnitude, hn::Set(di, 0x7f800000)), hn::Set(di, 0x7f), code);
  return hn::Or(code, sign);
}

// Of codes 0..255.
HWY_INLINE VF DecodeFp8(VI code) {
  const Float df;
  const Word di;
  const VI magnitude = hn::And(code, hn::Set(di, 0x7f));
  const VI sign = hn::ShiftLeft<24>(hn::And(code, hn::Set(di, 0x80)));
  const VI shifted = hn::ShiftLeft<20>(magnitude);
  const VI normal = hn::Add(shifted, hn::Set(di, 120 << 23));
  const VF one_up = hn::BitCast(df, hn::Or(shifted, hn::Set(di, 121 << 23)));
  const VI small = hn::BitCast(di, hn::Sub(one_up, hn::Set(df, 0.015625f)));
  VI value = hn::IfThenElse(hn::Lt(magnitude, hn::Set(di, 8)), small, normal);
  value = hn::IfThenElse(hn::Eq(magnitude, hn::Set(di, 0x7f)), hn::Set(di, 0x7fc00000), value);
  return hn::BitCast(df, hn::Or(value, sign));
}

struct VectorGrid {
  VF lo, hi;
};
HWY_INLINE VectorGrid VectorGridOf(IntGrid grid) {
  const Float df;
  return {hn::Set(df, grid.lo), hn::Set(df, grid.hi)};
}

// Integer codes of w; the division is IEEE's, as bit equality needs it.
HWY_INLINE VI EncodeInt(VF w, VF scale, VF zero, const VectorGrid& grid) {
  const VF scaled = hn::Add(hn::Div(w, scale), zero);
  return hn::NearestInt(hn::Min(hn::Max(scaled, grid.lo), grid.hi));
}

HWY_INLINE VI EncodeScaledFp8(VF w, VF scale) {
  return EncodeFp8(hn::Add(hn::Div(w, scale), hn::Zero(Float())));
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace swage::cpu
HWY_AFTER_NAMESPACE();

#endif  // toggling guard
