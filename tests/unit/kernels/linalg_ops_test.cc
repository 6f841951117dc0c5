// Rank-k updates, factorizations, eigenvalues and singular values: against their definitions, in
// double, within bounds that follow from the type.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "tests/unit/kernels/op_test.h"
#include "tests/unit/kernels/random_values.h"

namespace swage {
namespace {

using LinalgOpsTest = OpTest;
using Doubles = std::vector<double>;

double RoundingOf(DType type) { return type == DType::kF64 ? 2.3e-16 : 1.2e-7; }

std::vector<float> Floats(const Doubles& x) { return {x.begin(), x.end()}; }

// An array of F32 or F64 in the device's memory.
class RealArray {
 public:
  RealArray(TestDevice* device, const Doubles& values, DType type, bool shifted)
      : type_(type),
        narrow_(device, Floats(type == DType::kF32 ? values : Doubles()), shifted),
        wide_(device, type == DType::kF64 ? values : Doubles(), shifted) {}
  void* data() {
    return type_ == DType::kF64 ? static_cast<void*>(wide_.data()) : narrow_.data();
  }
  Doubles Get() const {
    if (type_ == DType::kF64) return wide_.Get();
    const std::vector<float> values = narrow_.Get();
    return {values.begin(), values.end()};
  }

 private:
  DType type_;
  DeviceArray<float> narrow_;
  DeviceArray<double> wide_;
};

Doubles RandomDoubles(int64_t n, uint64_t seed) {
  const std::vector<float> values = Gaussians(n, seed);
  return {values.begin(), values.end()};
}

// [m, k] x [k, n], either one transposed when it is stored the other way.
Doubles MatrixProduct(int64_t m, int64_t n, int64_t k, const Doubles& a, bool a_down, const Doubles& b,
                bool b_across) {
  Doubles c(m * n, 0.0);
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t l = 0; l < k; ++l) {
      const double value = a_down ? a[l * m + i] : a[i * k + l];
      for (int64_t j = 0; j < n; ++j) c[i * n + j] += value * (b_across ? b[j * k + l] : b[l * n + j]);
    }
  }
  return c;
}

void ExpectNear(const Doubles& got, const Doubles& want, double bound) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], bound) << "at " << i;
}

// Symmetric, eigenvalues about 1 +- 0.9: well enough conditioned for bounds of some roundings.
Doubles Definite(int64_t n, uint64_t seed) {
  const Doubles x = RandomDoubles(4 * n * n, seed);
  Doubles a = MatrixProduct(n, n, 4 * n, x, true, x, false);
  for (double& value : a) value /= static_cast<double>(4 * n);
  return a;
}

Doubles Identity(int64_t n) {
  Doubles a(n * n, 0.0);
  for (int64_t i = 0; i < n; ++i) a[i * n + i] = 1;
  return a;
}

struct Update {
  int64_t rows, n, chunk;
};

TEST_P(LinalgOpsTest, SyrkAddsToTheUpperTriangleOnly) {
  for (const Update& u : {Update{1, 1, 8192}, {5, 3, 2}, {33, 65, 16}, {100, 129, 8192},
                          {200, 150, 64}, {24, 513, 64}}) {
    for (const DType x_type : {DType::kF32, DType::kBF16}) {
      for (const DType h_type : {DType::kF32, DType::kF64}) {
        // The type of the sums matters little to the rest, and products take long to prepare.
        if (h_type == DType::kF64 && u.n != 65) continue;
        SCOPED_TRACE(testing::Message() << u.rows << " x " << u.n << " " << DTypeName(x_type)
                                        << " into " << DTypeName(h_type));
        std::vector<float> x = Gaussians(u.rows * u.n, u.n);
        const std::vector<uint16_t> narrow = ToBf16(x);
        for (size_t i = 0; x_type == DType::kBF16 && i < x.size(); ++i) x[i] = FloatOfBf16(narrow[i]);
        const Doubles start = RandomDoubles(u.n * u.n, 3), wide(x.begin(), x.end());
        DeviceArray<float> x32 = On(x);
        DeviceArray<uint16_t> x16 = On(narrow);
        RealArray h(device(), start, h_type, shifted());
        SyrkArgs args{u.rows, u.n};
        args.x = x_type == DType::kF32 ? static_cast<void*>(x32.data()) : x16.data();
        args.x_type = x_type;
        args.h = h.data();
        args.h_type = h_type;
        args.alpha = 0.5f;
        args.chunk = u.chunk;
        RUN_OP(ops()->linalg().Syrk(args));
        Doubles want = MatrixProduct(u.n, u.n, u.rows, wide, true, wide, false);
        for (int64_t i = 0; i < u.n; ++i) {
          for (int64_t j = 0; j < u.n; ++j) {
            double& value = want[i * u.n + j];
            value = start[i * u.n + j] + (j < i ? 0 : 0.5 * value);
          }
        }
        // Sums of `rows` products of size about 1, in f32.
        ExpectNear(h.Get(), want, 4e-7 * static_cast<double>(u.rows) + 1e-6);
      }
    }
  }
}

