// Random numbers, stochastic rounding and rotations, cut among threads.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/api/check.h"
#include "kernels/api/check_families.h"
#include "kernels/cpu/families_cpu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd_families.h"
#include "kernels/numeric/hadamard.h"

namespace swage::cpu {
namespace {

// A strip of columns that is worked on at a time: wide enough for rows to come in runs of cache
// lines, and not larger than a usual second cache.
constexpr int64_t kStripFloats = 1 << 18;
constexpr int64_t kMaxStrip = 128;

// What one block needs: y = H (factors * x), or its inverse factors * (H^T x).
struct Rotation {
  HadamardShape shape;
  std::vector<float> paley;    // transposed for the inverse
  std::vector<float> factors;  // sign / sqrt(order) of every row or column; empty without signs
  float scale = 1;
};

StatusOr<Rotation> RotationOf(const HadamardArgs& args) {
  Rotation made;
  SWAGE_ASSIGN_OR_RETURN(made.shape, FindHadamardShape(args.block));
  const int base = made.shape.base;
  const std::vector<float> matrix = PaleyMatrix(base);
  made.paley = matrix;
  for (int i = 0; args.inverse && i < base; ++i) {
    for (int j = 0; j < base; ++j) made.paley[i * base + j] = matrix[j * base + i];
  }
  made.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(args.block)));
  if (!args.random_signs) return made;
  const int64_t side = args.side == HadamardSide::kRows ? args.columns : args.rows;
  std::vector<uint32_t> words(side);
  WordsRun(side, args.key, 0, words.data());
  made.factors.resize(side);
  for (int64_t i = 0; i < side; ++i) made.factors[i] = words[i] >> 31 != 0 ? -made.scale : made.scale;
  return made;
}

// The part of one block's transform that is no power of two; x is [base, inner].
void Mix(const Rotation& rotation, int64_t inner, float* x) {
  const int base = rotation.shape.base;
  if (base == 1) return;
  if (IsPairedPaley(base)) {
    MixPairedRows(base, inner, rotation.paley.data(), x);
  } else {
    MixRows(base, inner, rotation.paley.data(), x);
  }
}

// `factors` are those of this run of blocks; null without signs.
void RotateRun(const HadamardArgs& args, const Rotation& rotation, int64_t n, const float* factors,
               float* x) {
  const auto apply_factors = [&] {
    if (factors == nullptr) {
      TimesRun(n, rotation.scale, x, x);
    } else {
      TimesEachRun(n, factors, x);
    }
  };
  if (!args.inverse) apply_factors();
  HadamardRun(n, rotation.shape.power, x);
  for (int64_t i = 0; rotation.shape.base > 1 && i < n; i += args.block) {
    Mix(rotation, rotation.shape.power, x + i);
  }
  if (args.inverse) apply_factors();
}

void RotateRows(const HadamardArgs& args, const Rotation& rotation, int threads) {
  // Short blocks are taken in runs that stay in the first cache.
  constexpr int64_t kRun = 4096;
  const int64_t run = std::max(args.block, kRun / args.block * args.block);
  ParallelFor(threads, args.rows, RowGrain(args.columns), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t at = 0; at < args.columns; at += run) {
        RotateRun(args, rotation, std::min(run, args.columns - at),
                  rotation.factors.empty() ? nullptr : &rotation.factors[at],
                  args.x + r * args.columns + at);
      }
    }
  });
}

// One block of rows of some columns, copied to `strip` [block, width] and back.
void RotateStrip(const HadamardArgs& args, const Rotation& rotation, int64_t row, int64_t column,
                 int64_t width, float* strip) {
  const int64_t count = std::min(width, args.columns - column);
  const auto factor = [&](int64_t i) {
    return rotation.factors.empty() ? rotation.scale : rotation.factors[row + i];
  };
  if (count < width) std::fill(strip, strip + args.block * width, 0.0f);
  for (int64_t i = 0; i < args.block; ++i) {
    const float* in = args.x + (row + i) * args.columns + column;
    TimesRun(count, args.inverse ? 1.0f : factor(i), in, strip + i * width);
  }
  const int64_t power = rotation.shape.power, inner = power * width;
  for (int b = 0; b < rotation.shape.base; ++b) HadamardStrip(power, width, strip + b * inner);
  Mix(rotation, inner, strip);
  for (int64_t i = 0; i < args.block; ++i) {
    float* out = args.x + (row + i) * args.columns + column;
    TimesRun(count, args.inverse ? factor(i) : 1.0f, strip + i * width, out);
  }
}

void RotateColumns(const HadamardArgs& args, const Rotation& rotation, int threads) {
  const int64_t fitting = kStripFloats / args.block / kStripPad * kStripPad;
  const int64_t width = std::clamp(fitting, kStripPad, kMaxStrip);
  const int64_t strips = (args.columns + width - 1) / width, blocks = args.rows / args.block;
  ParallelForEach(threads, strips * blocks, [&](int64_t item) {
    thread_local std::vector<float> strip;
    strip.resize(std::max<size_t>(strip.size(), args.block * width));
    RotateStrip(args, rotation, item / strips * args.block, item % strips * width, width,
                strip.data());
  });
}

}  // namespace

Status CpuRandom::Words(int64_t n, const RandomKey& key, uint32_t* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("words", n, 1));
  ParallelFor(threads_, n, kElementGrain, [&](int64_t begin, int64_t end) {
    WordsRun(end - begin, key, begin, y + begin);
  });
  return Status();
}

Status CpuRandom::Uniform(int64_t n, const RandomKey& key, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("uniform", n, 1));
  ParallelFor(threads_, n, kElementGrain, [&](int64_t begin, int64_t end) {
    UniformRun(end - begin, key, begin, y + begin);
  });
  return Status();
}

Status CpuRandom::Normal(int64_t n, const RandomKey& key, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckNormal(n, key));
  ParallelFor(threads_, n, kElementGrain, [&](int64_t begin, int64_t end) {
    NormalRun(end - begin, key, begin, y + begin);
  });
  return Status();
}

Status CpuRandom::RoundToBf16(int64_t n, const float* x, const RandomKey& key, uint16_t* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("stochastic rounding", n, 1));
  ParallelFor(threads_, n, kElementGrain, [&](int64_t begin, int64_t end) {
    StochasticBf16Run(end - begin, x + begin, key, begin, y + begin);
  });
  return Status();
}

Status CpuRandom::RoundToGrid(int64_t n, const float* x, float scale, float zero, int low, int high,
                              const RandomKey& key, int8_t* codes) {
  SWAGE_RETURN_IF_ERROR(CheckGrid(n, scale, zero, low, high));
  const StochasticGrid grid{scale, zero, low, high};
  ParallelFor(threads_, n, kElementGrain, [&](int64_t begin, int64_t end) {
    StochasticGridRun(end - begin, x + begin, grid, key, begin, codes + begin);
  });
  return Status();
}

Status CpuRandom::Hadamard(const HadamardArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckHadamard(args));
  if (args.rows == 0 || args.columns == 0) return Status();
  SWAGE_ASSIGN_OR_RETURN(const Rotation rotation, RotationOf(args));
  if (args.side == HadamardSide::kRows) {
    RotateRows(args, rotation, threads_);
  } else {
    RotateColumns(args, rotation, threads_);
  }
  return Status();
}

}  // namespace swage::cpu
