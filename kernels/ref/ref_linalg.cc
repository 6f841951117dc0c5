#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/api/check.h"
#include "kernels/api/check_families.h"
#include "kernels/numeric/half.h"
#include "kernels/ref/families_ref.h"

namespace swage {
namespace {

using Matrix = std::vector<double>;

constexpr int kMaxSweeps = 60;

double Get(const void* a, DType type, int64_t i) {
  if (type == DType::kBF16) return FloatOfBf16(static_cast<const uint16_t*>(a)[i]);
  return type == DType::kF64 ? static_cast<const double*>(a)[i] : static_cast<const float*>(a)[i];
}

void Put(void* a, DType type, int64_t i, double value) {
  if (type == DType::kF64) {
    static_cast<double*>(a)[i] = value;
  } else {
    static_cast<float*>(a)[i] = static_cast<float>(value);
  }
}

Matrix Read(const void* a, DType type, int64_t size) {
  Matrix values(size);
  for (int64_t i = 0; i < size; ++i) values[i] = Get(a, type, i);
  return values;
}

void Write(const Matrix& values, DType type, void* a) {
  for (size_t i = 0; i < values.size(); ++i) Put(a, type, static_cast<int64_t>(i), values[i]);
}

Matrix ReadSymmetric(const void* a, DType type, int64_t n) {
  Matrix values = Read(a, type, n * n);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < i; ++j) values[i * n + j] = values[j * n + i];
  }
  return values;
}

bool AllFinite(const Matrix& values) {
  return std::all_of(values.begin(), values.end(), [](double x) { return std::isfinite(x); });
}

// The lower factor in place, zeros above; the row that failed, or -1.
int64_t Factor(int64_t n, Matrix* matrix) {
  Matrix& a = *matrix;
  for (int64_t j = 0; j < n; ++j) {
    double pivot = a[j * n + j];
    for (int64_t l = 0; l < j; ++l) pivot -= a[j * n + l] * a[j * n + l];
    if (!(pivot > 0) || !std::isfinite(pivot)) return j;
    const double root = std::sqrt(pivot);
    a[j * n + j] = root;
    for (int64_t i = j + 1; i < n; ++i) {
      double sum = a[i * n + j];
      for (int64_t l = 0; l < j; ++l) sum -= a[i * n + l] * a[j * n + l];
      a[i * n + j] = sum / root;
      a[j * n + i] = 0;
    }
  }
  return -1;
}

Matrix InverseOfUpper(int64_t n, const Matrix& u) {
  Matrix r(n * n, 0.0);
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = j; i >= 0; --i) {
      double sum = i == j ? 1.0 : 0.0;
      for (int64_t l = i + 1; l <= j; ++l) sum -= u[i * n + l] * r[l * n + j];
      r[i * n + j] = sum / u[i * n + i];
    }
  }
  return r;
}

// Makes the component of largest magnitude of each row positive, and the same in `partner`'s
// columns.
void FixSigns(int64_t rows, int64_t n, Matrix* v, Matrix* partner, int64_t partner_rows) {
  for (int64_t r = 0; r < rows; ++r) {
    double* row = v->data() + r * n;
    int64_t largest = 0;
    for (int64_t i = 1; i < n; ++i) {
      if (std::fabs(row[i]) > std::fabs(row[largest])) largest = i;
    }
    if (row[largest] >= 0) continue;
    for (int64_t i = 0; i < n; ++i) row[i] = -row[i];
    for (int64_t i = 0; partner != nullptr && i < partner_rows; ++i) {
      (*partner)[i * rows + r] = -(*partner)[i * rows + r];
    }
  }
}

// The rotation (c, s) that makes two rows orthogonal, given their products.
void Rotation(double pp, double qq, double pq, double* c, double* s) {
  const double theta = (qq - pp) / (2 * pq);
  const double t = (theta >= 0 ? 1.0 : -1.0) / (std::fabs(theta) + std::sqrt(theta * theta + 1));
  *c = 1 / std::sqrt(t * t + 1);
  *s = t * *c;
}

void Rotate(int64_t n, double c, double s, double* p, double* q, int64_t stride) {
  for (int64_t i = 0; i < n; ++i) {
    const double x = p[i * stride], y = q[i * stride];
    p[i * stride] = c * x - s * y;
    q[i * stride] = s * x + c * y;
  }
}

