// GPTQ against a reference in double that shares nothing with it but the scales, and the properties
// that it must have.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/rng.h"
#include "workers/methods/registry.h"

namespace swage {
namespace {

using Doubles = std::vector<double>;

struct Problem {
  int64_t out = 24, in = 256;
  LinearPlan plan;
  std::map<std::string, std::string> options = {
      {"act_order", "group"}, {"damp", "0.01"}, {"scale", "minmax"}, {"compute", "f32"}};
  std::vector<float> weight;
  InputStatistics input;
  Doubles h;  // in double, full
};

// `rows` inputs whose neighbours are alike and whose sizes differ.
Problem MakeProblem(const std::string& format, int64_t group, bool symmetric, int64_t rows = 600) {
  Problem p;
  p.plan.module = "model.layers.0.mlp.up_proj";
  p.plan.weights = {format, group > 0 ? "group" : "channel", group, symmetric};
  Rng rng(11);
  for (int64_t i = 0; i < p.out * p.in; ++i)
    p.weight.push_back(static_cast<float>(rng.Gaussian() * 0.05 + 0.01));
  std::vector<float> x(rows * p.in);
  Doubles size(p.in);
  for (double& s : size) s = std::exp(rng.Gaussian());
  for (int64_t r = 0; r < rows; ++r) {
    double value = 0;
    for (int64_t i = 0; i < p.in; ++i) {
      value = 0.9 * value + rng.Gaussian();
      x[r * p.in + i] = static_cast<float>(size[i] * value);
    }
  }
  p.input.width = p.in;
  p.input.columns.rows = rows;
  p.input.readers = {p.plan.module};
  p.input.hessian.Resize(p.in * p.in);
  std::fill_n(p.input.hessian.data(), p.in * p.in, 0.0f);
  const std::unique_ptr<Ops> ops = NewCpuOps(1);
  EXPECT_TRUE(ops->linalg().Syrk({rows, p.in, x.data(), DType::kF32, p.input.hessian.data()}).ok());
  p.h.assign(p.in * p.in, 0.0);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < p.in; ++i) {
      for (int64_t j = 0; j < p.in; ++j)
        p.h[i * p.in + j] += static_cast<double>(x[r * p.in + i]) * x[r * p.in + j];
    }
  }
  return p;
}

struct Outcome {
  QuantizedLinear q;
  std::vector<float> values;
  MethodNotes notes;
};

StatusOr<Outcome> Compress(const Problem& p, const std::string& method, int threads = 1) {
  const std::unique_ptr<Ops> ops = NewCpuOps(threads);
  const Method* m = FindMethodImplementation(method);
  SWAGE_ASSIGN_OR_RETURN(const std::unique_ptr<PreparedInput> input,
                         m->Prepare(ops.get(), {&p.plan, &p.options, &p.input}));
  Outcome outcome;
  LinearTask task{&p.plan, &p.options, p.out, p.in, p.weight.data()};
  task.input = input.get();
  task.notes = &outcome.notes;
  SWAGE_ASSIGN_OR_RETURN(outcome.q, m->Quantize(ops.get(), task));
  outcome.values.resize(p.weight.size());
  SWAGE_RETURN_IF_ERROR(ops->Dequantize(outcome.q.Args(), outcome.values.data()));
  SWAGE_RETURN_IF_ERROR(m->Verify(task, outcome.q, outcome.values.data()));
  return outcome;
}

// tr(D H D^T), D = weight - values.
double Objective(const Problem& p, const Doubles& values) {
  double sum = 0;
  for (int64_t r = 0; r < p.out; ++r) {
    Doubles d(p.in);
    for (int64_t i = 0; i < p.in; ++i) d[i] = p.weight[r * p.in + i] - values[r * p.in + i];
    for (int64_t i = 0; i < p.in; ++i) {
      for (int64_t j = 0; j < p.in; ++j) sum += d[i] * p.h[i * p.in + j] * d[j];
    }
  }
  return sum;
}

