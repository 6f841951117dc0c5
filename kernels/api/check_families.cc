#include "kernels/api/check_families.h"

#include <cmath>
#include <vector>

#include "base/text.h"
#include "kernels/api/check.h"
#include "kernels/numeric/hadamard.h"

namespace swage {
namespace {

// LAPACK's sizes and work spaces are 32-bit.
constexpr int64_t kMaxOrder = 32000;
constexpr int64_t kMaxBins = int64_t{1} << 24;
constexpr int64_t kMaxCodewords = int64_t{1} << 24;
constexpr int64_t kMaxGroup = 64;

Status RefuseOf(std::string_view op, std::string_view why) {
  return InvalidInput("KERNEL_ARGUMENT", Cat(op, ": ", why));
}

Status RealType(std::string_view op, DType type) {
  if (type == DType::kF32 || type == DType::kF64) return Status();
  return Error(StatusCode::kUnimplemented, "KERNEL_TYPE",
               Cat(op, ": matrices are F32 or F64, not ", DTypeName(type)));
}

Status InputType(std::string_view op, DType type) {
  if (type == DType::kF32 || type == DType::kBF16) return Status();
  return Error(StatusCode::kUnimplemented, "KERNEL_TYPE",
               Cat(op, ": inputs are F32 or BF16, not ", DTypeName(type)));
}

}  // namespace

Status CheckSyrk(const SyrkArgs& args) {
  SWAGE_RETURN_IF_ERROR(InputType("syrk", args.x_type));
  SWAGE_RETURN_IF_ERROR(RealType("syrk", args.h_type));
  SWAGE_RETURN_IF_ERROR(CheckSize("syrk", args.rows, args.n));
  SWAGE_RETURN_IF_ERROR(CheckSize("syrk", args.n, args.n));
  if (args.chunk <= 0) return RefuseOf("syrk", Cat("chunks of ", args.chunk, " rows"));
  if (!std::isfinite(args.alpha)) return RefuseOf("syrk", "alpha is not finite");
  if (args.n > 0 && (args.h == nullptr || (args.rows > 0 && args.x == nullptr))) {
    return RefuseOf("syrk", "a null buffer");
  }
  return Status();
}

Status CheckSquare(std::string_view op, int64_t n, DType type, const void* a) {
  SWAGE_RETURN_IF_ERROR(RealType(op, type));
  if (n < 0 || n > kMaxOrder) return RefuseOf(op, Cat("order ", n, " is not in 0..", kMaxOrder));
  if (n > 0 && a == nullptr) return RefuseOf(op, "a null buffer");
  return Status();
}

Status CheckTriangular(const TriangularArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckSquare("triangular solve", args.n, args.type, args.t));
  if (args.columns < 0 || args.columns > (int64_t{1} << 30)) {
    return RefuseOf("triangular solve", Cat(args.columns, " right-hand sides"));
  }
  if (args.n > 0 && args.columns > 0 && args.b == nullptr) {
    return RefuseOf("triangular solve", "a null buffer");
  }
  return Status();
}

Status CheckFeedback(const FeedbackArgs& args) {
  constexpr std::string_view kOp = "rounding with feedback";
  SWAGE_RETURN_IF_ERROR(CheckSize(kOp, args.rows, args.columns));
  SWAGE_RETURN_IF_ERROR(CheckSquare(kOp, args.columns, DType::kF32, args.factor));
  if (args.bits < 2 || args.bits > 8) return RefuseOf(kOp, Cat("codes of ", args.bits, " bits"));
  if (args.rows == 0 || args.columns == 0) return Status();
  if (args.group <= 0 || args.columns % args.group != 0)
    return RefuseOf(kOp, Cat("groups of ", args.group, " of ", args.columns, " columns"));
  if (args.w == nullptr || args.order == nullptr || args.scales == nullptr || args.codes == nullptr)
    return RefuseOf(kOp, "a null buffer");
  std::vector<bool> seen(static_cast<size_t>(args.columns), false);
  for (int64_t i = 0; i < args.columns; ++i) {
    const int32_t column = args.order[i];
    if (column < 0 || column >= args.columns || seen[column])
      return RefuseOf(kOp, Cat("the order is no permutation: ", column, " at ", i));
    seen[column] = true;
    if (args.factor[i * args.columns + i] == 0)
      return RefuseOf(kOp, Cat("the factor's diagonal is 0 at ", i));
  }
  return Status();
}