// Rows of `rows` [count, n] made orthogonal; the same rotations on the rows of `also` [count, m].
bool OrthogonalizeRows(int64_t count, int64_t n, Matrix* rows, int64_t m, Matrix* also) {
  const auto dot = [&](int64_t p, int64_t q) {
    return std::inner_product(rows->begin() + p * n, rows->begin() + (p + 1) * n,
                              rows->begin() + q * n, 0.0);
  };
  for (int sweep = 0; sweep < kMaxSweeps; ++sweep) {
    bool rotated = false;
    for (int64_t p = 0; p < count; ++p) {
      for (int64_t q = p + 1; q < count; ++q) {
        const double pq = dot(p, q), pp = dot(p, p), qq = dot(q, q);
        if (std::fabs(pq) <= 1e-15 * std::sqrt(pp * qq)) continue;
        rotated = true;
        double c = 1, s = 0;
        Rotation(pp, qq, pq, &c, &s);
        Rotate(n, c, s, rows->data() + p * n, rows->data() + q * n, 1);
        Rotate(m, c, s, also->data() + p * m, also->data() + q * m, 1);
      }
    }
    if (!rotated) return true;
  }
  return false;
}

Matrix Transposed(int64_t rows, int64_t columns, const Matrix& a) {
  Matrix t(a.size());
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) t[j * rows + i] = a[i * columns + j];
  }
  return t;
}

Status NoConvergence(std::string_view op) {
  return Precondition("NO_CONVERGENCE", Cat(op, ": the rotations did not converge"),
                      "check the matrix for values of very different size");
}

// Fills rows from `begin` of v [count, n], whose first rows are orthonormal, with unit vectors
// orthogonal to all before.
void CompleteBasis(int64_t begin, int64_t count, int64_t n, Matrix* v) {
  for (int64_t r = begin; r < count; ++r) {
    double* row = v->data() + r * n;
    for (int64_t axis = 0; axis < n; ++axis) {
      std::fill(row, row + n, 0.0);
      row[axis] = 1;
      for (int pass = 0; pass < 2; ++pass) {
        for (int64_t l = 0; l < r; ++l) {
          const double* other = v->data() + l * n;
          const double along = std::inner_product(row, row + n, other, 0.0);
          for (int64_t i = 0; i < n; ++i) row[i] -= along * other[i];
        }
      }
      const double norm = std::sqrt(std::inner_product(row, row + n, row, 0.0));
      if (norm < 0.5 / std::sqrt(static_cast<double>(n))) continue;
      for (int64_t i = 0; i < n; ++i) row[i] /= norm;
      break;
    }
  }
}

}  // namespace

Status RefLinalg::Syrk(const SyrkArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckSyrk(args));
  const Matrix x = Read(args.x, args.x_type, args.rows * args.n);
  for (int64_t i = 0; i < args.n; ++i) {
    for (int64_t j = i; j < args.n; ++j) {
      double sum = 0;
      for (int64_t r = 0; r < args.rows; ++r) sum += x[r * args.n + i] * x[r * args.n + j];
      const int64_t at = i * args.n + j;
      Put(args.h, args.h_type, at, Get(args.h, args.h_type, at) + args.alpha * sum);
    }
  }
  return Status();
}

Status RefLinalg::MirrorUpper(int64_t n, DType type, void* a) {
  SWAGE_RETURN_IF_ERROR(CheckSquare("mirror", n, type, a));
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < i; ++j) Put(a, type, i * n + j, Get(a, type, j * n + i));
  }
  return Status();
}

Status RefLinalg::Cholesky(const CholeskyArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckSquare("cholesky", args.n, args.type, args.a));
  Matrix a = ReadSymmetric(args.a, args.type, args.n);
  if (args.failed_pivot != nullptr) *args.failed_pivot = -1;
  if (!AllFinite(a)) return NotFinite("cholesky");
  const int64_t failed = Factor(args.n, &a);
  if (failed >= 0) return NotPositiveDefinite("cholesky", failed, args.n, args.failed_pivot);
  Write(a, args.type, args.a);
  return Status();
}

Status RefLinalg::InverseCholesky(const CholeskyArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckSquare("inverse cholesky", args.n, args.type, args.a));
  Matrix a = ReadSymmetric(args.a, args.type, args.n);
  if (args.failed_pivot != nullptr) *args.failed_pivot = -1;
  if (!AllFinite(a)) return NotFinite("inverse cholesky");
  std::reverse(a.begin(), a.end());
  const int64_t failed = Factor(args.n, &a);
  if (failed >= 0) {
    return NotPositiveDefinite("inverse cholesky", args.n - 1 - failed, args.n, args.failed_pivot);
  }
  std::reverse(a.begin(), a.end());
  Write(InverseOfUpper(args.n, a), args.type, args.a);
  return Status();
}

