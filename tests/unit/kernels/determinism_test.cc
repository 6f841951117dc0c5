// The CPU's results depend on the numerics class only: the same bytes on every repetition, and for
// everything but products the same bytes for every number of threads.
#include <gtest/gtest.h>

#include "kernels/api/ops.h"
#include "tests/unit/kernels/random_values.h"

namespace swage {
namespace {

std::vector<float> Attend(Ops* ops) {
  const int64_t rows = 3 * 97, heads = 6, kv_heads = 2, d = 32;
  const std::vector<float> q = Gaussians(rows * heads * d, 1),
                           k = Gaussians(rows * kv_heads * d, 2),
                           v = Gaussians(rows * kv_heads * d, 3);
  std::vector<float> out(q.size());
  const AttentionArgs args{3,    97,       heads,    kv_heads, d,
                           0.2f, q.data(), k.data(), v.data(), out.data()};
  EXPECT_TRUE(ops->Attention(args).ok());
  return out;
}

std::vector<float> Rows(Ops* ops) {
  const int64_t rows = 170, n = 517;  // enough for five threads to get a share each
  const std::vector<float> x = Gaussians(rows * n, 4), y = Gaussians(rows * n, 5);
  const std::vector<int32_t> target = Indices(rows, n, 6);
  std::vector<float> norm(x.size()), glu(x.size()), nll(rows), kl(rows);
  std::vector<uint8_t> top(rows);
  double error = 0, norm2 = 0;
  EXPECT_TRUE(ops->RmsNorm(rows, n, x.data(), y.data(), 1e-5f, norm.data()).ok());
  EXPECT_TRUE(ops->SwiGlu(rows * n, x.data(), y.data(), glu.data()).ok());
  EXPECT_TRUE(ops->CrossEntropy(rows, n, x.data(), target.data(), nll.data()).ok());
  EXPECT_TRUE(ops->CompareLogits(rows, n, x.data(), y.data(), kl.data(), top.data()).ok());
  EXPECT_TRUE(ops->ErrorSums(rows * n, x.data(), y.data(), &error, &norm2).ok());
  std::vector<float> all = norm;
  all.insert(all.end(), glu.begin(), glu.end());
  all.insert(all.end(), nll.begin(), nll.end());
  all.insert(all.end(), kl.begin(), kl.end());
  all.push_back(static_cast<float>(error));
  return all;
}

std::vector<float> Multiply(Ops* ops, DType type) {
  const int64_t m = 65, n = 130, k = 257;
  const std::vector<float> a = Gaussians(m * k, 7), b = Gaussians(n * k, 8);
  const std::vector<uint16_t> a16 = ToBf16(a), b16 = ToBf16(b);
  std::vector<float> c(m * n);
  GemmArgs args;
  args.m = m;
  args.n = n;
  args.k = k;
  args.a_type = args.b_type = type;
  args.a = type == DType::kF32 ? static_cast<const void*>(a.data()) : a16.data();
  args.b = type == DType::kF32 ? static_cast<const void*>(b.data()) : b16.data();
  args.c = c.data();
  EXPECT_TRUE(ops->Gemm(args).ok());
  return c;
}

// The families of ops that sum something up or draw numbers.
std::vector<double> Families(Ops* ops) {
  const int64_t rows = 170, n = 512;
  std::vector<float> x = Gaussians(rows * n, 4), y(x.size()), dweight(n), weight = Gaussians(n, 5);
  std::vector<double> all;
  const auto take = [&](const std::vector<float>& values) {
    all.insert(all.end(), values.begin(), values.end());
  };
  EXPECT_TRUE(ops->random().Normal(rows * n, {1, 2, 0}, y.data()).ok());
  take(y);
  EXPECT_TRUE(ops->random().Hadamard({rows, n, 128, y.data()}).ok());
  take(y);
  EXPECT_TRUE(ops->train().RmsNormBackward(rows, n, x.data(), weight.data(), 1e-5f, y.data(),
                                           y.data(), dweight.data()).ok());
  take(y);
  take(dweight);
  ColumnStatistics sums(n);
  EXPECT_TRUE(ops->statistics().Columns({rows, n, x.data()}, &sums).ok());
  all.insert(all.end(), sums.power4.begin(), sums.power4.end());
  all.push_back(ops->train().SquaredNorm(rows * n, x.data()).value());
  std::vector<float> centers(32);
  std::vector<int32_t> assignment(rows * n / 4);
  KMeansArgs args{rows * n / 4, 4, 8, x.data(), nullptr, centers.data(), assignment.data(), 3};
  all.push_back(ops->select().KMeans(args).value().inertia);
  take(centers);
  return all;
}

std::vector<float> AttendBack(Ops* ops) {
  const int64_t windows = 3, tokens = 97, heads = 6, kv_heads = 2, d = 32, rows = windows * tokens;
  const std::vector<float> q = Gaussians(rows * heads * d, 1), kv = Gaussians(rows * kv_heads * d, 2);
  std::vector<float> out(q.size()), norm(rows * heads), dq(q.size()), dk(kv.size()), dv(kv.size());
  AttentionArgs forward{};
  forward.windows = windows;
  forward.tokens = tokens;
  forward.heads = heads;
  forward.kv_heads = kv_heads;
  forward.head_dim = d;
  forward.scale = 0.2f;
  forward.q = q.data();
  forward.k = forward.v = kv.data();
  forward.out = out.data();
  forward.logsumexp = norm.data();
  EXPECT_TRUE(ops->Attention(forward).ok());
  EXPECT_TRUE(
      ops->train().AttentionBackward({&forward, q.data(), dq.data(), dk.data(), dv.data()}).ok());
  dq.insert(dq.end(), dk.begin(), dk.end());
  dq.insert(dq.end(), dv.begin(), dv.end());
  return dq;
}

TEST(DeterminismTest, RepetitionsGiveTheSameBytes) {
  const std::unique_ptr<Ops> ops = NewCpuOps(3), again = NewCpuOps(3);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Attend(ops.get()), Attend(again.get()));
    EXPECT_EQ(Rows(ops.get()), Rows(again.get()));
    EXPECT_EQ(Multiply(ops.get(), DType::kF32), Multiply(again.get(), DType::kF32));
    EXPECT_EQ(Multiply(ops.get(), DType::kBF16), Multiply(again.get(), DType::kBF16));
  }
}

TEST(DeterminismTest, ThreadsDoNotChangeTheBytesOfWhatIsNotAProduct) {
  const std::unique_ptr<Ops> one = NewCpuOps(1), many = NewCpuOps(5);
  EXPECT_EQ(Attend(one.get()), Attend(many.get()));
  EXPECT_EQ(Rows(one.get()), Rows(many.get()));
  EXPECT_EQ(Families(one.get()), Families(many.get()));
  EXPECT_EQ(AttendBack(one.get()), AttendBack(many.get()));
}

TEST(DeterminismTest, NumericsClassNamesThreadsAndLibraries) {
  const std::string one = NewCpuOps(1)->NumericsClass(), two = NewCpuOps(2)->NumericsClass();
  EXPECT_NE(one, two);
  EXPECT_EQ(one.substr(0, 4), "cpu/");
  EXPECT_NE(one.find("/onednn-"), std::string::npos);
  EXPECT_EQ(two.substr(two.size() - 3), "/t2");
}

}  // namespace
}  // namespace swage
