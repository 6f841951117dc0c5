// Quantization and packing of matrices: rows are split among threads, each group is scanned and
// encoded while in cache.
#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "kernels/api/check.h"
#include "kernels/cpu/ops_cpu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd.h"

namespace swage {
namespace {

// Scales first, for several groups of together about this many weights: their reductions and
// divisions overlap, and the groups are still in the first-level cache when they are encoded.
constexpr int64_t kBatchWeights = 2048;
constexpr int64_t kBatchGroups = 256;

int64_t BatchOf(int64_t group) {
  return std::clamp<int64_t>(kBatchWeights / group, 1, kBatchGroups);
}

// A codebook's values, readable up to 16, and their midpoints, infinite behind the last.
class CodebookTables {
 public:
  explicit CodebookTables(NumberCodec* codec) {
    if (codec->kind != CodeKind::kCodebook) return;
    values_.resize(std::max(16, codec->count));
    for (int i = 0; i < static_cast<int>(values_.size()); ++i) {
      const int at = std::min(i, codec->count - 1);
      values_[i] = codec->values == nullptr ? Nf4Value(at) : codec->values[at];
    }
    for (int i = 0; i + 1 < codec->count; ++i) {
      middles_.push_back(CodebookMiddle(values_[i], values_[i + 1]));
    }
    while (middles_.size() < 16) middles_.push_back(std::numeric_limits<float>::infinity());
    codec->values = values_.data();
    codec->middles = middles_.data();
  }

 private:
  std::vector<float> values_, middles_;
};

// Sum of row_sum(r) in the order of the rows, whatever the number of threads.
template <typename RowSum>
double SumRows(int threads, int64_t rows, int64_t columns, const RowSum& row_sum) {
  if (rows == 1) return static_cast<double>(row_sum(0));
  std::vector<float> sums(rows);
  cpu::ParallelFor(threads, rows, cpu::RowGrain(columns), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) sums[r] = row_sum(r);
  });
  double sum = 0;
  for (const float s : sums) sum += static_cast<double>(s);
  return sum;
}

// One rectangle of weights that share a scale.
struct Unit {
  const NumberCodec& codec;
  const float* w = nullptr;
  const float* importance = nullptr;
  int64_t rows = 0, columns = 0, stride = 0;
  int threads = 1;

  cpu::MinMax Range() const {
    std::vector<cpu::MinMax> of_rows(rows);
    cpu::ParallelFor(threads, rows, cpu::RowGrain(columns), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) of_rows[r] = cpu::RangeOf(columns, w + r * stride);
    });
    cpu::MinMax range;
    for (const cpu::MinMax& row : of_rows) {
      range.min = std::min(range.min, row.min);
      range.max = std::max(range.max, row.max);
    }
    return range;
  }

  double ErrorOf(const ScaleZero& s, float global) const {
    const float scale = EffectiveScale(codec, s.scale, global);
    return SumRows(threads, rows, columns, [&](int64_t r) {
      return cpu::ErrorSumOf(codec, columns, w + r * stride, importance, scale, s.zero);
    });
  }

  ScaleZero BestScale(cpu::MinMax range, float global) const {
    if (codec.rule == ScaleRule::kAbsMean) {
      const double mean =
          SumRows(threads, rows, columns,
                  [&](int64_t r) { return cpu::AbsSumOf(columns, w + r * stride); }) /
          static_cast<double>(rows * columns);
      return ScaleOfRange(codec, 0, static_cast<float>(mean) * codec.max_value, global);
    }
    ScaleZero best = ScaleOfRange(codec, range.min, range.max, global);
    const int candidates = Candidates(codec);
    if (candidates == 1) return best;
    double best_error = ErrorOf(best, global);
    for (int i = 1; i < candidates; ++i) {
      const float ratio = CandidateRatio(codec, i);
      const ScaleZero next = ScaleOfRange(codec, range.min * ratio, range.max * ratio, global);
      const double error = ErrorOf(next, global);
      if (error < best_error) {
        best = next;
        best_error = error;
      }
    }
    return best;
  }
};

