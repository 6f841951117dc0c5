// Number formats: quantize, dequantize, pack, casts.
#include <algorithm>
#include <cmath>

#include "kernels/api/check.h"
#include "kernels/numeric/half.h"
#include "kernels/ref/ops_ref.h"

namespace swage {
namespace {

// What is known of one rectangle of weights.
class Unit {
 public:
  Unit(const NumberCodec& codec, const Rectangle& at, const float* w, int64_t stride,
       const float* importance)
      : codec_(codec), at_(at), w_(w + at.row * stride + at.column), stride_(stride) {
    if (importance != nullptr) importance_ = importance + at.column;
  }

  ScaleZero BestScale(float global) const {
    float min = 0, max = 0;
    for (int64_t r = 0; r < at_.rows; ++r) {
      for (int64_t c = 0; c < at_.columns; ++c) {
        min = std::min(min, At(r, c));
        max = std::max(max, At(r, c));
      }
    }
    if (codec_.rule == ScaleRule::kAbsMean) {
      const double mean = AbsSum() / static_cast<double>(at_.rows * at_.columns);
      return ScaleOfRange(codec_, 0, static_cast<float>(mean) * codec_.max_value, global);
    }
    const int candidates = Candidates(codec_);
    ScaleZero best = ScaleOfRange(codec_, min, max, global);
    if (candidates == 1) return best;
    double best_error = ErrorOf(best, global);
    for (int i = 1; i < candidates; ++i) {
      const float ratio = CandidateRatio(codec_, i);
      const ScaleZero next = ScaleOfRange(codec_, min * ratio, max * ratio, global);
      const double error = ErrorOf(next, global);
      if (error < best_error) {
        best = next;
        best_error = error;
      }
    }
    return best;
  }

 private:
  float At(int64_t r, int64_t c) const { return w_[r * stride_ + c]; }

  double AbsSum() const {
    double sum = 0;
    for (int64_t r = 0; r < at_.rows; ++r) {
      LaneSums lanes;
      for (int64_t c = 0; c < at_.columns; ++c) lanes.lane[c % kSumLanes] += std::fabs(At(r, c));
      sum += static_cast<double>(TreeSum(lanes));
    }
    return sum;
  }

  double ErrorOf(const ScaleZero& s, float global) const {
    const float scale = EffectiveScale(codec_, s.scale, global);
    double sum = 0;
    for (int64_t r = 0; r < at_.rows; ++r) {
      LaneSums lanes;
      for (int64_t c = 0; c < at_.columns; ++c) {
        const float importance = importance_ == nullptr ? 1.0f : importance_[c];
        lanes.lane[c % kSumLanes] += SquaredError(codec_, At(r, c), importance, scale, s.zero);
      }
      sum += static_cast<double>(TreeSum(lanes));
    }
    return sum;
  }

