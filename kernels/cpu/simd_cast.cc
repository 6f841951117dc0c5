#include <algorithm>
#include <cctype>

#include "kernels/cpu/simd.h"
#include "kernels/numeric/fp8_e4m3.h"
#include "kernels/numeric/half.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd_cast.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/formats-inl.h"

HWY_BEFORE_NAMESPACE();
namespace swage::cpu {
namespace HWY_NAMESPACE {

using Half = hn::Rebind<uint16_t, Float>;
using Byte = hn::Rebind<uint8_t, Float>;

HWY_INLINE VI LoadHalf(const uint16_t* x) { return hn::PromoteTo(Word(), hn::LoadU(Half(), x)); }
HWY_INLINE void StoreHalf(VI bits, uint16_t* y) {
  hn::StoreU(hn::DemoteTo(Half(), bits), Half(), y);
}

void Bf16ToF32(int64_t n, const uint16_t* x, float* y) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::BitCast(df, hn::ShiftLeft<16>(LoadHalf(x + i))), df, y + i);
  }
  for (; i < n; ++i) y[i] = FloatOfBf16(x[i]);
}

void F32ToBf16(int64_t n, const float* x, uint16_t* y) {
  const Float df;
  const Word di;
  const int64_t lanes = hn::Lanes(df);
  const VI low = hn::Set(di, 0xffff);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VI bits = hn::BitCast(di, hn::LoadU(df, x + i));
    const VI rounded = hn::And(hn::ShiftRight<16>(RoundBits<16>(bits)), low);
    const VI quiet = hn::Or(hn::And(hn::ShiftRight<16>(bits), low), hn::Set(di, 0x40));
    const auto nan = hn::Gt(hn::And(bits, hn::Set(di, 0x7fffffff)), hn::Set(di, 0x7f800000));
    StoreHalf(hn::IfThenElse(nan, quiet, rounded), y + i);
  }
  for (; i < n; ++i) y[i] = Bf16Of(x[i]);
}

void F16ToF32(int64_t n, const uint16_t* x, float* y) {
  const Float df;
  const Word di;
  const int64_t lanes = hn::Lanes(df);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VI half = LoadHalf(x + i);
    const VI sign = hn::ShiftLeft<16>(hn::And(half, hn::Set(di, 0x8000)));
    const VI magnitude = hn::And(half, hn::Set(di, 0x7fff));
    const VI shifted = hn::ShiftLeft<13>(magnitude);
    const VI normal = hn::Add(shifted, hn::Set(di, 112 << 23));
    const VI special = hn::Or(shifted, hn::Set(di, 0x7f800000));
    const VF one_up = hn::BitCast(df, hn::Or(shifted, hn::Set(di, 113 << 23)));
    const VI small = hn::BitCast(di, hn::Sub(one_up, hn::Set(df, 6.103515625e-05f)));
    VI value = hn::IfThenElse(hn::Lt(magnitude, hn::Set(di, 0x400)), small, normal);
    value = hn::IfThenElse(hn::Lt(magnitude, hn::Set(di, 0x7c00)), value, special);
    hn::StoreU(hn::BitCast(df, hn::Or(value, sign)), df, y + i);
  }
  for (; i < n; ++i) y[i] = FloatOfF16(x[i]);
}

void F32ToF16(int64_t n, const float* x, uint16_t* y) {
  const Float df;
  const Word di;
  const int64_t lanes = hn::Lanes(df);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VI bits = hn::BitCast(di, hn::LoadU(df, x + i));
    const VI sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(di, 0x8000));
    const VI magnitude = hn::And(bits, hn::Set(di, 0x7fffffff));
    const VI normal = hn::Sub(hn::ShiftRight<13>(RoundBits<13>(magnitude)), hn::Set(di, 112 << 10));
    const VF shifted = hn::Add(hn::BitCast(df, magnitude), hn::Set(df, 0.5f));
    const VI small = hn::Sub(hn::BitCast(di, shifted), hn::Set(di, 0x3f000000));
    const VI quiet =
        hn::Or(hn::And(hn::ShiftRight<13>(magnitude), hn::Set(di, 0x3ff)), hn::Set(di, 0x7e00));
    VI half = hn::IfThenElse(hn::Lt(magnitude, hn::Set(di, 0x38800000)), small, normal);
    half = hn::IfThenElse(hn::Lt(magnitude, hn::Set(di, 0x477ff000)), half, hn::Set(di, 0x7c00));
    half = hn::IfThenElse(hn::Gt(magnitude, hn::Set(di, 0x7f800000)), quiet, half);
    StoreHalf(hn::Or(half, sign), y + i);
  }
  for (; i < n; ++i) y[i] = F16Of(x[i]);
}

void Fp8ToF32(int64_t n, const uint8_t* x, float* y) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(DecodeFp8(hn::PromoteTo(Word(), hn::LoadU(Byte(), x + i))), df, y + i);
  }
  for (; i < n; ++i) y[i] = ::swage::DecodeFp8(x[i]);
}

void F32ToFp8(int64_t n, const float* x, uint8_t* y) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::DemoteTo(Byte(), EncodeFp8(hn::LoadU(df, x + i))), Byte(), y + i);
  }
  for (; i < n; ++i) y[i] = ::swage::EncodeFp8(x[i]);
}

const char* TargetNameHere() { return hwy::TargetName(HWY_TARGET); }

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace swage::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace swage::cpu {

HWY_EXPORT(Bf16ToF32);
HWY_EXPORT(F32ToBf16);
HWY_EXPORT(F16ToF32);
HWY_EXPORT(F32ToF16);
HWY_EXPORT(Fp8ToF32);
HWY_EXPORT(F32ToFp8);
HWY_EXPORT(TargetNameHere);

void Bf16ToF32(int64_t n, const uint16_t* x, float* y) { HWY_DYNAMIC_DISPATCH(Bf16ToF32)(n, x, y); }
void F32ToBf16(int64_t n, const float* x, uint16_t* y) { HWY_DYNAMIC_DISPATCH(F32ToBf16)(n, x, y); }
void F16ToF32(int64_t n, const uint16_t* x, float* y) { HWY_DYNAMIC_DISPATCH(F16ToF32)(n, x, y); }
void F32ToF16(int64_t n, const float* x, uint16_t* y) { HWY_DYNAMIC_DISPATCH(F32ToF16)(n, x, y); }
void Fp8ToF32(int64_t n, const uint8_t* x, float* y) { HWY_DYNAMIC_DISPATCH(Fp8ToF32)(n, x, y); }
void F32ToFp8(int64_t n, const float* x, uint8_t* y) { HWY_DYNAMIC_DISPATCH(F32ToFp8)(n, x, y); }

std::string SimdName() {
  std::string name = HWY_DYNAMIC_DISPATCH(TargetNameHere)();
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return name;
}

}  // namespace swage::cpu
#endif  // HWY_ONCE
