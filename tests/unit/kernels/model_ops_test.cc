// The decoder's ops against the reference, within bounds that follow from f32 sums.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "tests/unit/kernels/op_test.h"
#include "tests/unit/kernels/random_values.h"

namespace swage {
namespace {

using ModelOpsTest = OpTest;

struct Product {
  int64_t m, n, k;
  DType a, b, c;
  bool bias;
};

const Product kProducts[] = {
    {1, 1, 1, DType::kF32, DType::kF32, DType::kF32, false},
    {1, 17, 33, DType::kF32, DType::kF32, DType::kF32, true},
    {5, 3, 7, DType::kF32, DType::kF32, DType::kF32, false},
    {64, 96, 256, DType::kF32, DType::kF32, DType::kF32, true},
    {130, 65, 100, DType::kF32, DType::kF32, DType::kF32, false},
    {3, 4, 0, DType::kF32, DType::kF32, DType::kF32, true},
    {0, 4, 8, DType::kF32, DType::kF32, DType::kF32, false},
    {1, 1, 1, DType::kBF16, DType::kBF16, DType::kF32, false},
    {7, 31, 65, DType::kBF16, DType::kBF16, DType::kF32, true},
    {64, 128, 256, DType::kBF16, DType::kBF16, DType::kF32, false},
    {33, 48, 64, DType::kBF16, DType::kBF16, DType::kBF16, true},
    {9, 20, 40, DType::kF32, DType::kBF16, DType::kF32, true},
    {9, 20, 40, DType::kBF16, DType::kF32, DType::kBF16, false},
};

// A matrix as floats and as what the product reads.
struct Matrix {
  Matrix(int64_t size, DType type, uint64_t seed)
      : values(Gaussians(size, seed)), halves(ToBf16(values)), type(type) {
    if (type == DType::kBF16) {
      for (size_t i = 0; i < values.size(); ++i) values[i] = FloatOfBf16(halves[i]);
    }
  }
  std::vector<float> values;
  std::vector<uint16_t> halves;
  DType type;
};

TEST_P(ModelOpsTest, GemmIsTheProductWithTheTransposedSecondMatrix) {
  for (const Product& p : kProducts) {
    SCOPED_TRACE(testing::Message()
                 << p.m << "x" << p.n << "x" << p.k << " " << DTypeName(p.a) << " "
                 << DTypeName(p.b) << " " << DTypeName(p.c) << (p.bias ? " bias" : ""));
    const Matrix a(p.m * p.k, p.a, 1), b(p.n * p.k, p.b, 2);
    const std::vector<float> bias = Gaussians(p.n, 3);
    DeviceArray<float> a32 = On(a.values), b32 = On(b.values), bias32 = On(bias),
                       c32 = Space<float>(p.m * p.n);
    DeviceArray<uint16_t> a16 = On(a.halves), b16 = On(b.halves), c16 = Space<uint16_t>(p.m * p.n);
    GemmArgs args;
    args.m = p.m;
    args.n = p.n;
    args.k = p.k;
    args.a_type = p.a;
    args.b_type = p.b;
    args.c_type = p.c;
    args.a = p.a == DType::kF32 ? static_cast<void*>(a32.data()) : a16.data();
    args.b = p.b == DType::kF32 ? static_cast<void*>(b32.data()) : b16.data();
    args.c = p.c == DType::kF32 ? static_cast<void*>(c32.data()) : c16.data();
    args.bias = p.bias ? bias32.data() : nullptr;
    const Status status = ops()->Gemm(args);
    if (status.code() == StatusCode::kUnimplemented) continue;
    ASSERT_TRUE(status.ok()) << MessageOf(status);
    const std::vector<float> got32 = c32.Get();
    const std::vector<uint16_t> got16 = c16.Get();
    for (int64_t i = 0; i < p.m * p.n; ++i) {
      double want = p.bias ? bias[i % p.n] : 0, magnitude = std::fabs(want);
      for (int64_t l = 0; l < p.k; ++l) {
        const double term =
            static_cast<double>(a.values[i / p.n * p.k + l]) * b.values[i % p.n * p.k + l];
        want += term;
        magnitude += std::fabs(term);
      }
      const double got = p.c == DType::kF32 ? got32[i] : FloatOfBf16(got16[i]);
      const double rounding = p.c == DType::kF32 ? 0 : std::fabs(want) / 256;
      ASSERT_NEAR(got, want, 1e-6 * magnitude + rounding) << "at " << i;
    }
  }
}

TEST_P(ModelOpsTest, RmsNormIsWithinThreeRoundings) {
  for (const auto& [rows, h] :
       {std::pair<int64_t, int64_t>{1, 1}, {3, 7}, {2, 33}, {9, 256}, {4, 1001}}) {
    const std::vector<float> x = Gaussians(rows * h, h, 4.0f), weight = Gaussians(h, 5);
    std::vector<float> want(rows * h);
    ASSERT_TRUE(ref()->RmsNorm(rows, h, x.data(), weight.data(), 1e-5f, want.data()).ok());
    DeviceArray<float> in = On(x), scale = On(weight), out = Space<float>(rows * h);
    RUN_OP(ops()->RmsNorm(rows, h, in.data(), scale.data(), 1e-5f, out.data()));
    ExpectClose(out.Get(), want, 4e-7, 1e-30);
  }
}

TEST_P(ModelOpsTest, RopeTurnsEachPairByItsPosition) {
  for (const int64_t d : {2, 6, 24, 64}) {
    const int64_t tokens = 9, windows = 2, heads = 3;
    std::vector<float> inv_freq(d / 2);
    for (int64_t i = 0; i < d / 2; ++i)
      inv_freq[i] = std::pow(10000.0f, -2.0f * static_cast<float>(i) / static_cast<float>(d));
    std::vector<float> want = Gaussians(windows * tokens * heads * d, d);
    DeviceArray<float> x = On(want), frequencies = On(inv_freq);
    RopeArgs args{windows * tokens, tokens, heads, d, inv_freq.data(), want.data()};
    ASSERT_TRUE(ref()->Rope(args).ok());
    args.inv_freq = frequencies.data();
    args.x = x.data();
    RUN_OP(ops()->Rope(args));
    ExpectClose(x.Get(), want, 1e-6, 1e-6);
  }
}

struct Heads {
  int64_t windows, tokens, heads, kv_heads, d;
};

TEST_P(ModelOpsTest, AttentionIsCausalAndGroupsQueries) {
  for (const Heads& h : {Heads{1, 1, 1, 1, 1},
                         {2, 5, 4, 2, 3},
                         {1, 64, 2, 1, 64},
                         {1, 65, 6, 3, 16},
                         {2, 131, 4, 4, 40},
                         {1, 200, 3, 1, 128}}) {
    SCOPED_TRACE(testing::Message() << h.windows << " windows of " << h.tokens << ", " << h.heads
                                    << "/" << h.kv_heads << " heads of " << h.d);
    const int64_t rows = h.windows * h.tokens;
    // Some scores are far apart, so that the running maximum moves.
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
    ExpectClose(out.Get(), want, 2e-6, 5e-6);
  }
}

TEST_P(ModelOpsTest, SwiGluHoldsFromTheSmallestToTheLargestGates) {
  std::vector<float> gate = Gaussians(1003, 1, 4.0f);
  const float extremes[] = {0.0f,   -0.0f,  1e-30f, -1e-30f, 50.0f,
                            -50.0f, 120.0f, -87.0f, -120.0f, 1e30f};
  std::copy(std::begin(extremes), std::end(extremes), gate.begin());
  const std::vector<float> up = Gaussians(gate.size(), 2);
  std::vector<float> want(gate.size());
  ASSERT_TRUE(ref()->SwiGlu(gate.size(), gate.data(), up.data(), want.data()).ok());
  DeviceArray<float> g = On(gate), u = On(up), y = Space<float>(gate.size());
  RUN_OP(ops()->SwiGlu(gate.size(), g.data(), u.data(), y.data()));
  ExpectClose(y.Get(), want, 1e-6, 1e-34);
}

TEST_P(ModelOpsTest, AddAndEmbedAreExact) {
  const std::vector<float> x = Gaussians(777, 1), y = Gaussians(777, 2);
  std::vector<float> want = y;
  ASSERT_TRUE(ref()->Add(777, x.data(), want.data()).ok());
  DeviceArray<float> dx = On(x), dy = On(y);
  RUN_OP(ops()->Add(777, dx.data(), dy.data()));
  ExpectSameBytes(dy.Get(), want);

  const int64_t vocab = 37, h = 19, rows = 50;
  const std::vector<float> table = Gaussians(vocab * h, 3);
  const std::vector<int32_t> ids = Indices(rows, vocab, 4);
  DeviceArray<float> table32 = On(table), out = Space<float>(rows * h);
  DeviceArray<uint16_t> table16 = On(ToBf16(table));
  DeviceArray<int32_t> device_ids = On(ids);
  RUN_OP(ops()->Embed(rows, h, vocab, device_ids.data(), table32.data(), DType::kF32, out.data()));
  const std::vector<float> full = out.Get();
  RUN_OP(ops()->Embed(rows, h, vocab, device_ids.data(), table16.data(), DType::kBF16, out.data()));
  const std::vector<float> narrow = out.Get();
  for (int64_t i = 0; i < rows * h; ++i) {
    const float entry = table[ids[i / h] * h + i % h];
    ASSERT_EQ(full[i], entry);
    ASSERT_EQ(narrow[i], FloatOfBf16(Bf16Of(entry)));
  }
}

TEST_P(ModelOpsTest, CrossEntropyIsWithinOneRoundingOfTheLogSum) {
  for (const int64_t vocab : {1, 3, 100, 4096, 5003}) {
    const int64_t rows = 6;
    std::vector<float> logits = Gaussians(rows * vocab, vocab, 6.0f);
    if (vocab > 3) logits[2] = -INFINITY;  // a class that cannot be
    const std::vector<int32_t> target = Indices(rows, vocab, 1);
    std::vector<float> want(rows);
    ASSERT_TRUE(ref()->CrossEntropy(rows, vocab, logits.data(), target.data(), want.data()).ok());
    DeviceArray<float> x = On(logits), nll = Space<float>(rows);
    DeviceArray<int32_t> t = On(target);
    RUN_OP(ops()->CrossEntropy(rows, vocab, x.data(), t.data(), nll.data()));
    ExpectClose(nll.Get(), want, 1e-6, 1e-6);
  }
}

TEST_P(ModelOpsTest, CompareLogitsMeasuresSmallDivergences) {
  for (const int64_t vocab : {1, 5, 1000, 4099}) {
    const int64_t rows = 5;
    const std::vector<float> p = Gaussians(rows * vocab, vocab, 3.0f);
    std::vector<float> q = p;
    const std::vector<float> noise = Gaussians(rows * vocab, 9);
    const float sizes[] = {0.0f, 1e-3f, 1e-2f, 0.3f, 4.0f};
    for (int64_t i = 0; i < rows * vocab; ++i) q[i] += sizes[i / vocab] * noise[i];
    std::vector<float> want(rows);
    std::vector<uint8_t> want_top(rows);
    ASSERT_TRUE(
        ref()->CompareLogits(rows, vocab, p.data(), q.data(), want.data(), want_top.data()).ok());
    DeviceArray<float> dp = On(p), dq = On(q), kl = Space<float>(rows);
    DeviceArray<uint8_t> top = Space<uint8_t>(rows);
    RUN_OP(ops()->CompareLogits(rows, vocab, dp.data(), dq.data(), kl.data(), top.data()));
    ExpectClose(kl.Get(), want, 1e-5, 3e-7);
    EXPECT_EQ(top.Get(), want_top);
    EXPECT_EQ(want_top[0], 1);
  }
}

TEST_P(ModelOpsTest, ErrorSumsAreDouble) {
  for (const int64_t n : {0, 1, 1000, 40000}) {
    const std::vector<float> a = Gaussians(n, 1), b = Gaussians(n, 2);
    double want_error = 0, want_norm = 0, error = -1, norm = -1;
    ASSERT_TRUE(ref()->ErrorSums(n, a.data(), b.data(), &want_error, &want_norm).ok());
    DeviceArray<float> da = On(a), db = On(b);
    RUN_OP(ops()->ErrorSums(n, da.data(), db.data(), &error, &norm));
    EXPECT_NEAR(error, want_error, 1e-12 * want_error);
    EXPECT_NEAR(norm, want_norm, 1e-12 * want_norm);
  }
}

TEST_P(ModelOpsTest, AllFiniteFindsOneBadValueAnywhere) {
  for (const int64_t n : {0, 1, 70, 515}) {
    std::vector<float> x(n, std::numeric_limits<float>::max());
    for (int64_t bad = -1; bad < n; bad += 7) {
      for (const float value : {INFINITY, -INFINITY, NAN}) {
        if (bad >= 0) x[bad] = value;
        DeviceArray<float> in = On(x);
        const StatusOr<bool> finite = ops()->AllFinite(n, in.data());
        if (finite.status().code() == StatusCode::kUnimplemented) GTEST_SKIP();
        ASSERT_TRUE(finite.ok());
        EXPECT_EQ(*finite, bad < 0) << n << " " << bad;
      }
      if (bad >= 0) x[bad] = 1.0f;
    }
  }
}

INSTANTIATE_ON_DEVICES(ModelOpsTest);

}  // namespace
}  // namespace swage
