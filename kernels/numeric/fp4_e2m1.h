// fp4 e2m1 (OCP microscaling formats, revision 1.0): codes 0..7 are 0, 0.5, 1, 1.5, 2, 3, 4, 6; bit
// 3 is the sign. The elements of MXFP4, NVFP4 and fp4 with UE5M3 scales.
//   EncodeFp4(-6.0f) == 0xf, DecodeFp4(1) == 0.5f
// Pure functions, usable on the host and in CUDA kernels.
#pragma once

#include "kernels/numeric/host_device.h"

namespace swage {

constexpr float kFp4Max = 6.0f;

// Round to nearest, ties to the even code; beyond +-6 saturates, NaN too. What is negative keeps
// its sign when it rounds to zero (code 8), -0 itself gives code 0: as compressed-tensors rounds.
SWAGE_HD uint8_t EncodeFp4(float x) {
  const uint32_t sign = x < 0.0f ? 8u : 0u;
  uint32_t magnitude = BitsOf(x) & 0x7fffffffu;
  if (magnitude > 0x40c00000u) magnitude = 0x40c00000u;  // 6
  if (magnitude < 0x3f800000u) {
    // Below 1 codes are multiples of 0.5, the distance of floats in [2^22, 2^23).
    const float shifted = FloatOf(magnitude) + 4194304.0f;
    return static_cast<uint8_t>(sign | (BitsOf(shifted) - 0x4a800000u));
  }
  const uint32_t rounded = magnitude + 0x1fffffu + ((magnitude >> 22) & 1u);
  return static_cast<uint8_t>(sign | ((rounded >> 22) - (126u << 1)));
}

SWAGE_HD float DecodeFp4(uint8_t code) {
  const uint32_t sign = static_cast<uint32_t>(code & 8u) << 28;
  const uint32_t magnitude = code & 7u;
  if (magnitude == 0) return FloatOf(sign);
  if (magnitude == 1) return FloatOf(sign | 0x3f000000u);
  return FloatOf(sign | ((magnitude << 22) + (126u << 23)));
}

}  // namespace swage