Status CheckSvd(const SvdArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckSquare("svd", args.m, args.type, args.a));
  SWAGE_RETURN_IF_ERROR(CheckSquare("svd", args.n, args.type, args.a));
  if (args.m > 0 && args.n > 0 &&
      (args.u == nullptr || args.s == nullptr || args.vt == nullptr)) {
    return RefuseOf("svd", "a null buffer");
  }
  return Status();
}

Status NotPositiveDefinite(std::string_view op, int64_t failed, int64_t n, int64_t* pivot) {
  if (pivot != nullptr) *pivot = failed;
  return Precondition("NOT_POSITIVE_DEFINITE",
                      Cat(op, ": the pivot of row ", failed, " of ", n, " is not positive"),
                      "add more damping to the diagonal");
}

Status NotFinite(std::string_view op) {
  return Precondition("NOT_FINITE", Cat(op, ": the matrix has NaN or infinite values"),
                      "drop the tokens that have them, and count them");
}

Status CheckHadamard(const HadamardArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckSize("hadamard", args.rows, args.columns));
  const int64_t side = args.side == HadamardSide::kRows ? args.columns : args.rows;
  if (args.block <= 0 || side % args.block != 0) {
    return RefuseOf("hadamard", Cat("blocks of ", args.block, " do not divide ", side));
  }
  return FindHadamardShape(args.block).status();
}

Status CheckNormal(int64_t n, const RandomKey& key) {
  if (key.first % 2 != 0) return RefuseOf("normal", "the first element's number is odd");
  return CheckSize("normal", n, 1);
}

Status CheckGrid(int64_t n, float scale, float zero, int low, int high) {
  if (!(scale > 0) || !std::isfinite(scale) || !(std::fabs(zero) <= 1024)) {
    return RefuseOf("stochastic rounding", "the scale is not positive, or the zero is out of range");
  }
  if (low > high || low < -128 || high > 127) {
    return RefuseOf("stochastic rounding", Cat("no int8 codes ", low, "..", high));
  }
  return CheckSize("stochastic rounding", n, 1);
}

Status CheckTopK(const TopKArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckSize("top-k", args.rows, args.columns));
  if (args.keep < 0 || args.keep > args.columns) {
    return RefuseOf("top-k", Cat("cannot keep ", args.keep, " of ", args.columns));
  }
  return Status();
}

Status CheckNOfM(int64_t rows, int64_t columns, int n, int m) {
  SWAGE_RETURN_IF_ERROR(CheckSize("n:m", rows, columns));
  if (m <= 0 || m > kMaxGroup || n < 0 || n > m) {
    return RefuseOf("n:m", Cat(n, " of ", m, " is not a pattern of at most ", kMaxGroup));
  }
  if (columns % m != 0) {
    return RefuseOf("n:m", Cat("groups of ", m, " do not divide ", columns, " columns"));
  }
  return Status();
}

Status CheckNearest(int64_t n, int64_t dim, int64_t k) {
  SWAGE_RETURN_IF_ERROR(CheckSize("nearest", n, dim));
  SWAGE_RETURN_IF_ERROR(CheckSize("nearest", k, dim));
  if (dim <= 0 || dim > 4096) return RefuseOf("nearest", Cat("vectors of ", dim, " values"));
  if (k <= 0 || k > kMaxCodewords) return RefuseOf("nearest", Cat("a codebook of ", k));
  return Status();
}

