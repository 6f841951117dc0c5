// GPTQ's sweep: against the reference where all arithmetic is exact, and against what the sum of its
// errors must be.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/rng.h"
#include "tests/unit/kernels/op_test.h"
#include "tests/unit/kernels/random_values.h"

namespace swage {
namespace {

using FeedbackOpsTest = OpTest;

struct SweepCase {
  int64_t rows = 0, columns = 0, group = 0;
  int bits = 4;
  bool zeros = false;
};

struct SweepData {
  std::vector<float> w, factor, scales;
  std::vector<int8_t> zeros;
  std::vector<int32_t> order;
};

// Weights are multiples of 2^-6, scales 2^-3, factors -1, 0 and 1: nothing is ever rounded but to codes.
SweepData ExactData(const SweepCase& c) {
  Rng rng(static_cast<uint64_t>(c.rows * 1000 + c.columns));
  SweepData data;
  for (int64_t i = 0; i < c.rows * c.columns; ++i)
    data.w.push_back((static_cast<float>(rng.Uniform(65)) - 32) / 64);
  data.factor.assign(c.columns * c.columns, 0.0f);
  for (int64_t i = 0; i < c.columns; ++i) {
    data.factor[i * c.columns + i] = 1;
    if (i + 1 == c.columns) break;
    const auto to = i + 1 + static_cast<int64_t>(rng.Uniform(static_cast<uint64_t>(c.columns - i - 1)));
    data.factor[i * c.columns + to] = rng.Uniform(2) == 0 ? 1.0f : -1.0f;
  }
  data.scales.assign(c.rows * (c.columns / c.group), 0.125f);
  for (size_t i = 0; i < data.scales.size(); ++i)
    data.zeros.push_back(static_cast<int8_t>(static_cast<int>(rng.Uniform(5)) - 2));
  data.order.resize(c.columns);
  std::iota(data.order.begin(), data.order.end(), 0);
  for (size_t i = data.order.size(); i > 1; --i) std::swap(data.order[i - 1], data.order[rng.Uniform(i)]);
  return data;
}

FeedbackArgs ArgsOf(const SweepCase& c) {
  FeedbackArgs args;
  args.rows = c.rows;
  args.columns = c.columns;
  args.group = c.group;
  args.bits = c.bits;
  return args;
}

TEST_P(FeedbackOpsTest, ExactArithmeticGivesTheReferencesCodes) {
  for (const SweepCase& c :
       {SweepCase{1, 1, 1, 8, false}, {3, 128, 64, 4, true}, {33, 130, 65, 3, false}, {70, 300, 300, 8, true},
        {129, 257, 257, 5, false}}) {
    SCOPED_TRACE(testing::Message() << c.rows << " x " << c.columns);
    const SweepData data = ExactData(c);
    std::vector<int8_t> want(data.w.size());
    double want_loss = -1;
    FeedbackArgs args = ArgsOf(c);
    args.w = data.w.data();
    args.factor = data.factor.data();
    args.order = data.order.data();
    args.scales = data.scales.data();
    args.zeros = c.zeros ? data.zeros.data() : nullptr;
    args.codes = want.data();
    args.loss = &want_loss;
    ASSERT_TRUE(ref()->linalg().RoundWithFeedback(args).ok());

    DeviceArray<float> w = On(data.w), factor = On(data.factor), scales = On(data.scales);
    DeviceArray<int8_t> zeros = On(data.zeros), codes = Space<int8_t>(c.rows * c.columns);
    DeviceArray<int32_t> order = On(data.order);
    double loss = -1;
    args.w = w.data();
    args.factor = factor.data();
    args.order = order.data();
    args.scales = scales.data();
    args.zeros = c.zeros ? zeros.data() : nullptr;
    args.codes = codes.data();
    args.loss = &loss;
    RUN_OP(ops()->linalg().RoundWithFeedback(args));
    ExpectSameBytes(codes.Get(), want);
    EXPECT_NEAR(loss, want_loss, 1e-5 * want_loss);
  }
}

// D = E R, so that tr(D H D^T) = |E|^2 with H^-1 = R^T R: here by solving E R = D.
TEST_P(FeedbackOpsTest, TheLossIsThatOfTheRoundedWeights) {
  constexpr int64_t kRows = 21, kColumns = 200;
  std::vector<float> x = Gaussians(3 * kColumns * kColumns, 5), h(kColumns * kColumns, 0.0f);
  for (int64_t r = 0; r < 3 * kColumns; ++r) {  // neighbours alike
    for (int64_t i = 1; i < kColumns; ++i) x[r * kColumns + i] += 0.8f * x[r * kColumns + i - 1];
  }
  const std::unique_ptr<Ops> cpu = NewCpuOps(1);
  ASSERT_TRUE(cpu->linalg().Syrk({3 * kColumns, kColumns, x.data(), DType::kF32, h.data()}).ok());
  ASSERT_TRUE(cpu->linalg().InverseCholesky({kColumns, h.data(), DType::kF32}).ok());
  const std::vector<float> w = Gaussians(kRows * kColumns, 6), scales(kRows, 0.3f);
  std::vector<int32_t> order(kColumns);
  std::iota(order.begin(), order.end(), 0);
  DeviceArray<float> w_on = On(w), r_on = On(h), scales_on = On(scales);
  DeviceArray<int32_t> order_on = On(order);
  DeviceArray<int8_t> codes_on = Space<int8_t>(kRows * kColumns);
  FeedbackArgs args = ArgsOf({kRows, kColumns, kColumns, 4, false});
  double loss = -1;
  args.w = w_on.data();
  args.factor = r_on.data();
  args.order = order_on.data();
  args.scales = scales_on.data();
  args.codes = codes_on.data();
  args.loss = &loss;
  RUN_OP(ops()->linalg().RoundWithFeedback(args));
  const std::vector<int8_t> codes = codes_on.Get();
  double want = 0;
  for (int64_t r = 0; r < kRows; ++r) {
    std::vector<double> d(kColumns);
    for (int64_t i = 0; i < kColumns; ++i)
      d[i] = static_cast<double>(w[r * kColumns + i]) - codes[r * kColumns + i] * static_cast<double>(0.3f);
    for (int64_t i = 0; i < kColumns; ++i) {
      const double e = d[i] / h[i * kColumns + i];
      want += e * e;
      for (int64_t j = i + 1; j < kColumns; ++j) d[j] -= e * h[i * kColumns + j];
    }
  }
  EXPECT_NEAR(loss, want, 1e-4 * want);
}

TEST_P(FeedbackOpsTest, ArgumentsThatDoNotFitAreRefused) {
  const SweepCase c{2, 8, 4, 4, false};
  SweepData data = ExactData(c);
  std::vector<int8_t> codes(16);
  FeedbackArgs args = ArgsOf(c);
  args.w = data.w.data();
  args.factor = data.factor.data();
  args.order = data.order.data();
  args.scales = data.scales.data();
  args.codes = codes.data();
  const auto refused = [&](FeedbackArgs wrong) {
    return ReasonOf(ref()->linalg().RoundWithFeedback(wrong)) == "KERNEL_ARGUMENT";
  };
  FeedbackArgs wrong = args;
  wrong.bits = 9;
  EXPECT_TRUE(refused(wrong));
  wrong = args;
  wrong.group = 3;
  EXPECT_TRUE(refused(wrong));
  wrong = args;
  wrong.codes = nullptr;
  EXPECT_TRUE(refused(wrong));
  data.order[1] = data.order[0];
  EXPECT_TRUE(refused(args)) << "not a permutation";
}

INSTANTIATE_ON_DEVICES(FeedbackOpsTest);

}  // namespace
}  // namespace swage
