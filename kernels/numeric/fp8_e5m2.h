// fp8 e5m2 (OCP 8-bit floating point specification, revision 1.0): 1 sign, 5 exponent (bias 15), 2
// mantissa bits; the upper byte of an IEEE half. Largest finite value 57344, smallest subnormal
// 2^-16; s.11111.00 is infinity, s.11111.xx is NaN.
//   EncodeFp8E5M2(57344.0f) == 0x7b, DecodeFp8E5M2(0x01) == 2^-16
// Pure functions, usable on the host and in CUDA kernels.
#pragma once

#include "kernels/numeric/host_device.h"

namespace swage {

constexpr float kFp8E5M2Max = 57344.0f;

// Round to nearest, ties to even; beyond +-57344, infinities too, saturates; NaN gives 0x7f with
// the sign of x. So no code of a finite weight is an infinity.
SWAGE_HD uint8_t EncodeFp8E5M2(float x) {
  const uint32_t bits = BitsOf(x);
  const uint32_t sign = (bits >> 24) & 0x80u;
  uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint8_t>(sign | 0x7fu);
  if (magnitude > 0x47600000u) magnitude = 0x47600000u;  // 57344
  if (magnitude < 0x38800000u) {
    // Below 2^-14 codes are multiples of 2^-16, the distance of floats in [2^7, 2^8).
    const float shifted = FloatOf(magnitude) + 128.0f;
    return static_cast<uint8_t>(sign | (BitsOf(shifted) - 0x43000000u));
  }
  const uint32_t rounded = magnitude + 0xfffffu + ((magnitude >> 21) & 1u);
  return static_cast<uint8_t>(sign | ((rounded >> 21) - (112u << 2)));
}

SWAGE_HD float DecodeFp8E5M2(uint8_t code) {
  const uint32_t sign = static_cast<uint32_t>(code & 0x80u) << 24;
  const uint32_t magnitude = code & 0x7fu;
  if (magnitude > 0x7cu) return FloatOf(sign | 0x7fc00000u);
  if (magnitude == 0x7cu) return FloatOf(sign | 0x7f800000u);
  if (magnitude < 4u) {
    // 2^-14 * (1 + m/4) - 2^-14: exact, and needs no subnormal floats.
    const float value = FloatOf((113u << 23) | (magnitude << 21)) - 6.103515625e-05f;
    return FloatOf(BitsOf(value) | sign);
  }
  return FloatOf(sign | ((magnitude << 21) + (112u << 23)));
}

}  // namespace swage