  const NumberCodec& codec_;
  const Rectangle at_;
  const float* w_;
  const int64_t stride_;
  const float* importance_ = nullptr;
};

float AbsMax(int64_t n, const float* w) {
  float max = 0;
  for (int64_t i = 0; i < n; ++i) max = std::max(max, std::fabs(w[i]));
  return max;
}

float ZeroAt(const QuantizeArgs& args, const NumberCodec& codec, int64_t at) {
  if (args.symmetric) return codec.symmetric_zero;
  return args.minima != nullptr ? args.minima[at] : static_cast<float>(args.zeros[at]);
}

}  // namespace

Status RefOps::Quantize(const QuantizeArgs& args) {
  SWAGE_ASSIGN_OR_RETURN(const QuantizeLayout layout, CheckQuantize(args, true));
  if (args.out == 0 || args.in == 0) return Status();
  const NumberCodec& codec = layout.codec;
  if (layout.two_level && !args.given_global && !args.given_scales) {
    args.global_scale[0] =
        GlobalScale(AbsMax(args.out * args.in, args.w), codec.max_value, GlobalBound(codec));
  }
  const float global = layout.two_level ? args.global_scale[0] : 1.0f;
  for (int64_t at = 0; at < ScaleCount(layout.grid); ++at) {
    const Rectangle part = RectangleOf(layout.grid, at);
    if (!args.given_scales) {
      const ScaleZero s = Unit(codec, part, args.w, args.in, args.importance).BestScale(global);
      args.scales[at] = s.scale;
      if (!args.symmetric && args.minima != nullptr) args.minima[at] = s.zero;
      if (!args.symmetric && args.zeros != nullptr) args.zeros[at] = static_cast<int8_t>(s.zero);
    }
    const float scale = EffectiveScale(codec, args.scales[at], global);
    for (int64_t r = part.row; r < part.row + part.rows; ++r) {
      for (int64_t c = part.column; c < part.column + part.columns; ++c) {
        const int64_t i = r * args.in + c;
        args.codes[i] = EncodeNumber(codec, args.w[i], scale, ZeroAt(args, codec, at));
      }
    }
  }
  return Status();
}

Status RefOps::Dequantize(const QuantizeArgs& args, float* w) {
  SWAGE_ASSIGN_OR_RETURN(const QuantizeLayout layout, CheckQuantize(args, false));
  if (args.out == 0 || args.in == 0) return Status();
  const float global = layout.two_level ? args.global_scale[0] : 1.0f;
  for (int64_t i = 0; i < args.out * args.in; ++i) {
    const int64_t at = ScaleIndexOf(layout.grid, i);
    w[i] = DecodeNumber(layout.codec, args.codes[i],
                        EffectiveScale(layout.codec, args.scales[at], global),
                        ZeroAt(args, layout.codec, at));
  }
  return Status();
}

Status RefOps::FakeQuantize(const FakeQuantizeArgs& args) {
  SWAGE_ASSIGN_OR_RETURN(const QuantizeLayout layout, CheckFakeQuantize(args));
  if (args.rows == 0 || args.n == 0) return Status();
  const NumberCodec& codec = layout.codec;
  const float global = layout.two_level ? args.global_scale : 1.0f;
  for (int64_t at = 0; at < ScaleCount(layout.grid); ++at) {
    const Rectangle part = RectangleOf(layout.grid, at);
    ScaleZero s = Unit(codec, part, args.x, args.n, nullptr).BestScale(global);
    if (args.static_scale > 0) s.scale = args.static_scale;
    const float scale = EffectiveScale(codec, s.scale, global);
    float* x = args.x + part.row * args.n + part.column;
    for (int64_t c = 0; c < part.columns; ++c) {
      x[c] = DecodeNumber(codec, EncodeNumber(codec, x[c], scale, s.zero), scale, s.zero);
    }
  }
  return Status();
}

Status RefOps::FakeQuantizeRows(int64_t rows, int64_t n, const std::string& format, float* x) {
  SWAGE_ASSIGN_OR_RETURN(const FakeQuantizeArgs args, RowsAsArgs(rows, n, format, x));
  return FakeQuantize(args);
}

Status RefOps::PackRows(int64_t rows, int64_t n, int bits, const int8_t* codes, int32_t* words) {
  return PackCodes({rows, n, CodePacking::kWords, bits}, codes, reinterpret_cast<uint8_t*>(words));
}

Status RefOps::UnpackRows(int64_t rows, int64_t n, int bits, const int32_t* words, int8_t* codes) {
  return UnpackCodes({rows, n, CodePacking::kWords, bits}, reinterpret_cast<const uint8_t*>(words),
                     codes);
}

Status RefOps::PackCodes(const PackArgs& args, const int8_t* codes, uint8_t* bytes) {
  SWAGE_RETURN_IF_ERROR(CheckPack("pack", args));
  const int64_t width = PackedRowBytes(args.packing, args.bits, args.n);
  for (int64_t r = 0; r < args.rows; ++r) {
    for (int64_t i = 0; i < width; ++i) {
      bytes[r * width + i] = PackedByte(args.packing, args.bits, codes + r * args.n, args.n, i);
    }
  }
  return Status();
}

Status RefOps::UnpackCodes(const PackArgs& args, const uint8_t* bytes, int8_t* codes) {
  SWAGE_RETURN_IF_ERROR(CheckPack("unpack", args));
  const int64_t width = PackedRowBytes(args.packing, args.bits, args.n);
  for (int64_t r = 0; r < args.rows; ++r) {
    for (int64_t i = 0; i < args.n; ++i) {
      codes[r * args.n + i] = CodeOfStream(args.packing, args.bits, bytes + r * width, i);
    }
  }
  return Status();
}

Status RefOps::ErrorSums(int64_t n, const float* a, const float* b, double* error2, double* norm2) {
  SWAGE_RETURN_IF_ERROR(CheckSize("error sums", n, 1));
  *error2 = *norm2 = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double difference = static_cast<double>(a[i]) - b[i];
    *error2 += difference * difference;
    *norm2 += static_cast<double>(a[i]) * a[i];
  }
  return Status();
}

Status RefOps::CastToF32(int64_t n, const void* x, DType type, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("cast", n, 1));
  SWAGE_RETURN_IF_ERROR(CheckCast(type));
  for (int64_t i = 0; i < n; ++i) {
    switch (type) {
      case DType::kF16:
        y[i] = FloatOfF16(static_cast<const uint16_t*>(x)[i]);
        break;
      case DType::kBF16:
        y[i] = FloatOfBf16(static_cast<const uint16_t*>(x)[i]);
        break;
      case DType::kF8E4M3:
        y[i] = DecodeFp8(static_cast<const uint8_t*>(x)[i]);
        break;
      default:
        y[i] = static_cast<const float*>(x)[i];
    }
  }
  return Status();
}

Status RefOps::CastFromF32(int64_t n, const float* x, DType type, void* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("cast", n, 1));
  SWAGE_RETURN_IF_ERROR(CheckCast(type));
  for (int64_t i = 0; i < n; ++i) {
    switch (type) {
      case DType::kF16:
        static_cast<uint16_t*>(y)[i] = F16Of(x[i]);
        break;
      case DType::kBF16:
        static_cast<uint16_t*>(y)[i] = Bf16Of(x[i]);
        break;
      case DType::kF8E4M3:
        static_cast<uint8_t*>(y)[i] = EncodeFp8(x[i]);
        break;
      default:
        static_cast<float*>(y)[i] = x[i];
    }
  }
  return Status();
}

StatusOr<bool> RefOps::AllFinite(int64_t n, const float* x) {
  SWAGE_RETURN_IF_ERROR(CheckSize("all finite", n, 1));
  for (int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(x[i])) return false;
  }
  return true;
}

}  // namespace swage
