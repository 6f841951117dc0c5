// What quantization computes with, made from a row of the table and the caller's choices
// (kernels/api/check.h): plain data, so that a CUDA kernel takes it by value. The functions below
// are the definition of every format; the reference calls them for each element, the CPU's vector
// loops and the CUDA kernels give the same bits.
//   decoded = code * effective scale             fp8, fp4, codebooks (the code's value)
//   decoded = (code - zero) * effective scale    integers
//   decoded = (code - lo) * effective scale + minimum    integers with a float minimum
// Effective scale: the group's scale, divided by the global scale in two-level formats.
// Inputs are finite (Ops::AllFinite). What is not still gives defined codes: NaN the lowest
// integer, code 0 of a codebook, NaN in fp8, +-6 in fp4.
#pragma once

#include "kernels/numeric/codebook.h"
#include "kernels/numeric/fp4_e2m1.h"
#include "kernels/numeric/fp8_e4m3.h"
#include "kernels/numeric/fp8_e5m2.h"
#include "kernels/numeric/int_quant.h"
#include "kernels/numeric/lane_sum.h"
#include "kernels/numeric/scale_types.h"

namespace swage {

enum class CodeKind : uint8_t { kInteger, kIntegerMinimum, kFp8E4M3, kFp8E5M2, kFp4, kCodebook };

// How a group's scale is chosen.
//   kAbsMax        the largest magnitude becomes the largest code; the format's PowerRule for E8M0
//   kAbsMean       the mean magnitude is the scale (ternary: Ma et al. 2024, "BitNet b1.58")
//   kPowerFloor, kPowerCeil  E8M0 by that rule
//   kFourOverSix   the better of absmax -> 6 and absmax -> 4 (Cook et al. 2025, "Four over six")
//   kSearch        the best of the ranges 1, 0.99, 0.98, ... of absmax (or of min and max)
// "Better" and "best": least sum of squares of (w - decoded), each times the column's importance if
// given; the first of equals.
enum class ScaleRule : uint8_t {
  kFormat,
  kAbsMax,
  kAbsMean,
  kPowerFloor,
  kPowerCeil,
  kFourOverSix,
  kSearch
};

struct NumberCodec {
  CodeKind kind = CodeKind::kInteger;
  ScaleType scale_type = ScaleType::kF32;
  ScaleRule rule = ScaleRule::kAbsMax;
  bool symmetric = true;
  int bits = 8;
  IntGrid grid;          // integers
  float max_value = 0;   // what absmax is divided by: (hi - lo) / 2, 448, 6, the codebook's largest
  int max_exponent = 0;  // of max_value, for E8M0
  float symmetric_zero = 0;        // -0.5 for int1, whose two values are +-scale / 2
  int search_steps = 0;            // of kSearch
  const float* values = nullptr;   // codebooks other than NF4: count ascending values
  const float* middles = nullptr;  // on the CPU: their count - 1 midpoints, for the vector loops
  int count = 0;
};

SWAGE_HD int Candidates(const NumberCodec& codec) {
  if (codec.rule == ScaleRule::kFourOverSix) return 2;
  return codec.rule == ScaleRule::kSearch ? codec.search_steps : 1;
}

// Candidate i takes this part of the range.
SWAGE_HD float CandidateRatio(const NumberCodec& codec, int i) {
  if (codec.rule == ScaleRule::kFourOverSix) return i == 0 ? 1.0f : 1.5f;
  return static_cast<float>(100 - i) / 100.0f;
}

// Largest scale of the first level of a two-level format.
SWAGE_HD float GlobalBound(const NumberCodec& codec) {
  return codec.rule == ScaleRule::kFourOverSix ? 256.0f : kFp8Max;
}

struct ScaleZero {
  float scale = 0;  // as stored
  float zero = 0;   // zero point of integers, or their float minimum
};

SWAGE_HD float SymmetricScaleOf(const NumberCodec& codec, float absmax, float global) {
  if (codec.scale_type == ScaleType::kE8M0) {
    const PowerRule rule = codec.rule == ScaleRule::kPowerFloor  ? PowerRule::kFloor
                           : codec.rule == ScaleRule::kPowerCeil ? PowerRule::kCeil
                                                                 : PowerRule::kSnap;
    return E8M0Value(E8M0Of(absmax, codec.max_value, codec.max_exponent, rule));
  }
  const float scale = absmax / codec.max_value;
  return RoundScale(codec.scale_type == ScaleType::kE4M3 ? global * scale : scale,
                    codec.scale_type);
}

// min <= 0 <= max.
SWAGE_HD ScaleZero ScaleOfRange(const NumberCodec& codec, float min, float max, float global) {
  ScaleZero result;
  if (codec.symmetric) {
    result.scale = SymmetricScaleOf(codec, -min > max ? -min : max, global);
    result.zero = codec.symmetric_zero;
  } else if (codec.kind == CodeKind::kIntegerMinimum) {
    result.scale = RoundScale((max - min) / (codec.grid.hi - codec.grid.lo), codec.scale_type);
    result.zero = codec.scale_type == ScaleType::kF16    ? FloatOfF16(F16Of(min))
                  : codec.scale_type == ScaleType::kBF16 ? FloatOfBf16(Bf16Of(min))
                                                         : min;
  } else {
    const ScaleAndZero s = AsymmetricScale(min, max, codec.grid);
    result.scale =
        codec.scale_type == ScaleType::kF32
            ? s.scale
            : RoundScale((max - min) / (codec.grid.hi - codec.grid.lo), codec.scale_type);
    result.zero = static_cast<float>(s.zero);
  }
  return result;
}

SWAGE_HD float EffectiveScale(const NumberCodec& codec, float scale, float global) {
  return codec.scale_type == ScaleType::kE4M3 ? scale / global : scale;
}

SWAGE_HD int8_t EncodeNumber(const NumberCodec& codec, float w, float scale, float zero) {
  switch (codec.kind) {
    case CodeKind::kIntegerMinimum:
      return static_cast<int8_t>(
          rintf(ClampToGrid((w - zero) / scale + codec.grid.lo, codec.grid)));
    case CodeKind::kFp8E4M3:
      return static_cast<int8_t>(QuantizeFp8(w, scale));
    case CodeKind::kFp8E5M2:
      return static_cast<int8_t>(EncodeFp8E5M2(w / scale + 0.0f));
    case CodeKind::kFp4:
      return static_cast<int8_t>(EncodeFp4(w / scale));
    case CodeKind::kCodebook:
      return static_cast<int8_t>(codec.values == nullptr
                                     ? NearestNf4(w / scale)
                                     : NearestCodeword(codec.values, codec.count, w / scale));
    default:
      return QuantizeInt(w, scale, zero, codec.grid);
  }
}

// Codes beyond a codebook's count decode as its last value.
SWAGE_HD float DecodeNumber(const NumberCodec& codec, int8_t code, float scale, float zero) {
  const uint8_t byte = static_cast<uint8_t>(code);
  switch (codec.kind) {
    case CodeKind::kIntegerMinimum:
      return (static_cast<float>(code) - codec.grid.lo) * scale + zero;
    case CodeKind::kFp8E4M3:
      return DequantizeFp8(byte, scale);
    case CodeKind::kFp8E5M2:
      return DecodeFp8E5M2(byte) * scale;
    case CodeKind::kFp4:
      return DecodeFp4(byte) * scale;
    case CodeKind::kCodebook: {
      const int last = codec.count - 1, at = byte < last ? byte : last;
      return (codec.values == nullptr ? Nf4Value(at) : codec.values[at]) * scale;
    }
    default:
      return DequantizeInt(code, scale, zero);
  }
}

// What is summed to compare candidates.
SWAGE_HD float SquaredError(const NumberCodec& codec, float w, float importance, float scale,
                            float zero) {
  const float off = w - DecodeNumber(codec, EncodeNumber(codec, w, scale, zero), scale, zero);
  return off * off * importance;
}

}  // namespace swage