// What Quantize, Dequantize and FakeQuantize know of the scales.
class Scaling {
 public:
  Scaling(const QuantizeArgs& args, const NumberCodec& codec, float global)
      : args_(args), codec_(codec), global_(global) {}

  void Keep(int64_t at, const ScaleZero& s) const {
    args_.scales[at] = s.scale;
    if (args_.symmetric) return;
    if (args_.minima != nullptr) args_.minima[at] = s.zero;
    if (args_.zeros != nullptr) args_.zeros[at] = static_cast<int8_t>(s.zero);
  }
  // Effective scales and zeros of `count` scales from `first` on.
  void Load(int64_t first, int64_t count, float* scales, float* zeros) const {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t at = first + i;
      scales[i] = EffectiveScale(codec_, args_.scales[at], global_);
      zeros[i] = args_.symmetric           ? codec_.symmetric_zero
                 : args_.minima != nullptr ? args_.minima[at]
                                           : static_cast<float>(args_.zeros[at]);
    }
  }
  // Whether the range alone decides a scale.
  bool simple() const { return codec_.rule != ScaleRule::kAbsMean && Candidates(codec_) == 1; }

  const QuantizeArgs& args() const { return args_; }
  const NumberCodec& codec() const { return codec_; }
  float global() const { return global_; }

 private:
  const QuantizeArgs& args_;
  const NumberCodec& codec_;
  const float global_;
};

using Floats = std::array<float, kBatchGroups>;

// Scales of `count` groups that lie one after the other from group `first` on.
void ChooseScales(const Scaling& s, int64_t first, int64_t count) {
  const int64_t group = s.args().group;
  const float* w = s.args().w + first * group;
  Floats mins, maxs;
  cpu::RangeGroups(count, group, w, s.codec().symmetric ? nullptr : mins.data(), maxs.data());
  if (s.codec().symmetric) mins.fill(0.0f);
  for (int64_t g = 0; g < count; ++g) {
    if (s.simple()) {
      s.Keep(first + g, ScaleOfRange(s.codec(), mins[g], maxs[g], s.global()));
      continue;
    }
    const float* importance = s.args().importance;
    if (importance != nullptr) importance += (first + g) * group % s.args().in;
    const Unit unit{s.codec(), w + g * group, importance, 1, group, group, 1};
    s.Keep(first + g, unit.BestScale({mins[g], maxs[g]}, s.global()));
  }
}

void QuantizeGroupsOfRows(const Scaling& s, int64_t first, int64_t last) {
  const int64_t group = s.args().group, batch = BatchOf(group);
  Floats scales, zeros;
  for (int64_t at = first; at < last; at += batch) {
    const int64_t count = std::min(batch, last - at);
    if (!s.args().given_scales) ChooseScales(s, at, count);
    s.Load(at, count, scales.data(), zeros.data());
    cpu::EncodeGroups(s.codec(), count, group, s.args().w + at * group, scales.data(), zeros.data(),
                      s.args().codes + at * group);
  }
}

// Calls run(groups, columns, column) for the whole groups of a row and for the smaller one at its
// end.
template <typename Run>
void ForRow(const ScaleGrid& grid, const Run& run) {
  const int64_t whole = grid.in / grid.columns, rest = grid.in % grid.columns;
  if (whole > 0) run(whole, grid.columns, int64_t{0});
  if (rest > 0) run(int64_t{1}, rest, whole * grid.columns);
}

