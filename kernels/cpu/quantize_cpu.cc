// Quantization and packing of matrices: rows are split among threads, each group is scanned and
// encoded while in cache.
#include <algorithm>
#include <vector>

#include "kernels/api/check.h"
#include "kernels/cpu/ops_cpu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd.h"
#include "kernels/numeric/fp8_e4m3.h"

namespace swage {
namespace {

ScaleAndZero ScaleOf(cpu::MinMax range, const FormatRow& format, bool symmetric) {
  const float absmax = std::max(-range.min, range.max);
  if (format.kind == FormatKind::kFloat) return {Fp8Scale(absmax), 0};
  const IntGrid grid = IntGridOf(format.bits);
  if (symmetric) return {SymmetricScale(absmax, grid), 0};
  return AsymmetricScale(range.min, range.max, grid);
}

void EncodeRun(int64_t n, const float* w, ScaleAndZero s, const FormatRow& format, int8_t* codes) {
  if (format.kind == FormatKind::kFloat) {
    cpu::QuantizeFp8Run(n, w, s.scale, codes);
  } else {
    cpu::QuantizeIntRun(n, w, s.scale, s.zero, IntGridOf(format.bits), codes);
  }
}

void DecodeRun(int64_t n, const int8_t* codes, ScaleAndZero s, const FormatRow& format, float* w) {
  if (format.kind == FormatKind::kFloat) {
    cpu::DequantizeFp8Run(n, codes, s.scale, w);
  } else {
    cpu::DequantizeIntRun(n, codes, s.scale, s.zero, w);
  }
}

void Keep(const QuantizeArgs& args, int64_t at, ScaleAndZero s) {
  args.scales[at] = s.scale;
  if (!args.symmetric) args.zeros[at] = s.zero;
}

// Minimum and maximum do not depend on the order, so the parts may be any.
cpu::MinMax RangeOfAll(int threads, const QuantizeArgs& args) {
  std::vector<cpu::MinMax> rows(args.out);
  cpu::ParallelFor(threads, args.out, cpu::RowGrain(args.in), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) rows[r] = cpu::RangeOf(args.in, args.w + r * args.in);
  });
  cpu::MinMax range;
  for (const cpu::MinMax& row : rows) {
    range.min = std::min(range.min, row.min);
    range.max = std::max(range.max, row.max);
  }
  return range;
}

}  // namespace

Status CpuOps::Quantize(const QuantizeArgs& args) {
  SWAGE_ASSIGN_OR_RETURN(const QuantizeLayout layout, CheckQuantize(args, true));
  if (args.out == 0 || args.in == 0) return Status();
  const FormatRow& format = *layout.format;
  ScaleAndZero whole;
  if (args.per_tensor) {
    whole = ScaleOf(RangeOfAll(threads_, args), format, args.symmetric);
    Keep(args, 0, whole);
  }
  cpu::ParallelFor(threads_, args.out, cpu::RowGrain(args.in), [&](int64_t begin, int64_t end) {
    const int64_t at = begin * args.in, first = begin * layout.groups_per_row;
    if (args.per_tensor) {
      EncodeRun((end - begin) * args.in, args.w + at, whole, format, args.codes + at);
    } else if (format.kind == FormatKind::kFloat) {
      for (int64_t r = begin; r < end; ++r) {  // groups are rows: fp8 has no others
        const float* w = args.w + r * args.in;
        const ScaleAndZero s = ScaleOf(cpu::RangeOf(args.in, w), format, true);
        Keep(args, r, s);
        EncodeRun(args.in, w, s, format, args.codes + r * args.in);
      }
    } else {
      cpu::QuantizeIntGroups((end - begin) * layout.groups_per_row, layout.group, args.w + at,
                             IntGridOf(format.bits), args.scales + first,
                             args.symmetric ? nullptr : args.zeros + first, args.codes + at);
    }
  });
  return Status();
}

Status CpuOps::Dequantize(const QuantizeArgs& args, float* w) {
  SWAGE_ASSIGN_OR_RETURN(const QuantizeLayout layout, CheckQuantize(args, false));
  cpu::ParallelFor(threads_, args.out, cpu::RowGrain(args.in), [&](int64_t begin, int64_t end) {
    for (int64_t g = begin * layout.groups_per_row; g < end * layout.groups_per_row; ++g) {
      const int64_t at = args.per_tensor ? 0 : g;
      const ScaleAndZero s{args.scales[at], args.symmetric ? int8_t{0} : args.zeros[at]};
      DecodeRun(layout.group, args.codes + g * layout.group, s, *layout.format,
                w + g * layout.group);
    }
  });
  return Status();
}

Status CpuOps::FakeQuantizeRows(int64_t rows, int64_t n, const std::string& format, float* x) {
  SWAGE_ASSIGN_OR_RETURN(const FormatRow* row, CheckFakeQuantize(rows, n, format));
  cpu::ParallelFor(threads_, rows, cpu::RowGrain(n), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float scale = ScaleOf(cpu::RangeOf(n, x + r * n), *row, true).scale;
      if (row->kind == FormatKind::kFloat) {
        cpu::FakeQuantizeFp8Run(n, scale, x + r * n);
      } else {
        cpu::FakeQuantizeIntRun(n, scale, IntGridOf(row->bits), x + r * n);
      }
    }
  });
  return Status();
}

Status CpuOps::PackRows(int64_t rows, int64_t n, int bits, const int8_t* codes, int32_t* words) {
  SWAGE_RETURN_IF_ERROR(CheckBits("pack", bits));
  SWAGE_RETURN_IF_ERROR(CheckSize("pack", rows, n));
  const int64_t width = PackedWords(n, bits);
  cpu::ParallelFor(threads_, rows, cpu::RowGrain(n), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      cpu::PackRow(n, bits, codes + r * n, reinterpret_cast<uint32_t*>(words + r * width));
    }
  });
  return Status();
}

Status CpuOps::UnpackRows(int64_t rows, int64_t n, int bits, const int32_t* words, int8_t* codes) {
  SWAGE_RETURN_IF_ERROR(CheckBits("unpack", bits));
  SWAGE_RETURN_IF_ERROR(CheckSize("unpack", rows, n));
  const int64_t width = PackedWords(n, bits);
  cpu::ParallelFor(threads_, rows, cpu::RowGrain(n), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      cpu::UnpackRow(n, bits, reinterpret_cast<const uint32_t*>(words + r * width), codes + r * n);
    }
  });
  return Status();
}

}  // namespace swage
