// Gradients: the reference against finite differences of forwards written in f64 here, the devices
// against the reference. And the optimizer.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/kernels/gradient_check.h"
#include "tests/unit/kernels/op_test.h"

namespace swage {
namespace {

using TrainOpsTest = OpTest;

double RmsNormLoss(int64_t rows, int64_t h, const Doubles& x, const Doubles& weight, double eps,
                   const std::vector<float>& dy) {
  double loss = 0;
  for (int64_t r = 0; r < rows; ++r) {
    double square = 0;
    for (int64_t i = 0; i < h; ++i) square += x[r * h + i] * x[r * h + i];
    const double factor = 1 / std::sqrt(square / static_cast<double>(h) + eps);
    for (int64_t i = 0; i < h; ++i) loss += x[r * h + i] * factor * weight[i] * dy[r * h + i];
  }
  return loss;
}

TEST(RefGradientTest, RmsNorm) {
  const int64_t rows = 4, h = 9;
  const float eps = 1e-3f;
  const std::vector<float> x = Gaussians(rows * h, 1), weight = Gaussians(h, 2),
                           dy = Gaussians(rows * h, 3);
  std::vector<float> dx(x.size()), dweight(h, 0.0f);
  ASSERT_TRUE(NewRefOps()->train().RmsNormBackward(rows, h, x.data(), weight.data(), eps, dy.data(),
                                                   dx.data(), dweight.data()).ok());
  ExpectGradient([&](const Doubles& v) { return RmsNormLoss(rows, h, v, Wide(weight), eps, dy); }, x,
                 dx);
  ExpectGradient([&](const Doubles& v) { return RmsNormLoss(rows, h, Wide(x), v, eps, dy); }, weight,
                 dweight);
}

TEST(RefGradientTest, SwiGlu) {
  const int64_t n = 40;
  const std::vector<float> gate = Gaussians(n, 1, 3.0f), up = Gaussians(n, 2), dy = Gaussians(n, 3);
  std::vector<float> dgate(n), dup(n);
  ASSERT_TRUE(NewRefOps()->train().SwiGluBackward(n, gate.data(), up.data(), dy.data(), dgate.data(),
                                                  dup.data()).ok());
  const auto loss = [&](const Doubles& g, const Doubles& u) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += g[i] / (1 + std::exp(-g[i])) * u[i] * dy[i];
    return sum;
  };
  ExpectGradient([&](const Doubles& v) { return loss(v, Wide(up)); }, gate, dgate);
  ExpectGradient([&](const Doubles& v) { return loss(Wide(gate), v); }, up, dup);
}

TEST(RefGradientTest, CrossEntropy) {
  const int64_t rows = 5, vocab = 11;
  const std::vector<float> logits = Gaussians(rows * vocab, 1, 2.0f);
  std::vector<int32_t> target = Indices(rows, vocab, 2);
  target[3] = -1;
  std::vector<float> gradient(logits.size());
  ASSERT_TRUE(NewRefOps()->train().CrossEntropyBackward(rows, vocab, logits.data(), target.data(),
                                                        0.25f, gradient.data()).ok());
  ExpectGradient(
      [&](const Doubles& x) {
        double loss = 0;
        for (int64_t r = 0; r < rows; ++r) {
          if (target[r] < 0) continue;
          double sum = 0;
          for (int64_t i = 0; i < vocab; ++i) sum += std::exp(x[r * vocab + i]);
          loss += 0.25 * (std::log(sum) - x[r * vocab + target[r]]);
        }
        return loss;
      },
      logits, gradient);
}

struct TrainHeads {
  int64_t windows, tokens, heads, kv_heads, d;
  int64_t window = 0;
  float softcap = 0;
  int64_t rows() const { return windows * tokens; }
  int64_t q_size() const { return rows() * heads * d; }
  int64_t kv_size() const { return rows() * kv_heads * d; }
};

double AttentionLoss(const TrainHeads& h, double scale, const Doubles& q, const Doubles& k,
                     const Doubles& v, const std::vector<float>& d_out) {
  double loss = 0;
  for (int64_t row = 0; row < h.rows(); ++row) {
    const int64_t first = row / h.tokens * h.tokens;
    for (int64_t head = 0; head < h.heads; ++head) {
      const int64_t q_at = (row * h.heads + head) * h.d, kv = head / (h.heads / h.kv_heads);
      double total = 0, sum = 0;
      const int64_t seen = h.window == 0 ? first : std::max(first, row - h.window + 1);
      for (int64_t t = seen; t <= row; ++t) {
        const int64_t kv_at = (t * h.kv_heads + kv) * h.d;
        double score = 0, along = 0;
        for (int64_t d = 0; d < h.d; ++d) {
          score += q[q_at + d] * k[kv_at + d];
          along += v[kv_at + d] * d_out[q_at + d];
        }
        score *= scale;
        if (h.softcap > 0) score = h.softcap * std::tanh(score / h.softcap);
        const double weight = std::exp(score);
        total += weight;
        sum += weight * along;
      }
      loss += sum / total;
    }
  }
  return loss;
}

struct Attended {
  std::vector<float> q, k, v, d_out, out, logsumexp, dq, dk, dv;
  AttentionArgs forward;
  explicit Attended(const TrainHeads& h, float deviation = 1.0f)
      : q(Gaussians(h.q_size(), 1, deviation)),
        k(Gaussians(h.kv_size(), 2)),
        v(Gaussians(h.kv_size(), 3)),
        d_out(Gaussians(h.q_size(), 4)),
        out(h.q_size()),
        logsumexp(h.rows() * h.heads),
        dq(h.q_size()),
        dk(h.kv_size()),
        dv(h.kv_size()) {
    forward.windows = h.windows;
    forward.tokens = h.tokens;
    forward.heads = h.heads;
    forward.kv_heads = h.kv_heads;
    forward.head_dim = h.d;
    forward.window = h.window;
    forward.softcap = h.softcap;
    forward.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(h.d)));
    forward.q = q.data();
    forward.k = k.data();
    forward.v = v.data();
    forward.out = out.data();
    forward.logsumexp = logsumexp.data();
  }
};

