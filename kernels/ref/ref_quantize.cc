// Number formats: quantize, dequantize, pack, casts.
#include <algorithm>
#include <cmath>

#include "kernels/api/check.h"
#include "kernels/numeric/fp8_e4m3.h"
#include "kernels/numeric/half.h"
#include "kernels/numeric/int_quant.h"
#include "kernels/ref/ops_ref.h"

namespace swage {
namespace {

// Of `rows` runs of `columns` values, `stride` apart; zero is always inside.
struct Range {
  float min = 0, max = 0;
};

Range RangeOf(const float* w, int64_t rows, int64_t columns, int64_t stride) {
  Range range;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      range.min = std::min(range.min, w[r * stride + c]);
      range.max = std::max(range.max, w[r * stride + c]);
    }
  }
  return range;
}

ScaleAndZero ScaleOf(Range range, const FormatRow& format, bool symmetric) {
  const float absmax = std::max(-range.min, range.max);
  if (format.kind == FormatKind::kFloat) return {Fp8Scale(absmax), 0};
  const IntGrid grid = IntGridOf(format.bits);
  if (symmetric) return {SymmetricScale(absmax, grid), 0};
  return AsymmetricScale(range.min, range.max, grid);
}

int8_t Encode(float w, float scale, int8_t zero, const FormatRow& format) {
  if (format.kind == FormatKind::kFloat) return static_cast<int8_t>(QuantizeFp8(w, scale));
  return QuantizeInt(w, scale, zero, IntGridOf(format.bits));
}

float Decode(int8_t code, float scale, int8_t zero, const FormatRow& format) {
  if (format.kind == FormatKind::kFloat) return DequantizeFp8(static_cast<uint8_t>(code), scale);
  return DequantizeInt(code, scale, zero);
}

}  // namespace

Status RefOps::Quantize(const QuantizeArgs& args) {
  SWAGE_ASSIGN_OR_RETURN(const QuantizeLayout layout, CheckQuantize(args, true));
  if (args.out == 0 || args.in == 0) return Status();
  if (args.per_tensor) {
    const ScaleAndZero s =
        ScaleOf(RangeOf(args.w, args.out, args.in, args.in), *layout.format, args.symmetric);
    args.scales[0] = s.scale;
    if (!args.symmetric) args.zeros[0] = s.zero;
  }
  for (int64_t r = 0; r < args.out; ++r) {
    for (int64_t g = 0; g < layout.groups_per_row; ++g) {
      const float* w = args.w + r * args.in + g * layout.group;
      const int64_t at = args.per_tensor ? 0 : r * layout.groups_per_row + g;
      if (!args.per_tensor) {
        const ScaleAndZero s =
            ScaleOf(RangeOf(w, 1, layout.group, 0), *layout.format, args.symmetric);
        args.scales[at] = s.scale;
        if (!args.symmetric) args.zeros[at] = s.zero;
      }
      int8_t* codes = args.codes + (w - args.w);
      const int8_t zero = args.symmetric ? int8_t{0} : args.zeros[at];
      for (int64_t c = 0; c < layout.group; ++c) {
        codes[c] = Encode(w[c], args.scales[at], zero, *layout.format);
      }
    }
  }
  return Status();
}

Status RefOps::Dequantize(const QuantizeArgs& args, float* w) {
  SWAGE_ASSIGN_OR_RETURN(const QuantizeLayout layout, CheckQuantize(args, false));
  for (int64_t r = 0; r < args.out; ++r) {
    for (int64_t c = 0; c < args.in; ++c) {
      const int64_t at = args.per_tensor ? 0 : r * layout.groups_per_row + c / layout.group;
      const int8_t zero = args.symmetric ? int8_t{0} : args.zeros[at];
      const int64_t i = r * args.in + c;
      w[i] = Decode(args.codes[i], args.scales[at], zero, *layout.format);
    }
  }
  return Status();
}

Status RefOps::FakeQuantizeRows(int64_t rows, int64_t n, const std::string& format, float* x) {
  SWAGE_ASSIGN_OR_RETURN(const FormatRow* row, CheckFakeQuantize(rows, n, format));
  for (int64_t r = 0; r < rows; ++r) {
    float* at = x + r * n;
    const float scale = ScaleOf(RangeOf(at, 1, n, 0), *row, true).scale;
    for (int64_t c = 0; c < n; ++c) at[c] = Decode(Encode(at[c], scale, 0, *row), scale, 0, *row);
  }
  return Status();
}

Status RefOps::PackRows(int64_t rows, int64_t n, int bits, const int8_t* codes, int32_t* words) {
  SWAGE_RETURN_IF_ERROR(CheckBits("pack", bits));
  SWAGE_RETURN_IF_ERROR(CheckSize("pack", rows, n));
  const int64_t width = PackedWords(n, bits);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < width; ++i) {
      words[r * width + i] = static_cast<int32_t>(PackedWord(codes + r * n, n, bits, i));
    }
  }
  return Status();
}

Status RefOps::UnpackRows(int64_t rows, int64_t n, int bits, const int32_t* words, int8_t* codes) {
  SWAGE_RETURN_IF_ERROR(CheckBits("unpack", bits));
  SWAGE_RETURN_IF_ERROR(CheckSize("unpack", rows, n));
  const int64_t width = PackedWords(n, bits);
  for (int64_t r = 0; r < rows; ++r) {
    const auto* row = reinterpret_cast<const uint32_t*>(words + r * width);
    for (int64_t i = 0; i < n; ++i) codes[r * n + i] = UnpackedCode(row, bits, i);
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
