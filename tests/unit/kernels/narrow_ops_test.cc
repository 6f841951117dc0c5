// Ops whose results are bf16, and repacked operands of products: against the reference.
#include <gtest/gtest.h>

#include "kernels/numeric/half.h"
#include "tests/unit/kernels/op_test.h"
#include "tests/unit/kernels/random_values.h"

namespace swage {
namespace {

class NarrowOpsTest : public OpTest {
 protected:
  void SetUp() override {
    if (ops()->narrow() == nullptr) GTEST_SKIP() << "not on this device";
  }
};

std::vector<uint16_t> Halves(const std::vector<float>& values) {
  std::vector<uint16_t> halves;
  for (const float value : values) halves.push_back(Bf16Of(value));
  return halves;
}

// Values that lie on the border between two bf16 may fall to either side: one step, 2^-8 of them.
void ExpectHalves(const std::vector<uint16_t>& got, const std::vector<uint16_t>& want,
                  double absolute = 1e-30) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    const float value = FloatOfBf16(want[i]);
    ASSERT_NEAR(FloatOfBf16(got[i]), value, std::fabs(value) / 128 + absolute) << "at " << i;
  }
}

TEST_P(NarrowOpsTest, RmsNorm) {
  const int64_t rows = 5, h = 131;
  const std::vector<float> x = Gaussians(rows * h, 1, 3.0f), weight = Gaussians(h, 2);
  std::vector<uint16_t> want(x.size());
  ASSERT_TRUE(
      ref()->narrow()->RmsNorm(rows, h, x.data(), weight.data(), 1e-5f, want.data()).ok());
  auto dx = On(x);
  auto dw = On(weight);
  auto y = Space<uint16_t>(rows * h);
  RUN_OP(ops()->narrow()->RmsNorm(rows, h, dx.data(), dw.data(), 1e-5f, y.data()));
  ExpectHalves(y.Get(), want);
}

TEST_P(NarrowOpsTest, SwiGluAndItsGradient) {
  for (const int64_t n : {1, 37, 40000}) {
    const std::vector<float> gate = Gaussians(n, 1, 4.0f), up = Gaussians(n, 2),
                             dy = Gaussians(n, 3);
    const std::vector<uint16_t> gate16 = Halves(gate), up16 = Halves(up);
    std::vector<uint16_t> want(n), want_gate(n), want_up(n);
    NarrowOps* narrow = ref()->narrow();
    ASSERT_TRUE(narrow->SwiGlu(n, gate.data(), up.data(), want.data()).ok());
    auto g = On(gate);
    auto u = On(up);
    auto g16 = On(gate16);
    auto u16 = On(up16);
    auto d = On(dy);
    auto y = Space<uint16_t>(n);
    RUN_OP(ops()->narrow()->SwiGlu(n, g.data(), u.data(), y.data()));
    ExpectHalves(y.Get(), want);
    ASSERT_TRUE(narrow->SwiGlu(n, gate16.data(), up16.data(), want.data()).ok());
    RUN_OP(ops()->narrow()->SwiGlu(n, g16.data(), u16.data(), y.data()));
    ExpectHalves(y.Get(), want);
    ASSERT_TRUE(narrow->SwiGluBackward(n, gate16.data(), up16.data(), dy.data(), want_gate.data(),
                                       want_up.data()).ok());
    // In place: the gradients take the place of what they were made from.
    RUN_OP(ops()->narrow()->SwiGluBackward(n, g16.data(), u16.data(), d.data(), g16.data(),
                                           u16.data()));
    ExpectHalves(g16.Get(), want_gate, 1e-6);
    ExpectHalves(u16.Get(), want_up, 1e-6);
  }
}

TEST_P(NarrowOpsTest, CrossEntropyBackward) {
  const int64_t rows = 7, vocab = 1003;
  const std::vector<float> logits = Gaussians(rows * vocab, 1, 2.0f);
  std::vector<int32_t> target = {0, 1002, 5, -1, 17, 500, -1};
  std::vector<float> want_nll(rows);
  std::vector<uint16_t> want(rows * vocab);
  ASSERT_TRUE(ref()->narrow()->CrossEntropyBackward(rows, vocab, logits.data(), target.data(),
                                                    0.25f, want_nll.data(), want.data()).ok());
  auto x = On(logits);
  auto t = On(target);
  auto nll = Space<float>(rows);
  auto d = Space<uint16_t>(rows * vocab);
  RUN_OP(ops()->narrow()->CrossEntropyBackward(rows, vocab, x.data(), t.data(), 0.25f, nll.data(),
                                               d.data()));
  ExpectClose(nll.Get(), want_nll, 1e-6, 1e-6);
  ExpectHalves(d.Get(), want, 1e-9);
}