void ExpectAttentionGradients(const TrainHeads& h) {
  Attended a(h);
  const std::unique_ptr<Ops> ref = NewRefOps();
  ASSERT_TRUE(ref->Attention(a.forward).ok());
  ASSERT_TRUE(ref->train().AttentionBackward(
      {&a.forward, a.d_out.data(), a.dq.data(), a.dk.data(), a.dv.data()}).ok());
  const double scale = a.forward.scale;
  const Doubles q = Wide(a.q), k = Wide(a.k), v = Wide(a.v);
  ExpectGradient([&](const Doubles& x) { return AttentionLoss(h, scale, x, k, v, a.d_out); }, a.q,
                 a.dq, 2e-6);
  ExpectGradient([&](const Doubles& x) { return AttentionLoss(h, scale, q, x, v, a.d_out); }, a.k,
                 a.dk, 2e-6);
  ExpectGradient([&](const Doubles& x) { return AttentionLoss(h, scale, q, k, x, a.d_out); }, a.v,
                 a.dv, 2e-6);
}

TEST(RefGradientTest, Attention) { ExpectAttentionGradients({2, 7, 4, 2, 5}); }

TEST(RefGradientTest, AttentionThatSeesAWindowAndCapsItsScores) {
  ExpectAttentionGradients({2, 9, 2, 1, 5, 4, 0});
  ExpectAttentionGradients({2, 7, 4, 2, 5, 0, 0.8f});
  ExpectAttentionGradients({1, 9, 2, 2, 5, 3, 1.5f});
}