// Gate of reference/quantize-prune.md 6.4: relative Frobenius error below 1e-4, outlier channels
// included.
TEST_P(LinalgOpsTest, SyrkOfOutlierChannelsKeepsFourDigits) {
  const int64_t rows = 3000, n = 96;
  std::vector<float> x = Gaussians(rows * n, 5);
  for (int64_t r = 0; r < rows; ++r) x[r * n + 7] = 100 * x[r * n + 7] + 300;
  const std::vector<uint16_t> narrow = ToBf16(x);
  Doubles wide(x.size());
  for (size_t i = 0; i < x.size(); ++i) wide[i] = FloatOfBf16(narrow[i]);
  DeviceArray<uint16_t> x16 = On(narrow);
  RealArray h(device(), Doubles(n * n, 0.0), DType::kF32, shifted());
  SyrkArgs args{rows, n, x16.data(), DType::kBF16, h.data(), DType::kF32};
  args.chunk = 1024;
  RUN_OP(ops()->linalg().Syrk(args));
  const Doubles want = MatrixProduct(n, n, rows, wide, true, wide, false), got = h.Get();
  double error = 0, norm = 0, far_error = 0, far_norm = 0;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = i; j < n; ++j) {
      const double difference = got[i * n + j] - want[i * n + j];
      error += difference * difference;
      norm += want[i * n + j] * want[i * n + j];
      if (i == 7 || j == 7) continue;  // what is left without the outliers
      far_error += difference * difference;
      far_norm += want[i * n + j] * want[i * n + j];
    }
  }
  EXPECT_LT(std::sqrt(error / norm), 1e-6);
  EXPECT_LT(std::sqrt(far_error / far_norm), 1e-6);
}

TEST_P(LinalgOpsTest, MirrorMakesTheMatrixSymmetric) {
  const int64_t n = 75;
  RealArray a(device(), RandomDoubles(n * n, 1), DType::kF32, shifted());
  const Doubles before = a.Get();
  RUN_OP(ops()->linalg().MirrorUpper(n, DType::kF32, a.data()));
  const Doubles after = a.Get();
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      ASSERT_EQ(after[i * n + j], before[std::min(i, j) * n + std::max(i, j)]);
    }
  }
}

TEST_P(LinalgOpsTest, CholeskyGivesTheLowerFactor) {
  for (const int64_t n : {1, 2, 7, 64, 130}) {
    for (const DType type : {DType::kF32, DType::kF64}) {
      const Doubles a = Definite(n, n);
      RealArray matrix(device(), a, type, shifted());
      RUN_OP(ops()->linalg().Cholesky({n, matrix.data(), type}));
      const Doubles l = matrix.Get();
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = i + 1; j < n; ++j) ASSERT_EQ(l[i * n + j], 0) << i << ", " << j;
      }
      ExpectNear(MatrixProduct(n, n, n, l, false, l, true), a, 40 * RoundingOf(type));
    }
  }
}

TEST_P(LinalgOpsTest, InverseCholeskyGivesTheUpperFactorOfTheInverse) {
  for (const int64_t n : {1, 2, 7, 64, 130}) {
    for (const DType type : {DType::kF32, DType::kF64}) {
      const Doubles a = Definite(n, n);
      RealArray matrix(device(), a, type, shifted());
      RUN_OP(ops()->linalg().InverseCholesky({n, matrix.data(), type}));
      const Doubles r = matrix.Get();
      for (int64_t i = 0; i < n; ++i) {
        ASSERT_GT(r[i * n + i], 0);
        for (int64_t j = 0; j < i; ++j) ASSERT_EQ(r[i * n + j], 0) << i << ", " << j;
      }
      const Doubles inverse = MatrixProduct(n, n, n, r, true, r, false);
      ExpectNear(MatrixProduct(n, n, n, inverse, false, a, false), Identity(n), 400 * RoundingOf(type));
    }
  }
}

