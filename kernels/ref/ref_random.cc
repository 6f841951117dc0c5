#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "kernels/api/check.h"
#include "kernels/api/check_families.h"
#include "kernels/numeric/hadamard.h"
#include "kernels/ref/families_ref.h"

namespace swage {

Status RefRandom::Words(int64_t n, const RandomKey& key, uint32_t* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("words", n, 1));
  for (int64_t i = 0; i < n; ++i) y[i] = RandomWord(key, i);
  return Status();
}

Status RefRandom::Uniform(int64_t n, const RandomKey& key, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("uniform", n, 1));
  for (int64_t i = 0; i < n; ++i) y[i] = UnitOf(RandomWord(key, i));
  return Status();
}

Status RefRandom::Normal(int64_t n, const RandomKey& key, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckNormal(n, key));
  for (int64_t i = 0; i < n; ++i) {
    const int64_t pair = i - i % 2;
    const double radius = std::sqrt(-2 * std::log(double{OpenUnitOf(RandomWord(key, pair))}));
    const double angle = 2 * std::numbers::pi * UnitOf(RandomWord(key, pair + 1));
    y[i] = static_cast<float>(radius * (i % 2 == 0 ? std::cos(angle) : std::sin(angle)));
  }
  return Status();
}

Status RefRandom::RoundToBf16(int64_t n, const float* x, const RandomKey& key, uint16_t* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("stochastic rounding", n, 1));
  for (int64_t i = 0; i < n; ++i) y[i] = StochasticBf16Of(x[i], RandomWord(key, i));
  return Status();
}

Status RefRandom::RoundToGrid(int64_t n, const float* x, float scale, float zero, int low, int high,
                              const RandomKey& key, int8_t* codes) {
  SWAGE_RETURN_IF_ERROR(CheckGrid(n, scale, zero, low, high));
  for (int64_t i = 0; i < n; ++i) {
    codes[i] = StochasticCode(x[i], scale, zero, low, high, RandomWord(key, i));
  }
  return Status();
}

Status RefRandom::Hadamard(const HadamardArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckHadamard(args));
  const bool by_rows = args.side == HadamardSide::kRows;
  const int64_t side = by_rows ? args.columns : args.rows;
  const int64_t lines = by_rows ? args.rows : args.columns;
  const int64_t line_stride = by_rows ? args.columns : 1, stride = by_rows ? 1 : args.columns;
  SWAGE_ASSIGN_OR_RETURN(const HadamardShape shape, FindHadamardShape(args.block));
  const std::vector<float> paley = PaleyMatrix(shape.base);
  const double scale = 1 / std::sqrt(static_cast<double>(args.block));
  std::vector<double> in(args.block), signs(side, 1.0);
  for (int64_t i = 0; args.random_signs && i < side; ++i) {
    signs[i] = RandomWord(args.key, i) >> 31 != 0 ? -1.0 : 1.0;
  }
  for (int64_t line = 0; line < lines; ++line) {
    for (int64_t begin = 0; begin < side; begin += args.block) {
      float* x = args.x + line * line_stride + begin * stride;
      for (int64_t i = 0; i < args.block; ++i) {
        in[i] = x[i * stride] * (args.inverse ? 1.0 : signs[begin + i]);
      }
      for (int64_t i = 0; i < args.block; ++i) {
        double sum = 0;
        for (int64_t j = 0; j < args.block; ++j) {
          sum += in[j] * (args.inverse ? HadamardEntry(shape, paley, j, i)
                                       : HadamardEntry(shape, paley, i, j));
        }
        x[i * stride] =
            static_cast<float>(sum * scale * (args.inverse ? signs[begin + i] : 1.0));
      }
    }
  }
  return Status();
}

}  // namespace swage