TEST_P(TrainOpsTest, AttentionGradientsAreTheReferences) {
  for (const TrainHeads& h : {TrainHeads{1, 1, 1, 1, 1}, {2, 5, 4, 2, 3}, {1, 64, 2, 1, 64}, {1, 65, 6, 3, 16},
                         {2, 131, 4, 4, 40}, {1, 200, 3, 1, 128}, {1, 150, 2, 1, 16, 7, 0},
                         {1, 200, 2, 2, 8, 64, 3.0f}, {2, 131, 3, 1, 40, 65, 0.5f},
                         {1, 90, 2, 1, 64, 0, 2.0f}, {1, 90, 2, 1, 64, 500, 0}}) {
    SCOPED_TRACE(testing::Message() << h.windows << " windows of " << h.tokens << ", " << h.heads
                                    << "/" << h.kv_heads << " heads of " << h.d);
    Attended a(h, 2.0f);
    ASSERT_TRUE(ref()->Attention(a.forward).ok());
    ASSERT_TRUE(ref()->train().AttentionBackward(
        {&a.forward, a.d_out.data(), a.dq.data(), a.dk.data(), a.dv.data()}).ok());
    DeviceArray<float> q = On(a.q), k = On(a.k), v = On(a.v), d_out = On(a.d_out),
                       out = Space<float>(h.q_size()), norm = Space<float>(h.rows() * h.heads),
                       dq = Space<float>(h.q_size()), dk = Space<float>(h.kv_size()),
                       dv = Space<float>(h.kv_size());
    AttentionArgs forward = a.forward;
    forward.q = q.data();
    forward.k = k.data();
    forward.v = v.data();
    forward.out = out.data();
    forward.logsumexp = norm.data();
    RUN_OP(ops()->Attention(forward));
    ExpectClose(norm.Get(), a.logsumexp, 1e-5, 1e-5);
    RUN_OP(ops()->train().AttentionBackward(
        {&forward, d_out.data(), dq.data(), dk.data(), dv.data()}));
    // Sums over up to 200 tokens of values of size 1, in f32.
    ExpectClose(dq.Get(), a.dq, 1e-4, 2e-5);
    ExpectClose(dk.Get(), a.dk, 1e-4, 1e-4);
    ExpectClose(dv.Get(), a.dv, 1e-4, 2e-5);
  }
}

TEST_P(TrainOpsTest, RmsNormGradientsAreTheReferences) {
  for (const auto& [rows, h] :
       {std::pair<int64_t, int64_t>{1, 1}, {3, 7}, {2, 33}, {70, 256}, {4, 1001}}) {
    const std::vector<float> x = Gaussians(rows * h, 1, 3.0f), weight = Gaussians(h, 2),
                             dy = Gaussians(rows * h, 3), start = Gaussians(h, 4);
    std::vector<float> want_dx(x.size()), want_dw = start;
    ASSERT_TRUE(ref()->train().RmsNormBackward(rows, h, x.data(), weight.data(), 1e-5f, dy.data(),
                                               want_dx.data(), want_dw.data()).ok());
    DeviceArray<float> in = On(x), scale = On(weight), grad = On(dy), dw = On(start);
    RUN_OP(ops()->train().RmsNormBackward(rows, h, in.data(), scale.data(), 1e-5f, grad.data(),
                                          grad.data(), dw.data()));
    ExpectClose(grad.Get(), want_dx, 1e-6, 2e-6);
    ExpectClose(dw.Get(), want_dw, 1e-6, 2e-6);
  }
}

TEST_P(TrainOpsTest, SwiGluGradientsAreTheReferences) {
  for (const int64_t n : {1, 31, 1000}) {
    std::vector<float> gate = Gaussians(n, 1, 5.0f);
    gate[0] = -120.0f;
    if (n > 2) gate[1] = 120.0f;
    const std::vector<float> up = Gaussians(n, 2), dy = Gaussians(n, 3);
    std::vector<float> dgate(n), dup(n);
    ASSERT_TRUE(ref()->train().SwiGluBackward(n, gate.data(), up.data(), dy.data(), dgate.data(),
                                              dup.data()).ok());
    DeviceArray<float> g = On(gate), u = On(up), d = On(dy), got = Space<float>(n);
    RUN_OP(ops()->train().SwiGluBackward(n, g.data(), u.data(), d.data(), got.data(), d.data()));
    ExpectClose(got.Get(), dgate, 1e-5, 1e-6);
    ExpectClose(d.Get(), dup, 1e-6, 1e-30);
  }
}

TEST_P(TrainOpsTest, CrossEntropyGradientsAreTheReferences) {
  for (const auto& [rows, vocab] : {std::pair<int64_t, int64_t>{1, 1}, {3, 7}, {5, 1003}}) {
    const std::vector<float> logits = Gaussians(rows * vocab, 1, 4.0f);
    std::vector<int32_t> target = Indices(rows, vocab, 2);
    target[0] = rows > 1 ? -1 : 0;
    std::vector<float> want(logits.size());
    ASSERT_TRUE(ref()->train().CrossEntropyBackward(rows, vocab, logits.data(), target.data(), 0.5f,
                                                    want.data()).ok());
    DeviceArray<float> x = On(logits);
    DeviceArray<int32_t> classes = On(target);
    RUN_OP(ops()->train().CrossEntropyBackward(rows, vocab, x.data(), classes.data(), 0.5f,
                                               x.data()));
    ExpectClose(x.Get(), want, 3e-6, 1e-7);
  }
  const int32_t outside = 3;
  float logits[2] = {};
  EXPECT_EQ(ref()->train().CrossEntropyBackward(1, 2, logits, &outside, 1, logits).code(),
            StatusCode::kInvalidArgument);
}