Status RefLinalg::TriangularSolve(const TriangularArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckTriangular(args));
  const int64_t n = args.n;
  const Matrix t = Read(args.t, args.type, n * n);
  for (int64_t i = 0; i < n; ++i) {
    if (t[i * n + i] == 0) {
      return Precondition("SINGULAR", Cat("triangular solve: diagonal entry ", i, " is zero"));
    }
  }
  const auto entry = [&](int64_t i, int64_t j) { return args.transposed ? t[j * n + i] : t[i * n + j]; };
  const bool downwards = args.upper == args.transposed;  // op(t) is lower
  for (int64_t c = 0; c < args.columns; ++c) {
    Matrix x(n);
    for (int64_t step = 0; step < n; ++step) {
      const int64_t i = downwards ? step : n - 1 - step;
      double sum = Get(args.b, args.type, i * args.columns + c);
      for (int64_t j = downwards ? 0 : i + 1; j < (downwards ? i : n); ++j) {
        sum -= entry(i, j) * x[j];
      }
      x[i] = sum / entry(i, i);
    }
    for (int64_t i = 0; i < n; ++i) Put(args.b, args.type, i * args.columns + c, x[i]);
  }
  return Status();
}

Status RefLinalg::Eigen(const EigenArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckSquare("eigen", args.n, args.type, args.a));
  const int64_t n = args.n;
  Matrix a = ReadSymmetric(args.a, args.type, n), v(n * n, 0.0);
  if (!AllFinite(a)) return NotFinite("eigen");
  for (int64_t i = 0; i < n; ++i) v[i * n + i] = 1;
  bool rotated = n > 1;
  for (int sweep = 0; rotated && sweep < kMaxSweeps; ++sweep) {
    rotated = false;
    for (int64_t p = 0; p < n; ++p) {
      for (int64_t q = p + 1; q < n; ++q) {
        const double pq = a[p * n + q];
        if (pq == 0 ||
            std::fabs(pq) <= 1e-17 * (std::fabs(a[p * n + p]) + std::fabs(a[q * n + q]))) {
          continue;
        }
        rotated = true;
        double c = 1, s = 0;
        Rotation(a[p * n + p], a[q * n + q], pq, &c, &s);
        Rotate(n, c, s, a.data() + p * n, a.data() + q * n, 1);
        Rotate(n, c, s, a.data() + p, a.data() + q, n);
        Rotate(n, c, s, v.data() + p * n, v.data() + q * n, 1);
      }
    }
  }
  if (rotated) return NoConvergence("eigen");
  std::vector<int64_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t i, int64_t j) { return a[i * n + i] < a[j * n + j]; });
  Matrix sorted(n * n);
  for (int64_t i = 0; i < n; ++i) {
    Put(args.values, args.type, i, a[order[i] * n + order[i]]);
    std::copy_n(v.begin() + order[i] * n, n, sorted.begin() + i * n);
  }
  FixSigns(n, n, &sorted, nullptr, 0);
  Write(sorted, args.type, args.vectors);
  return Status();
}

Status RefLinalg::Svd(const SvdArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckSvd(args));
  const bool wide = args.m <= args.n;
  const int64_t r = std::min(args.m, args.n), length = std::max(args.m, args.n);
  if (r == 0) return Status();
  Matrix rows = Read(args.a, args.type, args.m * args.n);
  if (!AllFinite(rows)) return NotFinite("svd");
  if (!wide) rows = Transposed(args.m, args.n, rows);
  // rows [r, length] = q^T diag(s) w with w's rows orthonormal and q [r, r] the rotations.
  Matrix q(r * r, 0.0);
  for (int64_t i = 0; i < r; ++i) q[i * r + i] = 1;
  if (!OrthogonalizeRows(r, length, &rows, r, &q)) return NoConvergence("svd");
  std::vector<double> norms(r);
  for (int64_t i = 0; i < r; ++i) {
    const auto row = rows.begin() + i * length;
    norms[i] = std::sqrt(std::inner_product(row, row + length, row, 0.0));
  }
  std::vector<int64_t> order(r);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t i, int64_t j) { return norms[i] > norms[j]; });
  Matrix w(r * length, 0.0), sorted_q(r * r);
  int64_t rank = 0;
  for (int64_t i = 0; i < r; ++i) {
    const double norm = norms[order[i]];
    Put(args.s, args.type, i, norm);
    std::copy_n(q.begin() + order[i] * r, r, sorted_q.begin() + i * r);
    if (norm <= 1e-14 * norms[order[0]] || norm == 0) continue;
    for (int64_t j = 0; j < length; ++j) w[i * length + j] = rows[order[i] * length + j] / norm;
    rank = i + 1;
  }
  CompleteBasis(rank, r, length, &w);
  Matrix vt = wide ? w : sorted_q;
  Matrix u = wide ? Transposed(r, r, sorted_q) : Transposed(r, length, w);
  FixSigns(r, args.n, &vt, &u, args.m);
  Write(u, args.type, args.u);
  Write(vt, args.type, args.vt);
  return Status();
}

}  // namespace swage
