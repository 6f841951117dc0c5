// Gradients against finite differences of a loss written in f64.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "tests/unit/kernels/random_values.h"

namespace swage {

using Doubles = std::vector<double>;
using Loss = std::function<double(const Doubles&)>;

inline Doubles Wide(const std::vector<float>& x) { return {x.begin(), x.end()}; }

inline double Dot(const Doubles& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// The derivative of `loss` at x along a few random directions is their product with `gradient`,
// which is rounded to f32.
inline void ExpectGradient(const Loss& loss, const std::vector<float>& x,
                           const std::vector<float>& gradient, double relative = 1e-6) {
  constexpr double kStep = 1e-5;
  double norm = 0;
  for (const float g : gradient) norm += static_cast<double>(g) * g;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    const Doubles direction = Wide(Gaussians(x.size(), seed));
    Doubles up = Wide(x), down = up;
    for (size_t i = 0; i < up.size(); ++i) {
      up[i] += kStep * direction[i];
      down[i] -= kStep * direction[i];
    }
    const double want = (loss(up) - loss(down)) / (2 * kStep);
    // Typical size of the product; rounding of gradient is relative to it.
    ASSERT_NEAR(Dot(direction, gradient), want, relative * std::sqrt(norm) + 1e-9);
  }
}

}  // namespace swage