TEST_P(TrainOpsTest, EmbeddingsAddUpRepeatedRows) {
  const int64_t rows = 50, h = 37, vocab = 7;
  const std::vector<int32_t> ids = Indices(rows, vocab, 1);
  const std::vector<float> dy = Gaussians(rows * h, 2), start = Gaussians(vocab * h, 3);
  std::vector<float> want = start;
  ASSERT_TRUE(
      ref()->train().EmbedBackward(rows, h, vocab, ids.data(), dy.data(), want.data()).ok());
  DeviceArray<float> gradient = On(dy), table = On(start);
  DeviceArray<int32_t> rows_of = On(ids);
  RUN_OP(ops()->train().EmbedBackward(rows, h, vocab, rows_of.data(), gradient.data(),
                                      table.data()));
  ExpectSameBytes(table.Get(), want);  // the same sums in the same order
}

TEST_P(TrainOpsTest, RopeBackwardTurnsBack) {
  const int64_t d = 24, tokens = 9, heads = 3, rows = 2 * tokens;
  std::vector<float> inv_freq(d / 2);
  for (int64_t i = 0; i < d / 2; ++i) inv_freq[i] = std::pow(0.1f, static_cast<float>(i) / 4.0f);
  const std::vector<float> start = Gaussians(rows * heads * d, 1);
  DeviceArray<float> x = On(start), frequencies = On(inv_freq);
  RopeArgs args{};
  args.rows = rows;
  args.tokens = tokens;
  args.heads = heads;
  args.head_dim = d;
  args.inv_freq = frequencies.data();
  args.x = x.data();
  RUN_OP(ops()->Rope(args));
  args.inverse = true;
  RUN_OP(ops()->Rope(args));
  ExpectClose(x.Get(), start, 1e-6, 1e-6);
  // The transpose of a rotation is its inverse: <R x, y> = <x, R^-1 y>.
  const std::vector<float> y = Gaussians(start.size(), 2);
  std::vector<float> turned = start, back = y;
  args.inv_freq = inv_freq.data();
  args.inverse = false;
  args.x = turned.data();
  ASSERT_TRUE(ref()->Rope(args).ok());
  args.inverse = true;
  args.x = back.data();
  ASSERT_TRUE(ref()->Rope(args).ok());
  EXPECT_NEAR(Dot(Wide(turned), y), Dot(Wide(start), back), 1e-4);
}

struct Shape {
  int64_t m, n, k;
};

TEST_P(TrainOpsTest, GemmTakesEveryLayoutAndAccumulates) {
  for (const Shape& s : {Shape{1, 1, 1}, {5, 3, 7}, {64, 96, 128}, {33, 65, 40}, {7, 2, 0}}) {
    for (const GemmLayout layout : {GemmLayout::kNT, GemmLayout::kNN, GemmLayout::kTN}) {
      for (const DType type : {DType::kF32, DType::kBF16}) {
        for (const bool accumulate : {false, true}) {
          SCOPED_TRACE(testing::Message() << s.m << "x" << s.n << "x" << s.k << " layout "
                                          << static_cast<int>(layout) << " " << DTypeName(type)
                                          << (accumulate ? " added" : ""));
          const std::vector<float> a = Gaussians(s.m * s.k, 1), b = Gaussians(s.n * s.k, 2),
                                   c = Gaussians(s.m * s.n, 3);
          const std::vector<uint16_t> a16 = ToBf16(a), b16 = ToBf16(b);
          std::vector<float> want = c;
          GemmArgs args;
          args.m = s.m;
          args.n = s.n;
          args.k = s.k;
          args.a_type = args.b_type = type;
          args.layout = layout;
          args.accumulate = accumulate;
          const bool wide = type == DType::kF32;
          args.a = wide ? static_cast<const void*>(a.data()) : a16.data();
          args.b = wide ? static_cast<const void*>(b.data()) : b16.data();
          args.c = want.data();
          ASSERT_TRUE(ref()->Gemm(args).ok());
          DeviceArray<float> da = On(a), db = On(b), dc = On(c);
          DeviceArray<uint16_t> da16 = On(a16), db16 = On(b16);
          args.a = wide ? static_cast<const void*>(da.data()) : da16.data();
          args.b = wide ? static_cast<const void*>(db.data()) : db16.data();
          args.c = dc.data();
          const Status status = ops()->Gemm(args);
          if (status.code() == StatusCode::kUnimplemented) continue;
          ASSERT_TRUE(status.ok()) << MessageOf(status);
          ExpectClose(dc.Get(), want, 1e-6, 2e-5);
        }
      }
    }
  }
}