TEST_P(LinalgOpsTest, AFailedFactorizationNamesThePivotAndKeepsTheTriangle) {
  const int64_t n = 70, bad = 41;
  Doubles a = Identity(n);
  for (int64_t i = 0; i + 1 < n; ++i) a[i * n + i + 1] = 0.25;  // the upper triangle is what is read
  a[bad * n + bad] = -1;
  for (const bool inverse : {false, true}) {
    RealArray matrix(device(), a, DType::kF32, shifted());
    int64_t pivot = -1;
    const CholeskyArgs args{n, matrix.data(), DType::kF32, &pivot};
    const Status status =
        inverse ? ops()->linalg().InverseCholesky(args) : ops()->linalg().Cholesky(args);
    if (status.code() == StatusCode::kUnimplemented) GTEST_SKIP() << "not on this device";
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
    EXPECT_EQ(ReasonOf(status), "NOT_POSITIVE_DEFINITE");
    EXPECT_EQ(pivot, bad);
    const Doubles after = matrix.Get();
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = i; j < n; ++j) ASSERT_EQ(after[i * n + j], a[i * n + j]) << i << ", " << j;
    }
    // The next step of a damping ladder.
    Doubles damped = after;
    for (int64_t i = 0; i < n; ++i) damped[i * n + i] += 2;
    RealArray again(device(), damped, DType::kF32, shifted());
    EXPECT_TRUE(ops()->linalg().Cholesky({n, again.data(), DType::kF32, &pivot}).ok());
    EXPECT_EQ(pivot, -1);
  }
}

TEST_P(LinalgOpsTest, NotFiniteMatricesAreRefused) {
  const int64_t n = 9;
  Doubles a = Definite(n, 1);
  a[2 * n + 5] = std::numeric_limits<float>::infinity();
  RealArray matrix(device(), a, DType::kF32, shifted());
  const Status status = ops()->linalg().Cholesky({n, matrix.data(), DType::kF32});
  if (status.code() == StatusCode::kUnimplemented) GTEST_SKIP() << "not on this device";
  EXPECT_EQ(ReasonOf(status), "NOT_FINITE");
}

TEST_P(LinalgOpsTest, TriangularSolveUndoesTheProduct) {
  const int64_t n = 37, columns = 11;
  for (const DType type : {DType::kF32, DType::kF64}) {
    for (const bool upper : {false, true}) {
      for (const bool transposed : {false, true}) {
        Doubles t = RandomDoubles(n * n, 2);
        for (int64_t i = 0; i < n; ++i) {
          for (int64_t j = 0; j < n; ++j) t[i * n + j] *= 0.2;
          t[i * n + i] = 1.5 + static_cast<double>(i % 3);
        }
        Doubles clean = t;  // without the triangle that is not to be read
        for (int64_t i = 0; i < n; ++i) {
          for (int64_t j = 0; j < n; ++j) {
            if (upper ? j < i : j > i) clean[i * n + j] = 0;
          }
        }
        const Doubles x = RandomDoubles(n * columns, 3);
        RealArray b(device(), MatrixProduct(n, columns, n, clean, transposed, x, false), type, shifted());
        RealArray triangle(device(), t, type, shifted());
        RUN_OP(ops()->linalg().TriangularSolve(
            {n, columns, triangle.data(), b.data(), type, upper, transposed}));
        ExpectNear(b.Get(), x, 2000 * RoundingOf(type));
      }
    }
  }
}

TEST_P(LinalgOpsTest, EigenvectorsDiagonalize) {
  for (const int64_t n : {1, 2, 9, 60}) {
    for (const DType type : {DType::kF32, DType::kF64}) {
      const Doubles a = Definite(n, n + 1);
      RealArray in(device(), a, type, shifted()), values(device(), Doubles(n), type, shifted()),
          vectors(device(), Doubles(n * n), type, shifted());
      RUN_OP(ops()->linalg().Eigen({n, in.data(), values.data(), vectors.data(), type}));
      const Doubles s = values.Get(), v = vectors.Get();
      EXPECT_TRUE(std::is_sorted(s.begin(), s.end()));
      Doubles scaled = v;
      for (int64_t i = 0; i < n * n; ++i) scaled[i] *= s[i / n];
      ExpectNear(MatrixProduct(n, n, n, v, true, scaled, false), a, 200 * RoundingOf(type));
      ExpectNear(MatrixProduct(n, n, n, v, false, v, true), Identity(n), 200 * RoundingOf(type));
      Doubles want(n), unused(n * n);
      ASSERT_TRUE(
          ref()->linalg().Eigen({n, a.data(), want.data(), unused.data(), DType::kF64}).ok());
      ExpectNear(s, want, 400 * RoundingOf(type));
    }
  }
}

