// Activation functions and their slopes in double, one value at a time: what the reference computes
// gradients with, and the CPU those of the functions that it has no vector form for.
// GELU: Hendrycks and Gimpel 2016, arXiv 1606.08415, exactly and by its tanh approximation.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/api/layer_args.h"

namespace swage {

struct ValueAndSlope {
  double value = 0, slope = 0;
};

inline ValueAndSlope ActivatedWithSlope(Activation kind, double x) {
  constexpr double kSqrt2OverPi = 0.79788456080286535588, kInverseSqrt2Pi = 0.39894228040143267794;
  const double logistic = 1.0 / (1.0 + std::exp(-x));
  switch (kind) {
    case Activation::kSilu:
      return {x * logistic, logistic * (1.0 + x * (1.0 - logistic))};
    case Activation::kGeluTanh: {
      const double inner = kSqrt2OverPi * (x + 0.044715 * x * x * x);
      const double bent = std::tanh(inner), left = 0.5 * (1.0 + bent);
      const double slope = kSqrt2OverPi * (1.0 + 3 * 0.044715 * x * x);
      return {x * left, left + 0.5 * x * (1.0 - bent * bent) * slope};
    }
    case Activation::kGeluErf: {
      const double left = 0.5 * std::erfc(-x / std::sqrt(2.0));
      return {x * left, left + x * kInverseSqrt2Pi * std::exp(-0.5 * x * x)};
    }
    case Activation::kRelu:
      return {std::max(x, 0.0), x > 0 ? 1.0 : 0.0};
    case Activation::kSigmoid:
      return {logistic, logistic * (1.0 - logistic)};
  }
  return {};
}

}  // namespace swage
