// Gradients of the layers that Llama does not have, and of the moves of rows between experts.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/api/check.h"
#include "kernels/api/check_families.h"
#include "kernels/api/activation.h"
#include "kernels/ref/families_ref.h"

namespace swage {
namespace {

// d_logits of one row: a softmax's gradient over the experts that its sum goes over.
void RouteRowBackward(const RouteGradArgs& args, int64_t row, std::vector<double>* shares) {
  const RouteArgs& f = *args.forward;
  const float* logits = f.logits + row * f.experts;
  const int32_t* chosen = f.chosen + row * f.k;
  float* d_logits = args.d_logits + row * f.experts;
  std::fill(shares->begin(), shares->end(), 0.0);
  const double max = logits[chosen[0]];
  double total = 0, along = 0;
  for (int64_t i = 0; i < (f.normalize ? f.k : f.experts); ++i) {
    const int64_t e = f.normalize ? chosen[i] : i;
    (*shares)[e] = std::exp(logits[e] - max);
    total += (*shares)[e];
  }
  for (double& share : *shares) share /= total;
  for (int64_t i = 0; i < f.k; ++i) along += (*shares)[chosen[i]] * args.d_weights[row * f.k + i];
  for (int64_t e = 0; e < f.experts; ++e) d_logits[e] = static_cast<float>(-(*shares)[e] * along);
  for (int64_t i = 0; i < f.k; ++i) {
    const double own = (*shares)[chosen[i]] * args.d_weights[row * f.k + i];
    d_logits[chosen[i]] = static_cast<float>(own - (*shares)[chosen[i]] * along);
  }
}

}  // namespace

Status RefTrain::LayerNormBackward(const LayerNormGradArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckSize("layer norm backward", args.rows, args.h));
  const int64_t h = args.h;
  const double width = static_cast<double>(h);
  std::vector<double> weight_sums(h, 0.0), bias_sums(h, 0.0), scaled(h), g(h);
  for (int64_t r = 0; r < args.rows; ++r) {
    const float *x = args.x + r * h, *dy = args.dy + r * h;
    double mean = 0, variance = 0, g_mean = 0, along = 0;
    for (int64_t i = 0; i < h; ++i) mean += x[i];
    mean /= width;
    for (int64_t i = 0; i < h; ++i) variance += (x[i] - mean) * (x[i] - mean);
    const double factor = 1.0 / std::sqrt(variance / width + args.eps);
    for (int64_t i = 0; i < h; ++i) {
      scaled[i] = (x[i] - mean) * factor;
      g[i] = dy[i] * (args.weight == nullptr ? 1.0 : args.weight[i]);
      g_mean += g[i];
      along += g[i] * scaled[i];
      weight_sums[i] += dy[i] * scaled[i];
      bias_sums[i] += dy[i];
    }
    for (int64_t i = 0; i < h; ++i) {
      args.dx[r * h + i] =
          static_cast<float>(factor * (g[i] - g_mean / width - scaled[i] * along / width));
    }
  }
  for (int64_t i = 0; i < h; ++i) {
    if (args.dweight != nullptr) args.dweight[i] += static_cast<float>(weight_sums[i]);
    if (args.dbias != nullptr) args.dbias[i] += static_cast<float>(bias_sums[i]);
  }
  return Status();
}

Status RefTrain::ActivateBackward(Activation kind, int64_t n, const float* x, const float* up,
                                  const float* dy, float* dx, float* dup) {
  SWAGE_RETURN_IF_ERROR(CheckSize("activation backward", n, 1));
  for (int64_t i = 0; i < n; ++i) {
    const double d = dy[i];
    const ValueAndSlope at = ActivatedWithSlope(kind, x[i]);
    dx[i] = static_cast<float>(d * at.slope * (up == nullptr ? 1.0 : up[i]));
    if (up != nullptr) dup[i] = static_cast<float>(d * at.value);
  }
  return Status();
}

Status RefTrain::SoftCapBackward(int64_t n, float cap, const float* y, float* dy) {
  SWAGE_RETURN_IF_ERROR(CheckSize("soft cap backward", n, 1));
  for (int64_t i = 0; i < n; ++i) {
    const double bent = static_cast<double>(y[i]) / cap;
    dy[i] = static_cast<float>(dy[i] * (1.0 - bent * bent));
  }
  return Status();
}

Status RefTrain::RouteBackward(const RouteGradArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckRouteBackward(args));
  std::vector<double> shares(args.forward->experts);
  for (int64_t r = 0; r < args.forward->rows; ++r) RouteRowBackward(args, r, &shares);
  return Status();
}

Status RefTrain::ScatterRowsBackward(const ScatterGradArgs& args) {
  SWAGE_RETURN_IF_ERROR(
      CheckRows("scatter backward", args.rows, args.width, args.index, args.target));
  for (int64_t r = 0; r < args.rows; ++r) {
    const float* x = args.x + r * args.width;
    const float* dy = args.dy + (args.index == nullptr ? r : args.index[r]) * args.width;
    double along = 0;
    for (int64_t i = 0; i < args.width; ++i) {
      along += static_cast<double>(x[i]) * dy[i];
      args.dx[r * args.width + i] = static_cast<float>(static_cast<double>(args.factor[r]) * dy[i]);
    }
    args.dfactor[r] = static_cast<float>(along);
  }
  return Status();
}

}  // namespace swage
