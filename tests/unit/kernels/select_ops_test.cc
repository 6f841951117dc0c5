// Masks, clustering and statistics.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "tests/unit/kernels/op_test.h"
#include "tests/unit/kernels/random_values.h"

namespace swage {
namespace {

using SelectOpsTest = OpTest;

// Few different magnitudes, so that ties decide.
std::vector<float> Tied(int64_t n, uint64_t seed) {
  std::vector<float> x = Gaussians(n, seed, 2.0f);
  for (float& value : x) value = std::round(value);
  return x;
}

struct Choice {
  int64_t rows, columns, keep;
};

TEST_P(SelectOpsTest, TopKGivesTheReferencesMask) {
  for (const Choice& c : {Choice{1, 1, 0}, {1, 1, 1}, {1, 200003, 77777}, {5, 33, 7}, {40, 900, 450},
                          {3, 64, 64}, {2, 10, 0}, {1, 70000, 69999}}) {
    for (const bool tied : {false, true}) {
      SCOPED_TRACE(testing::Message() << c.keep << " of " << c.rows << " x " << c.columns);
      const int64_t n = c.rows * c.columns;
      std::vector<float> x = tied ? Tied(n, 3) : AnyFiniteFloats(n, 4);
      if (n > 40) {
        x[30] = std::numeric_limits<float>::quiet_NaN();
        x[31] = -std::numeric_limits<float>::infinity();
      }
      std::vector<uint8_t> want(n);
      const TopKArgs args{c.rows, c.columns, c.keep};
      ASSERT_TRUE(ref()->select().TopK(args, x.data(), want.data()).ok());
      for (int64_t r = 0; r < c.rows; ++r) {
        const auto row = want.begin() + r * c.columns;
        ASSERT_EQ(std::accumulate(row, row + c.columns, int64_t{0}), c.keep);
      }
      DeviceArray<float> scores = On(x);
      DeviceArray<uint8_t> mask = Space<uint8_t>(n);
      RUN_OP(ops()->select().TopK(args, scores.data(), mask.data()));
      ExpectSameBytes(mask.Get(), want);
    }
  }
}

TEST_P(SelectOpsTest, NOfMGivesTheReferencesMask) {
  for (const auto& [n, m] : {std::pair<int, int>{2, 4}, {1, 4}, {0, 4}, {4, 4}, {4, 8}, {1, 2},
                             {5, 7}, {16, 32}, {3, 64}, {1, 1}}) {
    const int64_t rows = 3, columns = 67 * m;
    SCOPED_TRACE(testing::Message() << n << ":" << m);
    for (const std::vector<float>& x : {Tied(rows * columns, 5), Gaussians(rows * columns, 6)}) {
      std::vector<uint8_t> want(x.size());
      ASSERT_TRUE(ref()->select().KeepNOfM(rows, columns, n, m, x.data(), want.data()).ok());
      DeviceArray<float> scores = On(x);
      DeviceArray<uint8_t> mask = Space<uint8_t>(x.size());
      RUN_OP(ops()->select().KeepNOfM(rows, columns, n, m, scores.data(), mask.data()));
      ExpectSameBytes(mask.Get(), want);
      for (size_t i = 0; i < want.size(); i += m) {
        ASSERT_EQ(std::accumulate(&want[i], &want[i] + m, 0), n);
      }
      std::vector<float> dropped = x;
      ASSERT_TRUE(ref()->select().ApplyMask(x.size(), want.data(), dropped.data()).ok());
      RUN_OP(ops()->select().ApplyMask(x.size(), mask.data(), scores.data()));
      ExpectSameBytes(scores.Get(), dropped);
    }
  }
}

struct Cloud {
  int64_t n, dim, k;
};

TEST_P(SelectOpsTest, NearestIsAsNearAsTheReferences) {
  for (const Cloud& c : {Cloud{1, 1, 1}, {1000, 1, 16}, {77, 2, 5}, {301, 8, 256}, {65, 33, 17}}) {
    SCOPED_TRACE(testing::Message() << c.n << " points of " << c.dim << ", " << c.k << " words");
    const std::vector<float> points = Gaussians(c.n * c.dim, 1), book = Gaussians(c.k * c.dim, 2);
    std::vector<int32_t> want(c.n);
    std::vector<float> want_distance(c.n);
    ASSERT_TRUE(ref()->select().Nearest(c.n, c.dim, c.k, points.data(), book.data(), want.data(),
                                        want_distance.data()).ok());
    DeviceArray<float> x = On(points), y = On(book), distance = Space<float>(c.n);
    DeviceArray<int32_t> index = Space<int32_t>(c.n);
    RUN_OP(ops()->select().Nearest(c.n, c.dim, c.k, x.data(), y.data(), index.data(),
                                   distance.data()));
    ExpectClose(distance.Get(), want_distance, 1e-5, 1e-12);
    const std::vector<int32_t> got = index.Get();
    int64_t others = 0;
    for (int64_t i = 0; i < c.n; ++i) {
      ASSERT_TRUE(got[i] >= 0 && got[i] < c.k);
      others += got[i] != want[i];
    }
    EXPECT_LE(others, c.n / 500);  // two words within the rounding of f32
  }
}

TEST_P(SelectOpsTest, NearestTakesTheFirstOfEqualCodewords) {
  DeviceArray<float> x = On(std::vector<float>{0.0f, 2.0f, 1.0f}),
                     y = On(std::vector<float>{1.0f, -1.0f, 3.0f, 1.0f});
  DeviceArray<int32_t> index = Space<int32_t>(3);
  RUN_OP(ops()->select().Nearest(3, 1, 4, x.data(), y.data(), index.data(), nullptr));
  EXPECT_EQ(index.Get(), (std::vector<int32_t>{0, 0, 0}));
}

double InertiaOf(const KMeansArgs& args) {
  double sum = 0;
  for (int64_t i = 0; i < args.n; ++i) {
    double distance = 0;
    for (int64_t d = 0; d < args.dim; ++d) {
      const double difference = static_cast<double>(args.points[i * args.dim + d]) -
                                args.centers[args.assignment[i] * args.dim + d];
      distance += difference * difference;
    }
    sum += distance * (args.weights == nullptr ? 1.0 : args.weights[i]);
  }
  return sum;
}

TEST_P(SelectOpsTest, KMeansDescendsFromTheCentersItIsGiven) {
  for (const Cloud& c : {Cloud{500, 1, 4}, {400, 2, 16}, {300, 8, 7}}) {
    const std::vector<float> points = Gaussians(c.n * c.dim, 1);
    std::vector<float> weights = Gaussians(c.n, 2), centers(c.k * c.dim), want_centers;
    for (float& w : weights) w = w * w;
    std::copy_n(points.begin(), centers.size(), centers.begin());
    want_centers = centers;
    std::vector<int32_t> assignment(c.n), want(c.n);
    KMeansArgs args{c.n, c.dim, c.k, points.data(), weights.data(), centers.data(),
                    assignment.data()};
    args.given_centers = true;
    double before = std::numeric_limits<double>::infinity();
    for (int step = 0; step < 6; ++step) {
      args.iterations = step == 0 ? 0 : 1;
      const StatusOr<KMeansResult> result = ops()->select().KMeans(args);
      if (result.status().code() == StatusCode::kUnimplemented) GTEST_SKIP();
      ASSERT_TRUE(result.ok());
      EXPECT_LE(result->inertia, before * (1 + 1e-6));
      EXPECT_NEAR(result->inertia, InertiaOf(args), 1e-5 * result->inertia);
      before = result->inertia;
    }
    KMeansArgs reference = args;
    reference.centers = want_centers.data();
    reference.assignment = want.data();
    reference.iterations = 5;
    const StatusOr<KMeansResult> result = ref()->select().KMeans(reference);
    ASSERT_TRUE(result.ok());
    EXPECT_NEAR(before, result->inertia, 0.02 * result->inertia);
  }
}

TEST_P(SelectOpsTest, KMeansFindsSeparateClusters) {
  const int64_t k = 8, each = 40, n = k * each;
  std::vector<float> points = Gaussians(2 * n, 3, 0.05f);
  for (int64_t i = 0; i < n; ++i) {
    points[2 * i] += static_cast<float>(i % k);
    points[2 * i + 1] += static_cast<float>((i % k) * (i % k)) * 0.3f;
  }
  std::vector<float> centers(2 * k);
  std::vector<int32_t> assignment(n);
  KMeansArgs args{n, 2, k, points.data(), nullptr, centers.data(), assignment.data()};
  args.key = {1, 2, 0};
  const StatusOr<KMeansResult> result = ops()->select().KMeans(args);
  if (result.status().code() == StatusCode::kUnimplemented) GTEST_SKIP();
  ASSERT_TRUE(result.ok());
  EXPECT_LT(result->inertia, 2.0 * 0.05 * 0.05 * n * 1.2);
  for (int64_t i = k; i < n; ++i) EXPECT_EQ(assignment[i], assignment[i % k]);
}

TEST_P(SelectOpsTest, KMeansOfFewerPointsThanCentersStillEnds) {
  std::vector<float> points = {1, 1, 1, 2}, centers(6);
  std::vector<int32_t> assignment(4);
  KMeansArgs args{4, 1, 6, points.data(), nullptr, centers.data(), assignment.data()};
  const StatusOr<KMeansResult> result = ops()->select().KMeans(args);
  if (result.status().code() == StatusCode::kUnimplemented) GTEST_SKIP();
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->inertia, 0);
}

TEST_P(SelectOpsTest, ColumnStatisticsAreTheReferences) {
  for (const auto& [rows, columns] :
       {std::pair<int64_t, int64_t>{0, 3}, {1, 1}, {17, 5}, {100, 70}, {33, 1000}}) {
    const std::vector<float> x = Gaussians(rows * columns, 9, 3.0f);
    const std::vector<uint16_t> narrow = ToBf16(x);
    DeviceArray<float> x32 = On(x);
    DeviceArray<uint16_t> x16 = On(narrow);
    for (const DType type : {DType::kF32, DType::kBF16}) {
      ColumnStatistics want(columns), got(columns);
      const bool wide = type == DType::kF32;
      ColumnsArgs args{rows, columns, wide ? static_cast<const void*>(x.data()) : narrow.data(), type};
      ASSERT_TRUE(ref()->statistics().Columns(args, &want).ok());
      args.x = wide ? static_cast<const void*>(x32.data()) : x16.data();
      RUN_OP(ops()->statistics().Columns(args, &got));
      EXPECT_EQ(got.rows, want.rows);
      ExpectSameBytes(got.power1, want.power1);
      ExpectSameBytes(got.power2, want.power2);
      ExpectSameBytes(got.power3, want.power3);
      ExpectSameBytes(got.power4, want.power4);
      ExpectSameBytes(got.min, want.min);
      ExpectSameBytes(got.max, want.max);
    }
  }
}

TEST_P(SelectOpsTest, HistogramsCountEveryValueOnce) {
  std::vector<float> x = Gaussians(50001, 2);
  x[7] = std::numeric_limits<float>::quiet_NaN();
  x[8] = std::numeric_limits<float>::infinity();
  x[9] = 2.0f;
  x[10] = -2.0f;
  for (const int64_t bins : {1, 7, 4096}) {
    std::vector<int64_t> want(bins + 3, 1), got(bins + 3, 1);
    HistogramArgs args{static_cast<int64_t>(x.size()), x.data(), -2, 2, bins, want.data()};
    ASSERT_TRUE(ref()->statistics().Histogram(args).ok());
    DeviceArray<float> on = On(x);
    args.x = on.data();
    args.counts = got.data();
    RUN_OP(ops()->statistics().Histogram(args));
    EXPECT_EQ(got, want);
    EXPECT_EQ(std::accumulate(want.begin(), want.end(), int64_t{0}), args.n + bins + 3);
    EXPECT_EQ(want[bins + 2], 2);  // the NaN, and what was there before
  }
}

INSTANTIATE_ON_DEVICES(SelectOpsTest);

ColumnStatistics PartOf(int64_t index) {
  const int64_t rows = 5, columns = 3;
  const std::vector<float> x = Gaussians(rows * columns, 100 + index, 10.0f);
  ColumnStatistics part(columns);
  EXPECT_TRUE(NewRefOps()->statistics().Columns({rows, columns, x.data()}, &part).ok());
  return part;
}

TEST(StatisticsTreeTest, WorkersThatOwnSubtreesGiveTheSameBytes) {
  const int64_t parts = 13;
  StatisticsTree one;
  for (int64_t i = 0; i < parts; ++i) one.Add(PartOf(i));
  StatisticsTree first, second, both;  // parts 0..7 and 8..11 elsewhere
  for (int64_t i = 0; i < 8; ++i) first.Add(PartOf(i));
  for (int64_t i = 8; i < 12; ++i) second.Add(PartOf(i));
  both.Add(first.Total(), 3);
  both.Add(second.Total(), 2);
  both.Add(PartOf(12));
  EXPECT_EQ(both.parts(), parts);
  const ColumnStatistics a = one.Total(), b = both.Total();
  EXPECT_EQ(a.rows, 5 * parts);
  ExpectSameBytes(a.power1, b.power1);
  ExpectSameBytes(a.power4, b.power4);
  ExpectSameBytes(a.max, b.max);
}

TEST(StatisticsTest, MomentsOfKnownDistributions) {
  const int64_t rows = 20000;
  std::vector<float> x = Gaussians(rows * 3, 1);
  for (int64_t r = 0; r < rows; ++r) {
    x[r * 3 + 1] = r % 2 == 0 ? 3.0f : 5.0f;  // kurtosis 1
    x[r * 3 + 2] = 7.0f;                      // constant
  }
  ColumnStatistics sums(3);
  ASSERT_TRUE(NewRefOps()->statistics().Columns({rows, 3, x.data()}, &sums).ok());
  EXPECT_NEAR(sums.Kurtosis(0), 3, 0.15);
  EXPECT_NEAR(sums.Kurtosis(1), 1, 1e-9);
  EXPECT_EQ(sums.Kurtosis(2), 0);
  EXPECT_NEAR(sums.Mean(1), 4, 1e-12);
  EXPECT_NEAR(sums.Variance(1), 1, 1e-12);
  EXPECT_EQ(sums.AbsMax(1), 5.0f);
  EXPECT_EQ(ColumnStatistics(2).AbsMax(0), 0.0f);
}

TEST(SelectRefusesTest, WhatDoesNotFit) {
  const std::unique_ptr<Ops> ref = NewRefOps();
  float x[6] = {};
  uint8_t mask[6] = {};
  EXPECT_EQ(ref->select().TopK({1, 6, 7}, x, mask).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ref->select().KeepNOfM(1, 6, 2, 4, x, mask).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ref->select().KeepNOfM(1, 6, 4, 3, x, mask).code(), StatusCode::kInvalidArgument);
  KMeansArgs args;
  args.k = 2;
  EXPECT_EQ(ref->select().KMeans(args).status().code(), StatusCode::kInvalidArgument);
  HistogramArgs histogram;
  EXPECT_EQ(ref->statistics().Histogram(histogram).code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace swage