Status CheckKMeans(const KMeansArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckNearest(args.n, args.dim, args.k));
  if (args.n < 1) return RefuseOf("k-means", "no points");
  if (args.iterations < 0) return RefuseOf("k-means", "a negative number of iterations");
  if (args.points == nullptr || args.centers == nullptr || args.assignment == nullptr) {
    return RefuseOf("k-means", "a null buffer");
  }
  if (args.weights == nullptr) return Status();
  double total = 0;
  for (int64_t i = 0; i < args.n; ++i) {
    if (!(args.weights[i] >= 0) || !std::isfinite(args.weights[i])) {
      return RefuseOf("k-means", Cat("the weight of point ", i, " is negative or not finite"));
    }
    total += args.weights[i];
  }
  return total > 0 ? Status() : RefuseOf("k-means", "all weights are zero");
}

Status CheckColumns(const ColumnsArgs& args, const ColumnStatistics& sums) {
  SWAGE_RETURN_IF_ERROR(CheckSize("column statistics", args.rows, args.columns));
  SWAGE_RETURN_IF_ERROR(InputType("column statistics", args.type));
  if (sums.columns() == args.columns) return Status();
  return RefuseOf("column statistics",
                Cat("sums of ", sums.columns(), " columns for ", args.columns));
}

Status CheckHistogram(const HistogramArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckSize("histogram", args.n, 1));
  if (args.bins <= 0 || args.bins > kMaxBins || args.counts == nullptr) {
    return RefuseOf("histogram", Cat(args.bins, " bins"));
  }
  if (!(args.low < args.high) || !std::isfinite(args.high - args.low)) {
    return RefuseOf("histogram", "an empty or infinite range");
  }
  return Status();
}

Status CheckAttentionBackward(const AttentionGradArgs& args) {
  constexpr std::string_view op = "attention backward";
  if (args.forward == nullptr) return RefuseOf(op, "no forward");
  SWAGE_RETURN_IF_ERROR(CheckAttention(*args.forward));
  const AttentionArgs& f = *args.forward;
  if (f.windows == 0 || f.tokens == 0) return Status();
  if (f.q == nullptr || f.k == nullptr || f.v == nullptr || f.out == nullptr ||
      args.d_out == nullptr || args.dq == nullptr || args.dk == nullptr || args.dv == nullptr) {
    return RefuseOf(op, "a null buffer");
  }
  return f.logsumexp != nullptr ? Status() : RefuseOf(op, "the forward saved no logsumexp");
}

Status CheckRouteBackward(const RouteGradArgs& args) {
  constexpr std::string_view op = "route backward";
  if (args.forward == nullptr) return RefuseOf(op, "no forward");
  SWAGE_RETURN_IF_ERROR(CheckRoute(*args.forward));
  const RouteArgs& f = *args.forward;
  if (f.rows > 0 && (f.k < 1 || args.d_weights == nullptr || args.d_logits == nullptr)) {
    return RefuseOf(op, "no expert is chosen, or a null buffer");
  }
  return CheckIndices(op, f.rows * f.k, f.chosen, f.experts);
}

Status CheckAdamW(const AdamWArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckSize("adamw", args.n, 1));
  if (args.step < 1) return RefuseOf("adamw", "steps count from 1");
  if (!(args.beta1 >= 0 && args.beta1 < 1) || !(args.beta2 >= 0 && args.beta2 < 1) ||
      !(args.eps >= 0)) {
    return RefuseOf("adamw", "beta1 and beta2 are in [0, 1), eps is not negative");
  }
  if (args.n > 0 && (args.w == nullptr || args.gradient == nullptr || args.m == nullptr ||
                     args.v == nullptr)) {
    return RefuseOf("adamw", "a null buffer");
  }
  return Status();
}

Status CheckTargets(int64_t rows, const int32_t* target, int64_t vocab) {
  for (int64_t r = 0; r < rows; ++r) {
    if (target[r] < -1 || target[r] >= vocab) {
      return RefuseOf("cross entropy backward",
                    Cat("target ", target[r], " at row ", r, " is not in -1..", vocab - 1));
    }
  }
  return Status();
}

}  // namespace swage