void QuantizeBand(const Scaling& s, const ScaleGrid& grid, int64_t band) {
  const QuantizeArgs& args = s.args();
  const int64_t across = ScalesAcross(grid);
  for (int64_t at = band * across; at < (band + 1) * across && !args.given_scales; ++at) {
    const Rectangle part = RectangleOf(grid, at);
    const Unit unit{s.codec(),
                    args.w + part.row * args.in + part.column,
                    args.importance == nullptr ? nullptr : args.importance + part.column,
                    part.rows,
                    part.columns,
                    args.in,
                    1};
    s.Keep(at, unit.BestScale(unit.Range(), s.global()));
  }
  std::vector<float> scales(across), zeros(across);
  s.Load(band * across, across, scales.data(), zeros.data());
  const int64_t end = std::min(grid.out, (band + 1) * grid.rows);
  for (int64_t r = band * grid.rows; r < end; ++r) {
    ForRow(grid, [&](int64_t groups, int64_t columns, int64_t column) {
      const int64_t i = r * grid.in + column, first = column / grid.columns;
      cpu::EncodeGroups(s.codec(), groups, columns, args.w + i, &scales[first], &zeros[first],
                        args.codes + i);
    });
  }
}

void QuantizeTensor(int threads, const Scaling& s) {
  const QuantizeArgs& args = s.args();
  if (!args.given_scales) {
    const Unit unit{s.codec(), args.w, args.importance, args.out, args.in, args.in, threads};
    s.Keep(0, unit.BestScale(unit.Range(), s.global()));
  }
  float scale = 0, zero = 0;
  s.Load(0, 1, &scale, &zero);
  const int64_t n = args.out * args.in;
  cpu::ParallelFor(threads, n, cpu::kElementGrain, [&](int64_t begin, int64_t end) {
    cpu::EncodeGroups(s.codec(), 1, end - begin, args.w + begin, &scale, &zero, args.codes + begin);
  });
}

}  // namespace

Status CpuOps::Quantize(const QuantizeArgs& args) {
  SWAGE_ASSIGN_OR_RETURN(QuantizeLayout layout, CheckQuantize(args, true));
  if (args.out == 0 || args.in == 0) return Status();
  const CodebookTables tables(&layout.codec);
  if (layout.two_level && !args.given_global && !args.given_scales) {
    const Unit all{layout.codec, args.w, nullptr, args.out, args.in, args.in, threads_};
    const cpu::MinMax range = all.Range();
    args.global_scale[0] = GlobalScale(std::max(-range.min, range.max), layout.codec.max_value,
                                       GlobalBound(layout.codec));
  }
  const Scaling scaling(args, layout.codec, layout.two_level ? args.global_scale[0] : 1.0f);
  if (args.per_tensor) {
    QuantizeTensor(threads_, scaling);
  } else if (layout.grid.rows == 1) {
    const int64_t across = ScalesAcross(layout.grid);
    cpu::ParallelFor(threads_, args.out, cpu::RowGrain(args.in), [&](int64_t begin, int64_t end) {
      QuantizeGroupsOfRows(scaling, begin * across, end * across);
    });
  } else {
    cpu::ParallelFor(threads_, ScalesDown(layout.grid), 1, [&](int64_t begin, int64_t end) {
      for (int64_t band = begin; band < end; ++band) QuantizeBand(scaling, layout.grid, band);
    });
  }
  return Status();
}

Status CpuOps::Dequantize(const QuantizeArgs& args, float* w) {
  SWAGE_ASSIGN_OR_RETURN(QuantizeLayout layout, CheckQuantize(args, false));
  if (args.out == 0 || args.in == 0) return Status();
  const CodebookTables tables(&layout.codec);
  const ScaleGrid& grid = layout.grid;
  const Scaling s(args, layout.codec, layout.two_level ? args.global_scale[0] : 1.0f);
  const int64_t across = ScalesAcross(grid);
  cpu::ParallelFor(threads_, args.out, cpu::RowGrain(args.in), [&](int64_t begin, int64_t end) {
    Floats scales, zeros;
    const auto decode = [&](int64_t i, int64_t first, int64_t groups, int64_t columns) {
      const int64_t batch = BatchOf(columns);
      for (int64_t g = 0; g < groups; g += batch) {
        const int64_t count = std::min(batch, groups - g);
        s.Load(first + g, count, scales.data(), zeros.data());
        cpu::DecodeGroups(s.codec(), count, columns, args.codes + i + g * columns, scales.data(),
                          zeros.data(), w + i + g * columns);
      }
    };
    if (grid.rows == 1) {
      decode(begin * grid.in, begin * across, (end - begin) * across, grid.columns);
      return;
    }
    for (int64_t r = begin; r < end; ++r) {
      ForRow(grid, [&](int64_t groups, int64_t columns, int64_t column) {
        decode(r * grid.in + column, r / grid.rows * across + column / grid.columns, groups,
               columns);
      });
    }
  });
  return Status();
}

