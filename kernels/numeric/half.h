// IEEE 754 binary16 and bfloat16 as 16-bit patterns. Conversions from f32 round to nearest even;
// overflow gives infinity, NaN stays a (quiet) NaN. Pure functions, usable on the host and in CUDA
// kernels.
#pragma once

#include "kernels/numeric/host_device.h"

namespace swage {

SWAGE_HD float FloatOfBf16(uint16_t x) { return FloatOf(static_cast<uint32_t>(x) << 16); }

SWAGE_HD uint16_t Bf16Of(float x) {
  const uint32_t bits = BitsOf(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

SWAGE_HD float FloatOfF16(uint16_t x) {
  const uint32_t sign = static_cast<uint32_t>(x & 0x8000u) << 16;
  const uint32_t magnitude = x & 0x7fffu;
  if (magnitude >= 0x7c00u) return FloatOf(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
  if (magnitude >= 0x400u) return FloatOf(sign | ((magnitude << 13) + (112u << 23)));
  // Subnormals are multiples of 2^-24: 2^-14 * (1 + m/1024) - 2^-14, exact.
  const float value = FloatOf((113u << 23) | (magnitude << 13)) - 6.103515625e-05f;
  return FloatOf(BitsOf(value) | sign);
}

SWAGE_HD uint16_t F16Of(float x) {
  const uint32_t bits = BitsOf(x);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {
    return static_cast<uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
  }
  if (magnitude >= 0x477ff000u)
    return static_cast<uint16_t>(sign | 0x7c00u);  // rounds to 65536 or more
  if (magnitude <
      0x38800000u) {  // below 2^-14: a multiple of 2^-24, the distance of floats in [0.5, 1)
    return static_cast<uint16_t>(sign | (BitsOf(FloatOf(magnitude) + 0.5f) - 0x3f000000u));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded >> 13) - (112u << 10)));
}

}  // namespace swage
