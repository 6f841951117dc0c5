// Types that scales are stored in. Ops keep scales as f32 whose values the type can hold exactly;
// these functions round to the type and turn such values into stored bytes and back.
//   kE8M0   2^(byte - 127), byte 0..254 (OCP microscaling formats; 255 is NaN and never written)
//   kE4M3   fp8 e4m3, relative to one f32 "global" scale of the tensor (NVFP4)
//   kUE5M3  unsigned: 5 exponent (bias 15), 3 mantissa bits; byte 255 is NaN; 2^-17 to 114688
// Pure functions, usable on the host and in CUDA kernels.
#pragma once

#include "kernels/numeric/fp8_e4m3.h"
#include "kernels/numeric/half.h"

namespace swage {

enum class ScaleType : uint8_t { kFormat, kF32, kF16, kBF16, kE8M0, kE4M3, kUE5M3 };

// How the power of two of an MX group follows from its absmax a = m * 2^e, 1 <= m < 2.
//   kSnap   e, or e + 1 from m = 1.75 on: what compressed-tensors 0.19 does for fp4 and fp8 alike
//   kFloor  e (OCP): the largest values may saturate;  kCeil  the least power that saturates
//   nothing
enum class PowerRule : uint8_t { kSnap, kFloor, kCeil };

// Byte of the scale for elements whose largest value `max` has the exponent `max_exponent` (fp4: 6
// and 2, fp8 e4m3: 448 and 8). Zero and what is below the range give 0.
SWAGE_HD uint8_t E8M0Of(float absmax, float max, int max_exponent, PowerRule rule) {
  const uint32_t bits = BitsOf(absmax) + (rule == PowerRule::kSnap ? 1u << 21 : 0u);
  int exponent = static_cast<int>(bits >> 23) - max_exponent;
  if (rule == PowerRule::kCeil && exponent >= 1 &&
      absmax / FloatOf(static_cast<uint32_t>(exponent) << 23) > max) {
    ++exponent;
  }
  return static_cast<uint8_t>(exponent < 0 ? 0 : (exponent > 254 ? 254 : exponent));
}

SWAGE_HD float E8M0Value(uint8_t byte) {
  return FloatOf(byte == 0 ? 0x00400000u : static_cast<uint32_t>(byte) << 23);
}

// Of a value that E8M0Value can give.
SWAGE_HD uint8_t E8M0Byte(float value) { return static_cast<uint8_t>(BitsOf(value) >> 23); }

constexpr float kUE5M3Max = 114688.0f;

// Nearest, ties to even, saturating; NaN and what is not positive give 0.
SWAGE_HD uint8_t UE5M3Byte(float x) {
  if (!(x > 0.0f)) return 0;
  uint32_t magnitude = BitsOf(x);
  if (magnitude > 0x47e00000u) magnitude = 0x47e00000u;  // 114688
  if (magnitude < 0x38800000u) {
    // Below 2^-14 values are multiples of 2^-17, the distance of floats in [2^6, 2^7).
    return static_cast<uint8_t>(BitsOf(FloatOf(magnitude) + 64.0f) - 0x42800000u);
  }
  const uint32_t rounded = magnitude + 0x7ffffu + ((magnitude >> 20) & 1u);
  return static_cast<uint8_t>((rounded >> 20) - (112u << 3));
}

SWAGE_HD float UE5M3Value(uint8_t byte) {
  if (byte < 8) return static_cast<float>(byte) * 7.62939453125e-06f;  // 2^-17
  return FloatOf((static_cast<uint32_t>(byte) << 20) + (112u << 23));
}

// The value of `type` that stands for `scale` >= 0; a scale that rounds to zero becomes what
// compressed-tensors writes instead (f32, f16, bf16: the type's epsilon; e4m3: 0.125) or the
// smallest value (UE5M3), so that nothing is divided by zero. kE8M0 is chosen by E8M0Of.
SWAGE_HD float RoundScale(float scale, ScaleType type) {
  switch (type) {
    case ScaleType::kF16: {
      const float rounded = FloatOfF16(F16Of(scale > 65504.0f ? 65504.0f : scale));
      return rounded == 0.0f ? 9.765625e-04f : rounded;
    }
    case ScaleType::kBF16: {
      const float rounded =
          FloatOfBf16(Bf16Of(scale > 3.3895313892515355e38f ? 3.3895313892515355e38f : scale));
      return rounded == 0.0f ? 7.8125e-03f : rounded;
    }
    case ScaleType::kE4M3: {
      const float rounded = DecodeFp8(EncodeFp8(scale));
      return rounded == 0.0f ? 0.125f : rounded;
    }
    case ScaleType::kUE5M3: {
      const uint8_t byte = UE5M3Byte(scale);
      return UE5M3Value(byte == 0 ? uint8_t{1} : byte);
    }
    default:
      return scale == 0.0f ? 1.1920928955078125e-07f : scale;
  }
}

// Global scale of a two-level format: the largest group scale becomes `bound` (448; 256 leaves room
// for 4-over-6). A product with the reciprocal, and 1 when that overflows, as compressed-tensors
// has it.
SWAGE_HD float GlobalScale(float absmax, float max_value, float bound) {
  const float least = 1.1754943508222875e-38f;
  const float scale = 1.0f / (absmax < least ? least : absmax) * (bound * max_value);
  return scale > 3.4028234663852886e+38f || scale != scale ? 1.0f : scale;
}

}  // namespace swage