Status CpuOps::FakeQuantize(const FakeQuantizeArgs& args) {
  SWAGE_ASSIGN_OR_RETURN(QuantizeLayout layout, CheckFakeQuantize(args));
  if (args.rows == 0 || args.n == 0) return Status();
  const CodebookTables tables(&layout.codec);
  const NumberCodec& codec = layout.codec;
  const float global = layout.two_level ? args.global_scale : 1.0f;
  const int64_t group = args.group, batch = BatchOf(group), across = args.n / group;
  cpu::ParallelFor(threads_, args.rows, cpu::RowGrain(args.n), [&](int64_t begin, int64_t end) {
    Floats scales, zeros;
    zeros.fill(codec.symmetric_zero);
    for (int64_t at = begin * across; at < end * across; at += batch) {
      const int64_t count = std::min(batch, end * across - at);
      float* x = args.x + at * group;
      cpu::RangeGroups(count, group, x, nullptr, scales.data());
      for (int64_t g = 0; g < count; ++g) {
        float scale = args.static_scale;
        if (scale == 0 && codec.rule == ScaleRule::kAbsMax) {
          scale = SymmetricScaleOf(codec, scales[g], global);
        } else if (scale == 0) {
          const Unit unit{codec, x + g * group, nullptr, 1, group, group, 1};
          scale = unit.BestScale({0, scales[g]}, global).scale;
        }
        scales[g] = EffectiveScale(codec, scale, global);
      }
      cpu::FakeGroups(codec, count, group, scales.data(), zeros.data(), x);
    }
  });
  return Status();
}

Status CpuOps::FakeQuantizeRows(int64_t rows, int64_t n, const std::string& format, float* x) {
  SWAGE_ASSIGN_OR_RETURN(const FakeQuantizeArgs args, RowsAsArgs(rows, n, format, x));
  return FakeQuantize(args);
}

Status CpuOps::PackRows(int64_t rows, int64_t n, int bits, const int8_t* codes, int32_t* words) {
  return PackCodes({rows, n, CodePacking::kWords, bits}, codes, reinterpret_cast<uint8_t*>(words));
}

Status CpuOps::UnpackRows(int64_t rows, int64_t n, int bits, const int32_t* words, int8_t* codes) {
  return UnpackCodes({rows, n, CodePacking::kWords, bits}, reinterpret_cast<const uint8_t*>(words),
                     codes);
}

Status CpuOps::PackCodes(const PackArgs& args, const int8_t* codes, uint8_t* bytes) {
  SWAGE_RETURN_IF_ERROR(CheckPack("pack", args));
  const int64_t width = PackedRowBytes(args.packing, args.bits, args.n);
  cpu::ParallelFor(threads_, args.rows, cpu::RowGrain(args.n), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      cpu::PackRow(args.packing, args.bits, args.n, codes + r * args.n, bytes + r * width);
    }
  });
  return Status();
}

Status CpuOps::UnpackCodes(const PackArgs& args, const uint8_t* bytes, int8_t* codes) {
  SWAGE_RETURN_IF_ERROR(CheckPack("unpack", args));
  const int64_t width = PackedRowBytes(args.packing, args.bits, args.n);
  cpu::ParallelFor(threads_, args.rows, cpu::RowGrain(args.n), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      cpu::UnpackRow(args.packing, args.bits, args.n, bytes + r * width, codes + r * args.n);
    }
  });
  return Status();
}

}  // namespace swage