double Objective(const Problem& p, const Outcome& o) {
  return Objective(p, Doubles(o.values.begin(), o.values.end()));
}

double MeanDiagonal(const Problem& p) {
  double sum = 0;
  for (int64_t i = 0; i < p.in; ++i) sum += p.h[i * p.in + i];
  return sum / static_cast<double>(p.in);
}

double SquaredError(const Problem& p, const Outcome& o) {
  double sum = 0;
  for (size_t i = 0; i < p.weight.size(); ++i) {
    const double d = static_cast<double>(p.weight[i]) - static_cast<double>(o.values[i]);
    sum += d * d;
  }
  return sum;
}

// Upper Cholesky factor of the inverse, by Gauss and Jordan and then by the definition.
Doubles InverseFactor(int64_t n, Doubles a) {
  Doubles inverse(n * n, 0.0);
  for (int64_t i = 0; i < n; ++i) inverse[i * n + i] = 1;
  for (int64_t k = 0; k < n; ++k) {
    const double pivot = a[k * n + k];
    for (int64_t j = 0; j < n; ++j) {
      a[k * n + j] /= pivot;
      inverse[k * n + j] /= pivot;
    }
    for (int64_t i = 0; i < n; ++i) {
      const double factor = a[i * n + k];
      if (i == k || factor == 0) continue;
      for (int64_t j = 0; j < n; ++j) {
        a[i * n + j] -= factor * a[k * n + j];
        inverse[i * n + j] -= factor * inverse[k * n + j];
      }
    }
  }
  Doubles r(n * n, 0.0);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = i; j < n; ++j) {
      double sum = inverse[i * n + j];
      for (int64_t k = 0; k < i; ++k) sum -= r[k * n + i] * r[k * n + j];
      r[i * n + j] = i == j ? std::sqrt(sum) : sum / r[i * n + i];
    }
  }
  return r;
}

std::vector<int64_t> ReferenceOrder(const Problem& p) {
  std::vector<int64_t> order(p.in);
  std::iota(order.begin(), order.end(), 0);
  const std::string& act_order = p.options.at("act_order");
  const int64_t size = p.plan.weights.group_size > 0 ? p.plan.weights.group_size : p.in;
  const auto diagonal = [&](int64_t i) { return p.h[i * p.in + i]; };
  const auto most = [&](int64_t i) {
    double largest = 0;
    for (int64_t j = i / size * size; j < i / size * size + size; ++j)
      largest = std::max(largest, diagonal(j));
    return largest;
  };
  if (act_order != "none")
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return diagonal(a) > diagonal(b); });
  if (act_order == "group")
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return most(a) > most(b); });
  return order;
}

// The values that GPTQ gives in double, with the scales and zero points of `q`.
Doubles Reference(const Problem& p, const QuantizedLinear& q, int bits) {
  const int64_t n = p.in;
  const std::vector<int64_t> order = ReferenceOrder(p);
  double mean = 0;
  for (int64_t i = 0; i < n; ++i) mean += p.h[i * n + i] / static_cast<double>(n);
  Doubles h(n * n);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j)
      h[i * n + j] = p.h[order[i] * n + order[j]] + (i == j ? 0.01 * mean : 0);
  }
  const Doubles r = InverseFactor(n, std::move(h));
  const double lo = -std::ldexp(1, bits - 1), hi = -lo - 1;
  Doubles values(p.weight.size());
  for (int64_t row = 0; row < p.out; ++row) {
    Doubles w(n);
    for (int64_t i = 0; i < n; ++i) w[i] = p.weight[row * n + order[i]];
    for (int64_t i = 0; i < n; ++i) {
      const int64_t at = row * q.groups() + order[i] / q.group;
      const double scale = q.scales[at], zero = q.symmetric ? 0 : q.zeros[at];
      const double code = std::nearbyint(std::clamp(w[i] / scale + zero, lo, hi));
      const double value = (code - zero) * scale;
      values[row * n + order[i]] = value;
      const double error = (w[i] - value) / r[i * n + i];
      for (int64_t j = i + 1; j < n; ++j) w[j] -= error * r[i * n + j];
    }
  }
  return values;
}

