// Gradients of LayerNorm, activations, caps and the moves between experts: the reference against
// finite differences, the devices against the reference.
#include <algorithm>

#include "tests/unit/kernels/gradient_check.h"
#include "tests/unit/kernels/op_test.h"

namespace swage {
namespace {

using LayerGradOpsTest = OpTest;

double LayerNormLoss(int64_t rows, int64_t h, const Doubles& x, const Doubles& weight,
                     const Doubles& bias, double eps, const std::vector<float>& dy) {
  double loss = 0;
  for (int64_t r = 0; r < rows; ++r) {
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < h; ++i) mean += x[r * h + i] / static_cast<double>(h);
    for (int64_t i = 0; i < h; ++i) variance += std::pow(x[r * h + i] - mean, 2);
    const double factor = 1 / std::sqrt(variance / static_cast<double>(h) + eps);
    for (int64_t i = 0; i < h; ++i) {
      loss += ((x[r * h + i] - mean) * factor * weight[i] + bias[i]) * dy[r * h + i];
    }
  }
  return loss;
}

TEST(RefLayerGradientTest, LayerNorm) {
  const int64_t rows = 4, h = 9;
  const std::vector<float> x = Gaussians(rows * h, 1), weight = Gaussians(h, 2),
                           bias = Gaussians(h, 3), dy = Gaussians(rows * h, 4);
  std::vector<float> dx(x.size()), dweight(h, 0.0f), dbias(h, 0.0f);
  ASSERT_TRUE(NewRefOps()
                  ->train()
                  .LayerNormBackward({rows, h, x.data(), weight.data(), 1e-3f, dy.data(), dx.data(),
                                      dweight.data(), dbias.data()})
                  .ok());
  const double eps = 1e-3f;
  const auto loss = [&](const Doubles& a, const Doubles& w, const Doubles& b) {
    return LayerNormLoss(rows, h, a, w, b, eps, dy);
  };
  ExpectGradient([&](const Doubles& v) { return loss(v, Wide(weight), Wide(bias)); }, x, dx);
  ExpectGradient([&](const Doubles& v) { return loss(Wide(x), v, Wide(bias)); }, weight, dweight);
  ExpectGradient([&](const Doubles& v) { return loss(Wide(x), Wide(weight), v); }, bias, dbias);
}

// The value of each function, written here once more.
double ValueOf(Activation kind, double x) {
  switch (kind) {
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kGeluErf:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2)));
    case Activation::kRelu:
      return x > 0 ? x : 0;
    case Activation::kSigmoid:
      return 1 / (1 + std::exp(-x));
  }
  return 0;
}

const Activation kKinds[] = {Activation::kSilu, Activation::kGeluTanh, Activation::kGeluErf,
                             Activation::kRelu, Activation::kSigmoid};

TEST(RefLayerGradientTest, Activations) {
  const int64_t n = 40;
  const std::vector<float> x = Gaussians(n, 1, 2.0f), up = Gaussians(n, 2), dy = Gaussians(n, 3);
  for (const Activation kind : kKinds) {
    SCOPED_TRACE(static_cast<int>(kind));
    std::vector<float> dx(n), dup(n);
    const auto loss = [&](const Doubles& a, const Doubles& b) {
      double sum = 0;
      for (int64_t i = 0; i < n; ++i) sum += ValueOf(kind, a[i]) * b[i] * dy[i];
      return sum;
    };
    ASSERT_TRUE(
        NewRefOps()
            ->train()
            .ActivateBackward(kind, n, x.data(), up.data(), dy.data(), dx.data(), dup.data())
            .ok());
    ExpectGradient([&](const Doubles& v) { return loss(v, Wide(up)); }, x, dx);
    ExpectGradient([&](const Doubles& v) { return loss(Wide(x), v); }, up, dup);
    ASSERT_TRUE(NewRefOps()
                    ->train()
                    .ActivateBackward(kind, n, x.data(), nullptr, dy.data(), dx.data(), nullptr)
                    .ok());
    ExpectGradient([&](const Doubles& v) { return loss(v, Doubles(n, 1.0)); }, x, dx);
  }
}

