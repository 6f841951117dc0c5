// fp8 e4m3 ("fn" flavour of the OCP 8-bit floating point specification, revision 1.0): 1 sign, 4
// exponent (bias 7), 3 mantissa bits; no infinities; s.1111.111 is NaN; largest value 448; smallest
// subnormal 2^-9.
//   EncodeFp8(448.0f) == 0x7e, DecodeFp8(0x01) == 0.001953125f
// Pure functions, usable on the host and in CUDA kernels.
#pragma once

#include "kernels/numeric/host_device.h"

namespace swage {

constexpr float kFp8Max = 448.0f;

// Round to nearest, ties to even; beyond +-448, infinities too, saturates; NaN gives 0x7f with the
// sign of x.
SWAGE_HD uint8_t EncodeFp8(float x) {
  const uint32_t bits = BitsOf(x);
  const uint32_t sign = (bits >> 24) & 0x80u;
  uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint8_t>(sign | 0x7fu);
  if (magnitude > 0x43e00000u) magnitude = 0x43e00000u;  // 448
  if (magnitude < 0x3c800000u) {
    // Below 2^-6 codes are multiples of 2^-9, which is the distance of floats in [2^14, 2^15): the
    // addition rounds.
    const float shifted = FloatOf(magnitude) + 16384.0f;
    return static_cast<uint8_t>(sign | (BitsOf(shifted) - 0x46800000u));
  }
  // Drop 20 of 23 mantissa bits, half to even, and move the exponent's bias from 127 to 7.
  const uint32_t rounded = magnitude + 0x7ffffu + ((magnitude >> 20) & 1u);
  return static_cast<uint8_t>(sign | ((rounded >> 20) - (120u << 3)));
}

SWAGE_HD float DecodeFp8(uint8_t code) {
  const uint32_t sign = static_cast<uint32_t>(code & 0x80u) << 24;
  const uint32_t magnitude = code & 0x7fu;
  if (magnitude == 0x7fu) return FloatOf(sign | 0x7fc00000u);
  if (magnitude < 8u) {
    // 2^-6 * (1 + m/8) - 2^-6: exact, and needs no subnormal floats.
    const float value = FloatOf((121u << 23) | (magnitude << 20)) - 0.015625f;
    return FloatOf(BitsOf(value) | sign);
  }
  return FloatOf(sign | ((magnitude << 20) + (120u << 23)));
}

// Scale of a group with the largest magnitude `absmax`. compressed-tensors replaces a zero scale by
// f32's epsilon.
SWAGE_HD float Fp8Scale(float absmax) {
  const float scale = absmax / kFp8Max;
  return scale == 0.0f ? 1.1920928955078125e-07f : scale;
}

// code of w under `scale`. The added zero is compressed-tensors' zero point: it turns -0 into +0.
SWAGE_HD uint8_t QuantizeFp8(float w, float scale) { return EncodeFp8(w / scale + 0.0f); }

SWAGE_HD float DequantizeFp8(uint8_t code, float scale) { return DecodeFp8(code) * scale; }

}  // namespace swage