TEST(Gptq, TheObjectiveIsThatOfAReferenceInDoubleAndBelowRoundingToNearest) {
  const struct {
    const char* format;
    int bits;
    int64_t group;
    bool symmetric;
  } schemes[] = {{"int4", 4, 64, true}, {"int3", 3, 0, true}, {"int3", 3, 128, false}, {"int8", 8, 64, false}};
  for (const auto& scheme : schemes) {
    Problem p = MakeProblem(scheme.format, scheme.group, scheme.symmetric);
    const auto nearest = Compress(p, "rtn");
    ASSERT_TRUE(nearest.ok()) << nearest.status();
    for (const char* act_order : {"none", "static", "group"}) {
      SCOPED_TRACE(Cat(scheme.format, " ", scheme.group, " ", act_order));
      p.options["act_order"] = act_order;
      const auto got = Compress(p, "gptq");
      ASSERT_TRUE(got.ok()) << got.status();
      const double want = Objective(p, Reference(p, got->q, scheme.bits));
      EXPECT_NEAR(Objective(p, *got), want, 1e-3 * want);
      EXPECT_LT(Objective(p, *got), 0.8 * Objective(p, *nearest));
      EXPECT_EQ(got->q.scales, nearest->q.scales) << "scales are those of the original weights";
      const double damped = Objective(p, *got) + 0.01 * MeanDiagonal(p) * SquaredError(p, *got);
      EXPECT_NEAR(got->notes.measured.at("objective") * 600, damped, 2e-3 * damped);
      EXPECT_TRUE(got->notes.remarks.empty());
    }
  }
}

TEST(Gptq, ThreadsDoNotChangeCodes) {
  Problem p = MakeProblem("int4", 64, true);
  p.out = 24;
  const auto one = Compress(p, "gptq", 1), two = Compress(p, "gptq", 2);
  ASSERT_TRUE(one.ok() && two.ok());
  int64_t different = 0;
  for (size_t i = 0; i < one->q.codes.size(); ++i) different += one->q.codes[i] != two->q.codes[i];
  EXPECT_LE(different, static_cast<int64_t>(one->q.codes.size()) / 100);
}

// Where inputs have nothing to do with each other there is nothing to make good: any order of the
// sweep must give the codes of rounding to nearest, each in its own place.
TEST(Gptq, ADiagonalHessianGivesRoundingToNearestInEveryOrder) {
  Problem p = MakeProblem("int4", 32, false);
  Rng rng(3);
  for (int64_t i = 0; i < p.in; ++i) {
    for (int64_t j = 0; j < p.in; ++j)
      p.input.hessian.data()[i * p.in + j] = i == j ? static_cast<float>(1 + rng.UniformDouble()) : 0.0f;
  }
  const auto nearest = Compress(p, "rtn");
  for (const char* act_order : {"none", "static", "group"}) {
    p.options["act_order"] = act_order;
    const auto got = Compress(p, "gptq");
    ASSERT_TRUE(got.ok() && nearest.ok()) << got.status();
    EXPECT_EQ(got->q.codes, nearest->q.codes) << act_order;
  }
}

TEST(Gptq, FewerTokensThanInputsAreNoFailure) {
  Problem p = MakeProblem("int4", 64, true, /*rows=*/30);
  const auto got = Compress(p, "gptq"), nearest = Compress(p, "rtn");
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_LT(Objective(p, *got), 0.5 * Objective(p, *nearest));
}

