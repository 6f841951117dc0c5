// Gradients of the layers that Llama does not have, and of the moves of rows between experts. Sums
// are in double; each has one order, whatever the number of threads.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/api/check.h"
#include "kernels/api/check_families.h"
#include "kernels/cpu/families_cpu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd.h"
#include "kernels/api/activation.h"

namespace swage::cpu {
namespace {

struct RowTerms {
  double mean = 0, factor = 0;
};

// The terms of one row; dx may be dy.
RowTerms LayerNormRowBackward(int64_t h, const float* x, const float* weight, float eps,
                              const float* dy, float* dx) {
  RowTerms terms;
  const double width = static_cast<double>(h);
  for (int64_t i = 0; i < h; ++i) terms.mean += x[i];
  terms.mean /= width;
  double variance = 0, g_sum = 0, along = 0;
  for (int64_t i = 0; i < h; ++i) variance += (x[i] - terms.mean) * (x[i] - terms.mean);
  terms.factor = 1.0 / std::sqrt(variance / width + eps);
  for (int64_t i = 0; i < h; ++i) {
    const double g = static_cast<double>(dy[i]) * (weight == nullptr ? 1.0f : weight[i]);
    g_sum += g;
    along += g * (x[i] - terms.mean);
  }
  const double g_mean = g_sum / width, back = along * terms.factor * terms.factor / width;
  for (int64_t i = 0; i < h; ++i) {
    const double g = static_cast<double>(dy[i]) * (weight == nullptr ? 1.0f : weight[i]);
    dx[i] = static_cast<float>(terms.factor * (g - g_mean - (x[i] - terms.mean) * back));
  }
  return terms;
}

void RouteRowBackward(const RouteGradArgs& args, int64_t row) {
  const RouteArgs& f = *args.forward;
  const float* logits = f.logits + row * f.experts;
  const int32_t* chosen = f.chosen + row * f.k;
  const float* d_weights = args.d_weights + row * f.k;
  float* d_logits = args.d_logits + row * f.experts;
  const double max = logits[chosen[0]];
  const auto power = [&](int64_t e) { return std::exp(logits[e] - max); };
  double total = 0, along = 0;
  for (int64_t i = 0; i < (f.normalize ? f.k : f.experts); ++i) {
    total += power(f.normalize ? chosen[i] : i);
  }
  for (int64_t i = 0; i < f.k; ++i) along += power(chosen[i]) / total * d_weights[i];
  for (int64_t e = 0; e < f.experts; ++e) {
    d_logits[e] = f.normalize ? 0.0f : static_cast<float>(-power(e) / total * along);
  }
  for (int64_t i = 0; i < f.k; ++i) {
    d_logits[chosen[i]] = static_cast<float>(power(chosen[i]) / total * (d_weights[i] - along));
  }
}

}  // namespace

Status CpuTrain::LayerNormBackward(const LayerNormGradArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckSize("layer norm backward", args.rows, args.h));
  const int64_t h = args.h;
  // The sums over rows read dy, which dx may overwrite: their terms first, in a pass of their own.
  std::vector<float> dy_copy;
  const float* dy = args.dy;
  const bool sums = args.dweight != nullptr || args.dbias != nullptr;
  if (sums && args.dx == args.dy) {
    dy_copy.assign(args.dy, args.dy + args.rows * h);
    dy = dy_copy.data();
  }
  std::vector<RowTerms> terms(args.rows);
  ParallelFor(threads_, args.rows, RowGrain(h), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      terms[r] = LayerNormRowBackward(h, args.x + r * h, args.weight, args.eps, args.dy + r * h,
                                      args.dx + r * h);
    }
  });
  if (!sums) return Status();
  const int64_t grain = std::max<int64_t>(32, RowGrain(args.rows) / 32 * 32);
  ParallelFor(threads_, h, grain, [&](int64_t begin, int64_t end) {
    std::vector<double> weight_sums(end - begin, 0.0), bias_sums(end - begin, 0.0);
    for (int64_t r = 0; r < args.rows; ++r) {
      for (int64_t i = begin; i < end; ++i) {
        const double g = dy[r * h + i];
        weight_sums[i - begin] += g * ((args.x[r * h + i] - terms[r].mean) * terms[r].factor);
        bias_sums[i - begin] += g;
      }
    }
    for (int64_t i = begin; i < end; ++i) {
      if (args.dweight != nullptr) args.dweight[i] += static_cast<float>(weight_sums[i - begin]);
      if (args.dbias != nullptr) args.dbias[i] += static_cast<float>(bias_sums[i - begin]);
    }
  });
  return Status();
}

Status CpuTrain::ActivateBackward(Activation kind, int64_t n, const float* x, const float* up,
                                  const float* dy, float* dx, float* dup) {
  SWAGE_RETURN_IF_ERROR(CheckSize("activation backward", n, 1));
  if (kind == Activation::kSilu && up != nullptr) return SwiGluBackward(n, x, up, dy, dx, dup);
  ParallelFor(threads_, n, kElementGrain / 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const double d = dy[i];
      const ValueAndSlope at = ActivatedWithSlope(kind, x[i]);
      dx[i] = static_cast<float>(d * at.slope * (up == nullptr ? 1.0f : up[i]));
      if (up != nullptr) dup[i] = static_cast<float>(d * at.value);
    }
  });
  return Status();
}

Status CpuTrain::SoftCapBackward(int64_t n, float cap, const float* y, float* dy) {
  SWAGE_RETURN_IF_ERROR(CheckSize("soft cap backward", n, 1));
  ParallelFor(threads_, n, kElementGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float bent = y[i] / cap;
      dy[i] *= 1.0f - bent * bent;
    }
  });
  return Status();
}

Status CpuTrain::RouteBackward(const RouteGradArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckRouteBackward(args));
  ParallelFor(threads_, args.forward->rows, RowGrain(args.forward->experts * 8),
              [&](int64_t begin, int64_t end) {
                for (int64_t r = begin; r < end; ++r) RouteRowBackward(args, r);
              });
  return Status();
}

Status CpuTrain::ScatterRowsBackward(const ScatterGradArgs& args) {
  SWAGE_RETURN_IF_ERROR(
      CheckRows("scatter backward", args.rows, args.width, args.index, args.target));
  ParallelFor(threads_, args.rows, RowGrain(args.width), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* x = args.x + r * args.width;
      const float* dy = args.dy + (args.index == nullptr ? r : args.index[r]) * args.width;
      double along = 0;
      for (int64_t i = 0; i < args.width; ++i) along += static_cast<double>(x[i]) * dy[i];
      args.dfactor[r] = static_cast<float>(along);
      for (int64_t i = 0; i < args.width; ++i) args.dx[r * args.width + i] = args.factor[r] * dy[i];
    }
  });
  return Status();
}

}  // namespace swage::cpu