TEST_P(LinalgOpsTest, SingularValuesAndVectorsGiveTheMatrixBack) {
  for (const auto& [m, n] : {std::pair<int64_t, int64_t>{1, 1}, {5, 9}, {40, 17}, {33, 64}, {1, 6}}) {
    for (const DType type : {DType::kF32, DType::kF64}) {
      SCOPED_TRACE(testing::Message() << m << " x " << n << " " << DTypeName(type));
      const int64_t r = std::min(m, n);
      const Doubles a = RandomDoubles(m * n, 8);
      RealArray in(device(), a, type, shifted()), u(device(), Doubles(m * r), type, shifted()),
          s(device(), Doubles(r), type, shifted()), vt(device(), Doubles(r * n), type, shifted());
      RUN_OP(ops()->linalg().Svd({m, n, in.data(), u.data(), s.data(), vt.data(), type}));
      const Doubles values = s.Get(), left = u.Get();
      Doubles right = vt.Get();
      EXPECT_TRUE(std::is_sorted(values.rbegin(), values.rend()));
      ExpectNear(MatrixProduct(r, r, m, left, true, left, false), Identity(r), 300 * RoundingOf(type));
      ExpectNear(MatrixProduct(r, r, n, right, false, right, true), Identity(r), 300 * RoundingOf(type));
      for (int64_t i = 0; i < r * n; ++i) right[i] *= values[i / n];
      ExpectNear(MatrixProduct(m, n, r, left, false, right, false), a, 1000 * RoundingOf(type));
    }
  }
}

TEST_P(LinalgOpsTest, RefusesWhatDoesNotFit) {
  float value = 1;
  SyrkArgs syrk{1, 1, &value, DType::kF16, &value, DType::kF32};
  EXPECT_EQ(ref()->linalg().Syrk(syrk).code(), StatusCode::kUnimplemented);
  syrk.x_type = DType::kF32;
  syrk.chunk = 0;
  EXPECT_EQ(ref()->linalg().Syrk(syrk).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ref()->linalg().Cholesky({-1, &value, DType::kF32}).code(),
            StatusCode::kInvalidArgument);
  float zero = 0;
  EXPECT_EQ(ReasonOf(ref()->linalg().TriangularSolve({1, 1, &zero, &value, DType::kF32})),
            "SINGULAR");
}

// A GPU's own bounds are the same.
INSTANTIATE_ON_DEVICES(LinalgOpsTest);

// The reference itself runs through the definitions, in f64 and to more digits.
TEST(RefLinalgTest, FactorsInDouble) {
  const std::unique_ptr<Ops> ref = NewRefOps();
  const int64_t n = 50;
  const Doubles a = Definite(n, 9);
  Doubles l = a, r = a;
  ASSERT_TRUE(ref->linalg().Cholesky({n, l.data(), DType::kF64}).ok());
  ASSERT_TRUE(ref->linalg().InverseCholesky({n, r.data(), DType::kF64}).ok());
  ExpectNear(MatrixProduct(n, n, n, l, false, l, true), a, 1e-14);
  const Doubles inverse = MatrixProduct(n, n, n, r, true, r, false);
  ExpectNear(MatrixProduct(n, n, n, inverse, false, a, false), Identity(n), 1e-12);
  Doubles values(n), vectors(n * n), u(n * n), s(n), vt(n * n);
  ASSERT_TRUE(
      ref->linalg().Eigen({n, a.data(), values.data(), vectors.data(), DType::kF64}).ok());
  ASSERT_TRUE(
      ref->linalg().Svd({n, n, a.data(), u.data(), s.data(), vt.data(), DType::kF64}).ok());
  for (int64_t i = 0; i < n; ++i) EXPECT_NEAR(values[i], s[n - 1 - i], 1e-13);
}

TEST(RefLinalgTest, SingularValuesOfADeficientMatrix) {
  const std::unique_ptr<Ops> ref = NewRefOps();
  const int64_t m = 7, n = 5;
  Doubles a(m * n);
  for (int64_t i = 0; i < m * n; ++i) a[i] = static_cast<double>((i / n + 1) * (i % n + 1));  // rank 1
  Doubles u(m * n), s(n), vt(n * n);
  ASSERT_TRUE(
      ref->linalg().Svd({m, n, a.data(), u.data(), s.data(), vt.data(), DType::kF64}).ok());
  EXPECT_NEAR(s[0], std::sqrt(140.0 * 55.0), 1e-10);
  EXPECT_NEAR(s[1], 0, 1e-10);
  ExpectNear(MatrixProduct(n, n, m, u, true, u, false), Identity(n), 1e-10);
}

}  // namespace
}  // namespace swage