INSTANTIATE_ON_DEVICES(NarrowOpsTest);

using NarrowAttentionTest = OpTest;

double NormOf(const std::vector<float>& x) {
  double sum = 0;
  for (const float value : x) sum += static_cast<double>(value) * value;
  return std::sqrt(sum);
}

// bf16 rounds by 2^-9 of each value: a hundredth of the norm is far beyond what products make of it.
void ExpectNear(const std::vector<float>& got, const std::vector<float>& want, const char* what) {
  std::vector<float> off(got.size());
  for (size_t i = 0; i < got.size(); ++i) off[i] = got[i] - want[i];
  EXPECT_LE(NormOf(off), 0.01 * NormOf(want)) << what;
}

TEST_P(NarrowAttentionTest, AndItsGradientAreNearTheReference) {
  struct Case {
    int64_t tokens, head_dim, window;
    float softcap;
  };
  for (const Case& c : {Case{1, 64, 0, 0}, Case{77, 64, 0, 0}, Case{130, 128, 20, 5},
                        Case{65, 80, 0, 0}}) {
    AttentionArgs args;
    args.windows = 2;
    args.tokens = c.tokens;
    args.heads = 4;
    args.kv_heads = 2;
    args.head_dim = c.head_dim;
    args.window = c.window;
    args.softcap = c.softcap;
    args.scale = 0.15f;
    args.narrow = true;
    const int64_t rows = 2 * c.tokens, wide = rows * 4 * c.head_dim, slim = wide / 2;
    const std::vector<float> q = Gaussians(wide, 1), k = Gaussians(slim, 2), v = Gaussians(slim, 3),
                             d_out = Gaussians(wide, 4);
    std::vector<float> out(wide), lse(rows * 4), dq(wide), dk(slim), dv(slim);
    AttentionArgs want = args;
    want.q = q.data(), want.k = k.data(), want.v = v.data();
    want.out = out.data(), want.logsumexp = lse.data();
    ASSERT_TRUE(ref()->Attention(want).ok());
    ASSERT_TRUE(ref()->train().AttentionBackward(
        {&want, d_out.data(), dq.data(), dk.data(), dv.data()}).ok());
    auto q_at = On(q), k_at = On(k), v_at = On(v), d_out_at = On(d_out);
    auto out_at = Space<float>(wide), lse_at = Space<float>(rows * 4), dq_at = Space<float>(wide),
         dk_at = Space<float>(slim), dv_at = Space<float>(slim);
    args.q = q_at.data(), args.k = k_at.data(), args.v = v_at.data();
    args.out = out_at.data(), args.logsumexp = lse_at.data();
    RUN_OP(ops()->Attention(args));
    ExpectNear(out_at.Get(), out, "out");
    ExpectNear(lse_at.Get(), lse, "logsumexp");
    RUN_OP(ops()->train().AttentionBackward(
        {&args, d_out_at.data(), dq_at.data(), dk_at.data(), dv_at.data()}));
    if (c.tokens > 1) {  // a single key has the weight 1 whatever its score
      ExpectNear(dq_at.Get(), dq, "dq");
      ExpectNear(dk_at.Get(), dk, "dk");
    }
    ExpectNear(dv_at.Get(), dv, "dv");
  }
}

INSTANTIATE_ON_DEVICES(NarrowAttentionTest);

using PackedGemmTest = OpTest;

TEST_P(PackedGemmTest, IsThePlainProduct) {
  for (const GemmLayout layout : {GemmLayout::kNT, GemmLayout::kNN}) {
    for (const int64_t n : {17, 64, 320}) {
      const int64_t k = 96;
      const std::vector<float> a = Gaussians(70 * k, 1), b = Gaussians(n * k, 2);
      auto da = On(Halves(a));
      auto db = On(Halves(b));
      GemmArgs args;
      args.m = 64;
      args.n = n;
      args.k = k;
      args.layout = layout;
      args.a_type = args.b_type = DType::kBF16;
      args.a = da.data();
      args.b = db.data();
      auto packed = ops()->PackB(args);
      ASSERT_TRUE(packed.ok()) << packed.status();
      for (const int64_t m : {1, 64, 70}) {
        args.m = m;
        auto plain = Space<float>(m * n), repacked = Space<float>(m * n);
        args.c = plain.data();
        args.packed_b = nullptr;
        RUN_OP(ops()->Gemm(args));
        args.c = repacked.data();
        args.packed_b = packed->get();
        RUN_OP(ops()->Gemm(args));
        ExpectClose(repacked.Get(), plain.Get(), 1e-5, 1e-4);
      }
    }
  }
}

INSTANTIATE_ON_DEVICES(PackedGemmTest);

}  // namespace
}  // namespace swage