TEST_P(TrainOpsTest, AdamWStepsLikeTheReference) {
  const int64_t n = 5001;
  std::vector<float> w = Gaussians(n, 1), m = Gaussians(n, 3, 0.1f), v = Gaussians(n, 4, 0.1f);
  for (float& x : v) x = x * x;
  const std::vector<float> gradient = Gaussians(n, 2);
  std::vector<uint16_t> narrow(n);
  DeviceArray<float> dw = On(w), dm = On(m), dv = On(v), dg = On(gradient);
  DeviceArray<uint16_t> dn = Space<uint16_t>(n);
  for (int64_t step = 1; step <= 3; ++step) {
    AdamWArgs args;
    args.n = n;
    args.lr = 0.01f;
    args.decay = 0.1f;
    args.step = step;
    args.gradient_scale = 0.5f;
    args.stochastic = step > 1;
    args.key = {1, static_cast<uint64_t>(step), 0};
    args.w = w.data();
    args.m = m.data();
    args.v = v.data();
    args.gradient = gradient.data();
    args.w_bf16 = narrow.data();
    ASSERT_TRUE(ref()->train().AdamW(args).ok());
    args.w = dw.data();
    args.m = dm.data();
    args.v = dv.data();
    args.gradient = dg.data();
    args.w_bf16 = dn.data();
    RUN_OP(ops()->train().AdamW(args));
    ExpectClose(dw.Get(), w, 1e-6, 1e-7);
    ExpectClose(dm.Get(), m, 1e-6, 1e-7);
    ExpectClose(dv.Get(), v, 1e-6, 1e-7);
    // Rounded from its own weights by the same rule.
    const std::vector<float> weights = dw.Get();
    std::vector<uint16_t> want(n);
    if (step > 1) {
      ASSERT_TRUE(ref()->random().RoundToBf16(n, weights.data(), args.key, want.data()).ok());
    } else {
      want = ToBf16(weights);
    }
    ExpectSameBytes(dn.Get(), want);
  }
}

// torch 2.x: AdamW([1, -2, 3], lr=0.1, weight_decay=0.01), gradients [0.5, -1, 2] then [-0.25, 1, 0].
TEST(RefOptimizerTest, AdamWGivesTorchsWeights) {
  std::vector<float> w = {1, -2, 3}, m(3), v(3);
  const std::vector<std::vector<float>> gradients = {{0.5f, -1, 2}, {-0.25f, 1, 0}};
  const std::unique_ptr<Ops> ref = NewRefOps();
  for (int64_t step = 1; step <= 2; ++step) {
    AdamWArgs args;
    args.n = 3;
    args.w = w.data();
    args.m = m.data();
    args.v = v.data();
    args.gradient = gradients[step - 1].data();
    args.lr = 0.1f;
    args.decay = 0.01f;
    args.step = step;
    ASSERT_TRUE(ref->train().AdamW(args).ok());
  }
  const std::vector<float> want = {0.8714673519f, -1.9013652802f, 2.8270971775f};
  ExpectClose(w, want, 2e-6, 0);
}

TEST_P(TrainOpsTest, NormsAndClipping) {
  const int64_t n = 40001;
  const std::vector<float> x = Gaussians(n, 5);
  DeviceArray<float> gradient = On(x);
  const StatusOr<double> want = ref()->train().SquaredNorm(n, x.data());
  const StatusOr<double> got = ops()->train().SquaredNorm(n, gradient.data());
  if (got.status().code() == StatusCode::kUnimplemented) GTEST_SKIP() << "not on this device";
  ASSERT_TRUE(want.ok() && got.ok());
  EXPECT_NEAR(*got, *want, 1e-12 * *want);
  EXPECT_NEAR(std::sqrt(*got) * ClipFactor(std::sqrt(*got), 1.0), 1, 1e-5);
  EXPECT_EQ(ClipFactor(0.5, 1.0), 1.0f);
}

INSTANTIATE_ON_DEVICES(TrainOpsTest);

}  // namespace
}  // namespace swage
