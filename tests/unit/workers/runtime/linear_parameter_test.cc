// Gradients of parametrized linears, by finite differences of the loss sum(dy * (x E^T)), which is
// summed in f64 over the effective weight that ApplyParameter makes.
#include "workers/runtime/linear_parameter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

namespace swage {
namespace {

constexpr int64_t kRows = 6, kOut = 5, kIn = 8;

std::vector<float> Numbers(int64_t n, uint32_t seed) {
  std::vector<float> x(n);
  for (float& value : x) {
    seed = seed * 1664525u + 1013904223u;
    value = static_cast<float>(seed >> 8) / (1 << 23) - 1.0f;
  }
  return x;
}

class LinearParameterTest : public testing::Test {
 protected:
  StatusOr<AppliedParameter> Apply(const LinearParameter& parameter, const std::vector<float>& w,
                                   Linear* linear) {
    linear->out = kOut;
    linear->in = kIn;
    linear->f32.Resize(kOut * kIn);
    std::copy(w.begin(), w.end(), linear->f32.data());
    return ApplyParameter(ops_.get(), "mlp.up_proj", parameter, linear);
  }

  double Loss(const LinearParameter& parameter, const std::vector<float>& w) {
    Linear linear;
    const auto applied = Apply(parameter, w, &linear);
    EXPECT_TRUE(applied.ok()) << applied.status();
    double loss = 0;
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t o = 0; o < kOut; ++o) {
        for (int64_t i = 0; i < kIn; ++i) {
          loss += static_cast<double>(dy_[r * kOut + o]) * x_[r * kIn + i] *
                  linear.f32.data()[o * kIn + i];
        }
      }
    }
    return loss;
  }

  // Of the rows in two parts, as those of a fused linear come.
  void Differentiate(const LinearParameter& parameter) {
    Linear linear;
    auto applied = Apply(parameter, w_, &linear);
    ASSERT_TRUE(applied.ok()) << applied.status();
    d_weight_.assign(kOut * kIn, 0.0f);
    d_a_.assign(2 * kIn, 0.0f);
    d_b_.assign(kOut * 2, 0.0f);
    for (const auto& [begin, count] : {std::pair<int64_t, int64_t>{0, 2}, {2, 3}}) {
      std::vector<float> dy;
      for (int64_t r = 0; r < kRows; ++r) {
        const auto row = dy_.begin() + r * kOut + begin;
        dy.insert(dy.end(), row, row + count);
      }
      LinearGradientArgs args;
      args.rows = kRows;
      args.begin = begin;
      args.count = count;
      args.in = kIn;
      args.x = x_.data();
      args.dy = dy.data();
      args.d_weight = d_weight_.data();
      args.d_lora_a = d_a_.data();
      args.d_lora_b = d_b_.data();
      ASSERT_TRUE(AddLinearGradients(ops_.get(), &*applied, args).ok());
    }
  }

  void ExpectSlopes(const std::vector<float>& gradient, const std::vector<float>& at,
                    const std::function<double(const std::vector<float>&)>& loss) {
    constexpr float kStep = 1.0f / 64;  // the loss is linear in each value: only rounding matters
    for (size_t i = 0; i < at.size(); ++i) {
      std::vector<float> up = at, down = at;
      up[i] += kStep;
      down[i] -= kStep;
      EXPECT_NEAR(gradient[i], (loss(up) - loss(down)) / (2 * kStep), 2e-5) << i;
    }
  }

  std::unique_ptr<Ops> ops_ = NewCpuOps(1);
  std::vector<float> w_ = Numbers(kOut * kIn, 1), x_ = Numbers(kRows * kIn, 2),
                     dy_ = Numbers(kRows * kOut, 3);
  std::vector<float> d_weight_, d_a_, d_b_;
};

TEST_F(LinearParameterTest, Dense) {
  Differentiate(DenseParameter());
  ExpectSlopes(d_weight_, w_, [&](const auto& w) { return Loss(DenseParameter(), w); });
}

TEST_F(LinearParameterTest, MaskedWeightsHaveNoGradient) {
  MaskedParameter masked;
  for (int64_t i = 0; i < kOut * kIn; ++i) masked.mask.push_back(i % 3 != 0);
  Differentiate(masked);
  ExpectSlopes(d_weight_, w_, [&](const auto& w) { return Loss(masked, w); });
  EXPECT_EQ(d_weight_[0], 0.0f);
  EXPECT_NE(d_weight_[1], 0.0f);
}

TEST_F(LinearParameterTest, LoraFactorsAndTheWeightBelow) {
  LoraParameter lora{2, 0.75f, Numbers(2 * kIn, 4), Numbers(kOut * 2, 5)};
  Differentiate(lora);
  ExpectSlopes(d_weight_, w_, [&](const auto& w) { return Loss(lora, w); });
  ExpectSlopes(d_a_, lora.a, [&](const auto& a) {
    LoraParameter other = lora;
    other.a = a;
    return Loss(other, w_);
  });
  ExpectSlopes(d_b_, lora.b, [&](const auto& b) {
    LoraParameter other = lora;
    other.b = b;
    return Loss(other, w_);
  });
}

TEST_F(LinearParameterTest, StraightThroughStopsAtTheClipRange) {
  Differentiate(DenseParameter());
  const std::vector<float> dense = d_weight_;
  FakeQuantizedParameter fake{"int8", 4, true, 0.5f};
  Differentiate(fake);
  int stopped = 0;
  for (int64_t group = 0; group < kOut * kIn; group += 4) {
    float absmax = 0;
    for (int64_t i = group; i < group + 4; ++i) absmax = std::max(absmax, std::abs(w_[i]));
    for (int64_t i = group; i < group + 4; ++i) {
      const bool inside = std::abs(w_[i]) <= 0.5f * absmax;
      EXPECT_EQ(d_weight_[i], inside ? dense[i] : 0.0f);
      stopped += inside ? 0 : 1;
    }
  }
  EXPECT_GE(stopped, 10);  // at least the largest of each group
  Linear linear;
  ASSERT_TRUE(Apply(fake, w_, &linear).ok());
  for (int64_t i = 0; i < kOut * kIn; ++i) {
    const float rounded = linear.f32.data()[i];
    EXPECT_TRUE(d_weight_[i] == 0 || std::abs(rounded - w_[i]) < 1.0f / 255) << i;
  }
  fake = {"int4", 0, false, 1.0f};
  Differentiate(fake);
  EXPECT_EQ(d_weight_, dense) << "nothing is clipped";
}

TEST_F(LinearParameterTest, ShapesThatDoNotFitAreRefused) {
  Linear linear;
  for (const LinearParameter& parameter :
       {LinearParameter(MaskedParameter{{1, 0}}), LinearParameter(LoraParameter{9, 1, {}, {}}),
        LinearParameter(LoraParameter{2, 1, Numbers(3, 1), Numbers(10, 1)}),
        LinearParameter(FakeQuantizedParameter{"int4", 3, true, 1}),
        LinearParameter(FakeQuantizedParameter{"int4", 4, true, 0}),
        LinearParameter(FakeQuantizedParameter{"int99", 4, true, 1})}) {
    EXPECT_FALSE(Apply(parameter, w_, &linear).ok()) << parameter.index();
  }
}

}  // namespace
}  // namespace swage