TEST(RefLayerGradientTest, SoftCap) {
  const int64_t n = 30;
  const std::vector<float> x = Gaussians(n, 1, 4.0f), dy = Gaussians(n, 2);
  std::vector<float> y = x, dx = dy;
  ASSERT_TRUE(NewRefOps()->SoftCap(n, 3.0f, y.data()).ok());
  ASSERT_TRUE(NewRefOps()->train().SoftCapBackward(n, 3.0f, y.data(), dx.data()).ok());
  ExpectGradient(
      [&](const Doubles& v) {
        double sum = 0;
        for (int64_t i = 0; i < n; ++i) sum += 3 * std::tanh(v[i] / 3) * dy[i];
        return sum;
      },
      x, dx, 2e-6);
}

struct Routing {
  explicit Routing(bool normalize)
      : logits(Gaussians(rows * experts, 1, 2.0f)),
        d_weights(Gaussians(rows * k, 2)),
        chosen(rows * k),
        weights(rows * k) {
    args.rows = rows;
    args.experts = experts;
    args.k = k;
    args.normalize = normalize;
    args.logits = logits.data();
    args.chosen = chosen.data();
    args.weights = weights.data();
  }
  const int64_t rows = 5, experts = 7, k = 3;
  std::vector<float> logits, d_weights;
  std::vector<int32_t> chosen;
  std::vector<float> weights;
  RouteArgs args;
};

TEST(RefLayerGradientTest, Routes) {
  for (const bool normalize : {false, true}) {
    Routing route(normalize);
    std::vector<float> d_logits(route.logits.size());
    ASSERT_TRUE(NewRefOps()->RouteTopK(route.args).ok());
    ASSERT_TRUE(NewRefOps()
                    ->train()
                    .RouteBackward({&route.args, route.d_weights.data(), d_logits.data()})
                    .ok());
    ExpectGradient(
        [&](const Doubles& v) {
          double loss = 0;
          for (int64_t r = 0; r < route.rows; ++r) {
            double total = 0, sum = 0;
            const double* row = &v[r * route.experts];
            for (int64_t i = 0; i < route.k; ++i) {
              const double power = std::exp(row[route.chosen[r * route.k + i]]);
              sum += power * route.d_weights[r * route.k + i];
              if (normalize) total += power;
            }
            for (int64_t e = 0; e < route.experts && !normalize; ++e) total += std::exp(row[e]);
            loss += sum / total;
          }
          return loss;
        },
        route.logits, d_logits);
  }
}

TEST(RefLayerGradientTest, ScatteredRows) {
  const int64_t rows = 3, width = 6, target = 5;
  const std::vector<int32_t> index = {4, 0, 2};
  const std::vector<float> x = Gaussians(rows * width, 1), factor = Gaussians(rows, 2),
                           dy = Gaussians(target * width, 3);
  std::vector<float> dx(x.size()), dfactor(rows);
  ASSERT_TRUE(NewRefOps()
                  ->train()
                  .ScatterRowsBackward({rows, width, target, index.data(), factor.data(), x.data(),
                                        dy.data(), dx.data(), dfactor.data()})
                  .ok());
  const auto loss = [&](const Doubles& a, const Doubles& f) {
    double sum = 0;
    for (int64_t i = 0; i < rows * width; ++i) {
      sum += f[i / width] * a[i] * dy[index[i / width] * width + i % width];
    }
    return sum;
  };
  ExpectGradient([&](const Doubles& v) { return loss(v, Wide(factor)); }, x, dx);
  ExpectGradient([&](const Doubles& v) { return loss(Wide(x), v); }, factor, dfactor);
}

TEST_P(LayerGradOpsTest, LayerNormBackwardIsTheReferences) {
  for (const auto& [rows, h] :
       {std::pair<int64_t, int64_t>{1, 1}, {3, 7}, {65, 33}, {9, 256}, {130, 300}}) {
    for (const bool affine : {true, false}) {
      const std::vector<float> x = Gaussians(rows * h, h, 2.0f), weight = Gaussians(h, 5),
                               dy = Gaussians(rows * h, 6), before = Gaussians(h, 7);
      std::vector<float> dx(x.size()), dweight = before, dbias = before;
      LayerNormGradArgs args{rows,
                             h,
                             x.data(),
                             affine ? weight.data() : nullptr,
                             1e-5f,
                             dy.data(),
                             dx.data(),
                             affine ? dweight.data() : nullptr,
                             affine ? dbias.data() : nullptr};
      ASSERT_TRUE(ref()->train().LayerNormBackward(args).ok());
      DeviceArray<float> in = On(x), scale = On(weight), d = On(dy), w = On(before), b = On(before);
      args.x = in.data();
      args.weight = affine ? scale.data() : nullptr;
      args.dy = d.data();
      args.dx = d.data();  // in place
      args.dweight = affine ? w.data() : nullptr;
      args.dbias = affine ? b.data() : nullptr;
      RUN_OP(ops()->train().LayerNormBackward(args));
      if (h > 1) ExpectClose(d.Get(), dx, 2e-6, 1e-5);
      if (!affine) continue;
      ExpectClose(w.Get(), dweight, 1e-6, 1e-5);
      ExpectClose(b.Get(), dbias, 1e-6, 1e-5);
    }
  }
}

