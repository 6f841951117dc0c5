// Ops of the layers that Llama does not have, against the reference.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tests/unit/kernels/op_test.h"
#include "tests/unit/kernels/random_values.h"

namespace swage {
namespace {

using LayerOpsTest = OpTest;

TEST_P(LayerOpsTest, LayerNormIsWithinARoundingAlsoWhereTheMeanIsLarge) {
  for (const auto& [rows, h] :
       {std::pair<int64_t, int64_t>{1, 1}, {3, 7}, {2, 33}, {9, 256}, {4, 1001}}) {
    for (const float mean : {0.0f, 300.0f}) {
      std::vector<float> x = Gaussians(rows * h, h, 4.0f);
      for (float& value : x) value += mean;
      const std::vector<float> weight = Gaussians(h, 5), bias = Gaussians(h, 6);
      DeviceArray<float> in = On(x), scale = On(weight), shift = On(bias),
                         out = Space<float>(rows * h);
      std::vector<float> want(rows * h);
      for (const bool affine : {true, false}) {
        ASSERT_TRUE(ref()->LayerNorm(rows, h, x.data(), affine ? weight.data() : nullptr,
                                     affine ? bias.data() : nullptr, 1e-5f, want.data())
                        .ok());
        RUN_OP(ops()->LayerNorm(rows, h, in.data(), affine ? scale.data() : nullptr,
                                affine ? shift.data() : nullptr, 1e-5f, out.data()));
        ExpectClose(out.Get(), want, 4e-7, 2e-6);
      }
    }
  }
}

TEST_P(LayerOpsTest, LayerNormMayWriteOverItsInput) {
  const std::vector<float> x = Gaussians(5 * 70, 1), weight = Gaussians(70, 2);
  std::vector<float> want(x.size());
  ASSERT_TRUE(ref()->LayerNorm(5, 70, x.data(), weight.data(), nullptr, 1e-5f, want.data()).ok());
  DeviceArray<float> in = On(x), scale = On(weight);
  RUN_OP(ops()->LayerNorm(5, 70, in.data(), scale.data(), nullptr, 1e-5f, in.data()));
  ExpectClose(in.Get(), want, 4e-7, 1e-6);
}

TEST_P(LayerOpsTest, ActivationsHoldFromTheSmallestToTheLargestInputs) {
  std::vector<float> x = Gaussians(1003, 1, 3.0f);
  const float extremes[] = {0.0f, -0.0f, 1e-30f, -1e-30f, 60.0f, -60.0f, 1e4f, -1e4f, -5.5f, -9.0f};
  std::copy(std::begin(extremes), std::end(extremes), x.begin());
  const std::vector<float> up = Gaussians(x.size(), 2);
  for (const Activation kind : {Activation::kSilu, Activation::kGeluTanh, Activation::kGeluErf,
                                Activation::kRelu, Activation::kSigmoid}) {
    SCOPED_TRACE(static_cast<int>(kind));
    const int64_t n = static_cast<int64_t>(x.size());
    std::vector<float> want(x.size());
    DeviceArray<float> in = On(x), gate = On(up), out = Space<float>(n);
    ASSERT_TRUE(ref()->Activate(kind, n, x.data(), nullptr, want.data()).ok());
    RUN_OP(ops()->Activate(kind, n, in.data(), nullptr, out.data()));
    ExpectClose(out.Get(), want, 2e-6, 2e-7);
    ASSERT_TRUE(ref()->Activate(kind, n, x.data(), up.data(), want.data()).ok());
    RUN_OP(ops()->Activate(kind, n, in.data(), gate.data(), in.data()));
    ExpectClose(in.Get(), want, 2e-6, 1e-6);
  }
}

TEST_P(LayerOpsTest, SoftCapAndScale) {
  std::vector<float> x = Gaussians(517, 3, 40.0f);
  x[0] = 1e30f;
  x[1] = -1e30f;
  x[2] = 1e-20f;
  std::vector<float> want = x;
  ASSERT_TRUE(ref()->SoftCap(517, 30.0f, want.data()).ok());
  DeviceArray<float> in = On(x);
  RUN_OP(ops()->SoftCap(517, 30.0f, in.data()));
  ExpectClose(in.Get(), want, 1e-6, 0);
  DeviceArray<float> again = On(x);
  RUN_OP(ops()->Scale(517, 1.7f, again.data()));
  for (float& value : x) value *= 1.7f;
  ExpectSameBytes(again.Get(), x);
}

TEST_P(LayerOpsTest, AttentionSeesItsWindowAndCapsItsScores) {
  struct Heads {
    int64_t windows, tokens, heads, kv_heads, d, window;
    float softcap;
  };
  for (const Heads& h : {Heads{1, 1, 1, 1, 2, 1, 0},
                         {2, 70, 4, 2, 16, 1, 0},
                         {1, 200, 2, 1, 24, 7, 0},
                         {1, 300, 2, 2, 8, 64, 3.0f},
                         {2, 131, 3, 1, 40, 65, 0.5f},
                         {1, 90, 2, 1, 64, 0, 2.0f},
                         {1, 90, 2, 1, 64, 500, 0}}) {
    SCOPED_TRACE(testing::Message() << h.windows << " windows of " << h.tokens << ", of which "
                                    << h.window << " are seen, cap " << h.softcap);
    const int64_t rows = h.windows * h.tokens;
    const std::vector<float> q = Gaussians(rows * h.heads * h.d, 1, 3.0f),
                             k = Gaussians(rows * h.kv_heads * h.d, 2),
                             v = Gaussians(rows * h.kv_heads * h.d, 3);
    std::vector<float> want(q.size());
    AttentionArgs args;
    args.windows = h.windows;
    args.tokens = h.tokens;
    args.heads = h.heads;
    args.kv_heads = h.kv_heads;
    args.head_dim = h.d;
    args.window = h.window;
    args.softcap = h.softcap;
    args.scale = 1.0f / std::sqrt(static_cast<float>(h.d));
    args.q = q.data();
    args.k = k.data();
    args.v = v.data();
    args.out = want.data();
    ASSERT_TRUE(ref()->Attention(args).ok());
    DeviceArray<float> dq = On(q), dk = On(k), dv = On(v), out = Space<float>(q.size());
    args.q = dq.data();
    args.k = dk.data();
    args.v = dv.data();
    args.out = out.data();
    RUN_OP(ops()->Attention(args));
    ExpectClose(out.Get(), want, 3e-6, 6e-6);
  }
}

TEST_P(LayerOpsTest, RopeTurnsAPartOfEachHeadFromAnyPosition) {
  const int64_t tokens = 9, windows = 2, heads = 3, d = 24;
  for (const int64_t rotary : {2, 10, 24}) {
    std::vector<float> inv_freq(rotary / 2);
    for (int64_t i = 0; i < rotary / 2; ++i) inv_freq[i] = std::pow(0.3f, static_cast<float>(i));
    for (const auto& [scale, first] : {std::pair{1.0f, 0}, {1.3f, 0}, {1.3f, 100}}) {
      std::vector<float> want = Gaussians(windows * tokens * heads * d, d);
      DeviceArray<float> x = On(want), frequencies = On(inv_freq);
      RopeArgs args{windows * tokens, tokens, heads, d, inv_freq.data(), want.data()};
      args.rotary = rotary;
      args.scale = scale;
      args.first = first;
      ASSERT_TRUE(ref()->Rope(args).ok());
      args.inv_freq = frequencies.data();
      args.x = x.data();
      RUN_OP(ops()->Rope(args));
      ExpectClose(x.Get(), want, 1e-6, 1e-6);
    }
  }
}

TEST_P(LayerOpsTest, RoutesToTheLargestAndTheFirstOfEqualOnes) {
  for (const auto& [experts, k] :
       {std::pair<int64_t, int64_t>{1, 1}, {4, 2}, {8, 8}, {60, 4}, {128, 8}}) {
    for (const bool normalize : {true, false}) {
      const int64_t rows = 33;
      std::vector<float> logits = Gaussians(rows * experts, experts, 2.0f);
      std::fill(logits.begin(), logits.begin() + experts, 0.5f);  // all equal
      std::vector<int32_t> want_chosen(rows * k);
      std::vector<float> want_weights(rows * k);
      RouteArgs args;
      args.rows = rows;
      args.experts = experts;
      args.k = k;
      args.normalize = normalize;
      args.logits = logits.data();
      args.chosen = want_chosen.data();
      args.weights = want_weights.data();
      ASSERT_TRUE(ref()->RouteTopK(args).ok());
      for (int64_t i = 0; i < k; ++i) EXPECT_EQ(want_chosen[i], i);
      if (normalize) {
        const float sum = std::accumulate(want_weights.begin(), want_weights.begin() + k, 0.0f);
        EXPECT_NEAR(sum, 1.0f, 1e-6);
      }
      DeviceArray<float> in = On(logits), weights = Space<float>(rows * k);
      DeviceArray<int32_t> chosen = Space<int32_t>(rows * k);
      args.logits = in.data();
      args.chosen = chosen.data();
      args.weights = weights.data();
      RUN_OP(ops()->RouteTopK(args));
      EXPECT_EQ(chosen.Get(), want_chosen);
      ExpectClose(weights.Get(), want_weights, 1e-6, 1e-12);
    }
  }
}

TEST_P(LayerOpsTest, GatheredRowsComeBackWeighted) {
  const int64_t all = 50, rows = 17, width = 37;
  const std::vector<float> x = Gaussians(all * width, 1), factor = Gaussians(rows, 2);
  std::vector<int32_t> index(all);
  std::iota(index.begin(), index.end(), 0);
  std::reverse(index.begin(), index.end());
  index.resize(rows);
  DeviceArray<float> in = On(x), out = Space<float>(rows * width), by = On(factor);
  DeviceArray<int32_t> at = On(index);
  RUN_OP(ops()->GatherRows(rows, width, at.data(), all, in.data(), out.data()));
  const std::vector<float> gathered = out.Get();
  for (int64_t i = 0; i < rows * width; ++i) {
    ASSERT_EQ(gathered[i], x[index[i / width] * width + i % width]);
  }
  std::vector<float> want = x, plain = x;
  ASSERT_TRUE(ref()->ScatterAddRows(rows, width, index.data(), all, factor.data(), gathered.data(),
                                    want.data())
                  .ok());
  RUN_OP(ops()->ScatterAddRows(rows, width, at.data(), all, by.data(), out.data(), in.data()));
  ExpectClose(in.Get(), want, 1e-6, 1e-6);
  ASSERT_TRUE(
      ref()->ScatterAddRows(rows, width, nullptr, all, factor.data(), gathered.data(), plain.data())
          .ok());
  DeviceArray<float> again = On(x);
  RUN_OP(ops()->ScatterAddRows(rows, width, nullptr, all, by.data(), out.data(), again.data()));
  ExpectClose(again.Get(), plain, 1e-6, 1e-6);
}

TEST_P(LayerOpsTest, RefusesWhatDoesNotFit) {
  const auto reason = [](const Status& status) { return ReasonOf(status); };
  RouteArgs route;
  route.rows = 1;
  route.experts = 4;
  for (const int64_t k : {0, 5}) {
    route.k = k;
    EXPECT_EQ(reason(ops()->RouteTopK(route)), "KERNEL_ARGUMENT");
  }
  AttentionArgs attention;
  attention.heads = attention.kv_heads = attention.head_dim = 2;
  attention.window = -1;
  EXPECT_EQ(reason(ref()->Attention(attention)), "KERNEL_ARGUMENT");
  attention.window = 0;
  attention.softcap = -1;
  EXPECT_EQ(reason(ref()->Attention(attention)), "KERNEL_ARGUMENT");
  RopeArgs rope{1, 1, 1, 8, nullptr, nullptr};
  rope.rotary = 10;
  EXPECT_EQ(reason(ref()->Rope(rope)), "KERNEL_ARGUMENT");
  rope.rotary = 3;
  EXPECT_EQ(reason(ref()->Rope(rope)), "KERNEL_ARGUMENT");
  const int32_t beyond[] = {3};
  float x[4] = {}, y[4] = {};
  EXPECT_EQ(reason(ref()->GatherRows(1, 2, beyond, 2, x, y)), "KERNEL_ARGUMENT");
  EXPECT_EQ(reason(ref()->ScatterAddRows(3, 2, nullptr, 2, x, x, y)), "KERNEL_ARGUMENT");
}

INSTANTIATE_ON_DEVICES(LayerOpsTest);

}  // namespace
}  // namespace swage