TEST(Gptq, DampingIsRaisedAndSaidWhenTheFactorizationFails) {
  Problem p = MakeProblem("int4", 64, true);
  float* h = p.input.hessian.data();
  for (int64_t i = 0; i < p.in; ++i) {
    for (int64_t j = i; j < p.in; ++j) h[i * p.in + j] = i == j ? 1.0f : 0.0f;
  }
  h[1] = 1.05f;  // not positive definite until the diagonal is above it
  const auto got = Compress(p, "gptq");
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_DOUBLE_EQ(got->notes.measured.at("damp"), 0.1);
  ASSERT_EQ(got->notes.remarks.size(), 1u);
  EXPECT_NE(got->notes.remarks[0].find("raised from 0.01 to 0.1"), std::string::npos) << got->notes.remarks[0];
  h[1] = 1e6f;
  EXPECT_EQ(ReasonOf(Compress(p, "gptq").status()), "NOT_POSITIVE_DEFINITE");
}

TEST(Gptq, InputsThatWereAlwaysZeroAreRoundedToNearest) {
  Problem p = MakeProblem("int4", 64, true);
  for (int64_t dead : {0, 77, 255}) {
    for (int64_t i = 0; i < p.in; ++i)
      p.input.hessian.data()[std::min(i, dead) * p.in + std::max(i, dead)] = 0;
  }
  const auto got = Compress(p, "gptq"), nearest = Compress(p, "rtn");
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->notes.measured.at("dead_inputs"), 3);
  for (int64_t r = 0; r < p.out; ++r) {
    for (int64_t dead : {0, 77, 255}) EXPECT_EQ(got->q.codes[r * p.in + dead], nearest->q.codes[r * p.in + dead]);
  }
  std::fill_n(p.input.hessian.data(), p.in * p.in, 0.0f);
  const auto none = Compress(p, "gptq");
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_EQ(none->q.codes, nearest->q.codes);
  EXPECT_EQ(none->notes.remarks.size(), 1u) << "nothing known of its input, and nothing said";
}

TEST(Gptq, NanAndInfinityAreRefused) {
  for (const int64_t at : {int64_t{0}, int64_t{5}}) {  // on and beside the diagonal
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      Problem p = MakeProblem("int4", 64, true, 40);
      p.input.hessian.data()[at] = bad;
      EXPECT_EQ(ReasonOf(Compress(p, "gptq").status()), "CALIBRATION_NOT_FINITE");
    }
  }
}

TEST(Gptq, ASearchedScaleIsBetterWhereItIsWeighted) {
  Problem p = MakeProblem("int3", 128, true);
  const auto plain = Compress(p, "gptq");
  p.options["scale"] = "importance";
  const auto weighted = Compress(p, "gptq");
  p.options["scale"] = "mse";
  const auto searched = Compress(p, "gptq");
  ASSERT_TRUE(plain.ok() && weighted.ok() && searched.ok());
  EXPECT_LT(Objective(p, *weighted), Objective(p, *plain));
  EXPECT_NE(searched->q.scales, plain->q.scales);
  EXPECT_NE(searched->q.scales, weighted->q.scales);
}

TEST(Gptq, VerifySeesAWrongValue) {
  const Problem p = MakeProblem("int4", 64, true, 40);
  auto got = Compress(p, "gptq");
  ASSERT_TRUE(got.ok()) << got.status();
  const LinearTask task{&p.plan, &p.options, p.out, p.in, p.weight.data()};
  const Method* gptq = FindMethodImplementation("gptq");
  EXPECT_TRUE(gptq->Verify(task, got->q, got->values.data()).ok());
  std::vector<float> wrong = got->values;
  wrong[100] += got->q.scales[0];
  EXPECT_FALSE(gptq->Verify(task, got->q, wrong.data()).ok());
  wrong[100] = std::nanf("");
  EXPECT_FALSE(gptq->Verify(task, got->q, wrong.data()).ok());
  got->q.codes[3] = 100;
  EXPECT_FALSE(gptq->Verify(task, got->q, got->values.data()).ok()) << "a code outside the grid";
}

}  // namespace
}  // namespace swage