TEST_P(LayerGradOpsTest, ActivationsBackwardAreTheReferences) {
  std::vector<float> x = Gaussians(1003, 1, 3.0f);
  const float extremes[] = {0.0f, -0.0f, 1e-30f, 60.0f, -60.0f, 80.0f, -80.0f};
  std::copy(std::begin(extremes), std::end(extremes), x.begin());
  const int64_t n = static_cast<int64_t>(x.size());
  const std::vector<float> up = Gaussians(n, 2), dy = Gaussians(n, 3);
  for (const Activation kind : kKinds) {
    SCOPED_TRACE(static_cast<int>(kind));
    std::vector<float> dx(n), dup(n);
    ASSERT_TRUE(
        ref()
            ->train()
            .ActivateBackward(kind, n, x.data(), up.data(), dy.data(), dx.data(), dup.data())
            .ok());
    DeviceArray<float> in = On(x), gate = On(up), d = On(dy), out = Space<float>(n);
    RUN_OP(ops()->train().ActivateBackward(kind, n, in.data(), gate.data(), d.data(), out.data(),
                                           d.data()));
    ExpectClose(out.Get(), dx, 1e-5, 1e-6);
    ExpectClose(d.Get(), dup, 1e-5, 1e-6);
  }
}

TEST_P(LayerGradOpsTest, CapsRoutesAndScattersBackward) {
  const std::vector<float> y = Gaussians(517, 1), dy = Gaussians(517, 2);
  std::vector<float> want = dy;
  ASSERT_TRUE(ref()->train().SoftCapBackward(517, 5.0f, y.data(), want.data()).ok());
  DeviceArray<float> capped = On(y), d = On(dy);
  RUN_OP(ops()->train().SoftCapBackward(517, 5.0f, capped.data(), d.data()));
  ExpectClose(d.Get(), want, 1e-6, 1e-6);
  for (const bool normalize : {false, true}) {
    Routing route(normalize);
    ASSERT_TRUE(ref()->RouteTopK(route.args).ok());
    std::vector<float> d_logits(route.logits.size());
    ASSERT_TRUE(
        ref()->train().RouteBackward({&route.args, route.d_weights.data(), d_logits.data()}).ok());
    DeviceArray<float> logits = On(route.logits), d_weights = On(route.d_weights),
                       out = Space<float>(d_logits.size());
    DeviceArray<int32_t> chosen = On(route.chosen);
    RouteArgs args = route.args;
    args.logits = logits.data();
    args.chosen = chosen.data();
    RUN_OP(ops()->train().RouteBackward({&args, d_weights.data(), out.data()}));
    ExpectClose(out.Get(), d_logits, 1e-6, 1e-6);
  }
  const std::vector<int32_t> index = {6, 1, 3};
  const std::vector<float> x = Gaussians(3 * 33, 3), factor = Gaussians(3, 4),
                           rows = Gaussians(7 * 33, 5);
  std::vector<float> dx(x.size()), dfactor(3);
  ASSERT_TRUE(ref()
                  ->train()
                  .ScatterRowsBackward({3, 33, 7, index.data(), factor.data(), x.data(),
                                        rows.data(), dx.data(), dfactor.data()})
                  .ok());
  DeviceArray<int32_t> places = On(index);
  DeviceArray<float> in = On(x), factors = On(factor), from = On(rows), to = Space<float>(x.size()),
                     sums = Space<float>(3);
  RUN_OP(ops()->train().ScatterRowsBackward(
      {3, 33, 7, places.data(), factors.data(), in.data(), from.data(), to.data(), sums.data()}));
  ExpectClose(to.Get(), dx, 1e-6, 0);
  ExpectClose(sums.Get(), dfactor, 1e-6, 1e-5);
}

INSTANTIATE_ON_DEVICES(LayerGradOpsTest);

}  // namespace
}  // namespace swage
