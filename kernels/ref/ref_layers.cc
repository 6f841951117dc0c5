// LayerNorm, activations, caps, and the moves of rows between experts.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/api/check.h"
#include "kernels/ref/ops_ref.h"

namespace swage {
namespace {

constexpr double kSqrt2OverPi = 0.79788456080286535588;

// GELU: Hendrycks and Gimpel 2016, arXiv 1606.08415, exactly and by its tanh approximation.
double Activated(Activation kind, double x) {
  switch (kind) {
    case Activation::kSilu:
      return x / (1.0 + std::exp(-x));
    case Activation::kGeluTanh:
      return 0.5 * x * (1.0 + std::tanh(kSqrt2OverPi * (x + 0.044715 * x * x * x)));
    case Activation::kGeluErf:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::kRelu:
      return std::max(x, 0.0);
    case Activation::kSigmoid:
      return 1.0 / (1.0 + std::exp(-x));
  }
  return x;
}

void RouteRow(const RouteArgs& args, const float* logits, int32_t* chosen, float* weights) {
  std::vector<int32_t> order(args.experts);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  const double max = logits[order[0]];
  double total = 0;
  for (int64_t i = 0; i < (args.normalize ? args.k : args.experts); ++i) {
    total += std::exp(logits[order[i]] - max);
  }
  for (int64_t i = 0; i < args.k; ++i) {
    chosen[i] = order[i];
    weights[i] = static_cast<float>(std::exp(logits[order[i]] - max) / total);
  }
}

}  // namespace

Status RefOps::LayerNorm(int64_t rows, int64_t h, const float* x, const float* weight,
                         const float* bias, float eps, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("layer norm", rows, h));
  for (int64_t r = 0; r < rows; ++r) {
    const float* in = x + r * h;
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < h; ++i) mean += in[i];
    mean /= static_cast<double>(h);
    for (int64_t i = 0; i < h; ++i) variance += (in[i] - mean) * (in[i] - mean);
    const double factor = 1.0 / std::sqrt(variance / static_cast<double>(h) + eps);
    for (int64_t i = 0; i < h; ++i) {
      const double scaled = (in[i] - mean) * factor * (weight == nullptr ? 1.0 : weight[i]);
      y[r * h + i] = static_cast<float>(scaled + (bias == nullptr ? 0.0 : bias[i]));
    }
  }
  return Status();
}

Status RefOps::Activate(Activation kind, int64_t n, const float* x, const float* up, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("activation", n, 1));
  for (int64_t i = 0; i < n; ++i) {
    y[i] = static_cast<float>(Activated(kind, x[i]) * (up == nullptr ? 1.0 : up[i]));
  }
  return Status();
}

Status RefOps::SoftCap(int64_t n, float cap, float* x) {
  SWAGE_RETURN_IF_ERROR(CheckSize("soft cap", n, 1));
  const double limit = cap;
  for (int64_t i = 0; i < n; ++i) x[i] = static_cast<float>(limit * std::tanh(x[i] / limit));
  return Status();
}

Status RefOps::Scale(int64_t n, float factor, float* x) {
  SWAGE_RETURN_IF_ERROR(CheckSize("scale", n, 1));
  for (int64_t i = 0; i < n; ++i) x[i] *= factor;
  return Status();
}

Status RefOps::RouteTopK(const RouteArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckRoute(args));
  for (int64_t r = 0; r < args.rows; ++r) {
    RouteRow(args, args.logits + r * args.experts, args.chosen + r * args.k,
             args.weights + r * args.k);
  }
  return Status();
}

Status RefOps::GatherRows(int64_t rows, int64_t width, const int32_t* index, int64_t source,
                          const float* x, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckRows("gather", rows, width, index, source));
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t from = index == nullptr ? r : index[r];
    std::copy_n(x + from * width, width, y + r * width);
  }
  return Status();
}

Status RefOps::ScatterAddRows(int64_t rows, int64_t width, const int32_t* index, int64_t target,
                              const float* factor, const float* x, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckRows("scatter", rows, width, index, target));
  for (int64_t r = 0; r < rows; ++r) {
    float* to = y + (index == nullptr ? r : index[r]) * width;
    for (int64_t i = 0; i < width; ++i) {
      to[i] = static_cast<float>(to[i] + static_cast<double>(factor[r]) * x[r * width + i]);
    }
  }
  return Status();
}

}  // namespace swage
