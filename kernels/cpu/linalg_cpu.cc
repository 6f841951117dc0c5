// Factorizations by LAPACK. A row-major matrix is the transpose of the column-major one that LAPACK
// sees: our lower triangle is its upper one, our rows are its columns.
#include <cblas.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "base/text.h"
#include "kernels/api/check_families.h"
#include "kernels/cpu/families_cpu.h"
#include "kernels/cpu/parallel.h"

// Fortran's interface; the lengths of its character arguments come last.
extern "C" {
void spotrf_(const char*, const int*, float*, const int*, int*, size_t);
void dpotrf_(const char*, const int*, double*, const int*, int*, size_t);
void strtri_(const char*, const char*, const int*, float*, const int*, int*, size_t, size_t);
void dtrtri_(const char*, const char*, const int*, double*, const int*, int*, size_t, size_t);
void ssyevd_(const char*, const char*, const int*, float*, const int*, float*, float*, const int*,
             int*, const int*, int*, size_t, size_t);
void dsyevd_(const char*, const char*, const int*, double*, const int*, double*, double*,
             const int*, int*, const int*, int*, size_t, size_t);
void sgesdd_(const char*, const int*, const int*, float*, const int*, float*, float*, const int*,
             float*, const int*, float*, const int*, int*, int*, size_t);
void dgesdd_(const char*, const int*, const int*, double*, const int*, double*, double*, const int*,
             double*, const int*, double*, const int*, int*, int*, size_t);
}

namespace swage::cpu {
namespace {

constexpr int64_t kTile = 32;

template <typename T>
struct Lapack;
template <>
struct Lapack<float> {
  static constexpr auto potrf = spotrf_;
  static constexpr auto trtri = strtri_;
  static constexpr auto syevd = ssyevd_;
  static constexpr auto gesdd = sgesdd_;
  static constexpr auto trsm = cblas_strsm;
};
template <>
struct Lapack<double> {
  static constexpr auto potrf = dpotrf_;
  static constexpr auto trtri = dtrtri_;
  static constexpr auto syevd = dsyevd_;
  static constexpr auto gesdd = dgesdd_;
  static constexpr auto trsm = cblas_dtrsm;
};

// Calls body(float{}) or body(double{}).
template <typename Body>
Status ByType(DType type, const Body& body) {
  return type == DType::kF64 ? body(double{}) : body(float{});
}

void UseThreads(int threads) {
  omp_set_num_threads(threads);
  openblas_set_num_threads(threads);
}

// body(i, first, last): columns [first, last) of row i, tile by tile, for the triangle below the
// diagonal.
template <typename Body>
void ForLowerTiles(int threads, int64_t n, const Body& body) {
  const int64_t tiles = (n + kTile - 1) / kTile;
  ParallelForEach(threads, tiles, [&](int64_t tile) {
    for (int64_t first = 0; first <= tile * kTile; first += kTile) {
      for (int64_t i = tile * kTile; i < std::min(n, (tile + 1) * kTile); ++i) {
        body(i, first, std::min(i, first + kTile));
      }
    }
  });
}

template <typename T>
void CopyUpperToLower(int threads, int64_t n, T* a) {
  ForLowerTiles(threads, n, [&](int64_t i, int64_t first, int64_t last) {
    for (int64_t j = first; j < last; ++j) a[i * n + j] = a[j * n + i];
  });
}

template <typename T>
void CopyLowerToUpper(int threads, int64_t n, T* a) {
  ForLowerTiles(threads, n, [&](int64_t i, int64_t first, int64_t last) {
    for (int64_t j = first; j < last; ++j) a[j * n + i] = a[i * n + j];
  });
}

template <typename T>
bool UpperFinite(int threads, int64_t n, const T* a) {
  std::vector<char> finite(n, 1);
  ParallelFor(threads, n, RowGrain(n), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      T sum = 0;  // x - x is 0 for what is finite and NaN else
      for (int64_t j = i; j < n; ++j) sum += a[i * n + j] - a[i * n + j];
      finite[i] = sum == 0;
    }
  });
  return std::all_of(finite.begin(), finite.end(), [](char ok) { return ok != 0; });
}

// Of the lower triangle (ours), in place; the row that failed, or -1. The diagonal is restored then.
template <typename T>
int64_t FactorLower(int64_t n, T* a) {
  std::vector<T> diagonal(n);
  for (int64_t i = 0; i < n; ++i) diagonal[i] = a[i * n + i];
  const int order = static_cast<int>(n);
  int info = 0;
  Lapack<T>::potrf("U", &order, a, &order, &info, 1);
  int64_t failed = info - 1;
  for (int64_t i = 0; info == 0 && i < n; ++i) {
    if (!std::isfinite(a[i * n + i])) failed = std::max<int64_t>(failed, i);  // overflow on the way
  }
  for (int64_t i = 0; failed >= 0 && i < n; ++i) a[i * n + i] = diagonal[i];
  return failed;
}

template <typename T>
Status FactorOf(const CholeskyArgs& args, int threads, bool flipped) {
  const std::string_view op = flipped ? "inverse cholesky" : "cholesky";
  const int64_t n = args.n;
  T* a = static_cast<T*>(args.a);
  if (args.failed_pivot != nullptr) *args.failed_pivot = -1;
  if (n == 0) return Status();
  if (!UpperFinite(threads, n, a)) return NotFinite(op);
  CopyUpperToLower(threads, n, a);
  if (flipped) std::reverse(a, a + n * n);
  const int64_t failed = FactorLower(n, a);
  if (failed >= 0) {
    if (flipped) {
      // The upper triangle is still whole, and goes below when it is turned back.
      std::reverse(a, a + n * n);
      CopyLowerToUpper(threads, n, a);
    }
    return NotPositiveDefinite(op, flipped ? n - 1 - failed : failed, n, args.failed_pivot);
  }
  if (!flipped) {
    for (int64_t i = 0; i < n; ++i) std::fill(a + i * n + i + 1, a + (i + 1) * n, T{0});
    return Status();
  }
  std::reverse(a, a + n * n);
  const int order = static_cast<int>(n);
  int info = 0;
  Lapack<T>::trtri("L", "N", &order, a, &order, &info, 1, 1);
  SWAGE_CHECK(info == 0, "trtri of a factor without zeros on its diagonal: ", info);
  for (int64_t i = 0; i < n; ++i) std::fill(a + i * n, a + i * n + i, T{0});
  return Status();
}

// Negates rows of v [rows, n], and the matching columns of partner [partner_rows, rows], so that the
// component of largest magnitude of each row of v is positive.
template <typename T>
void FixSigns(int64_t rows, int64_t n, T* v, T* partner, int64_t partner_rows) {
  for (int64_t r = 0; r < rows; ++r) {
    T* row = v + r * n;
    const T* largest = std::max_element(
        row, row + n, [](T x, T y) { return std::fabs(x) < std::fabs(y); });
    if (*largest >= 0) continue;
    for (int64_t i = 0; i < n; ++i) row[i] = -row[i];
    for (int64_t i = 0; i < partner_rows; ++i) partner[i * rows + r] = -partner[i * rows + r];
  }
}

Status LapackFailed(std::string_view op, int info) {
  return Precondition("NO_CONVERGENCE", Cat(op, ": LAPACK gave up (", info, ")"),
                      "check the matrix for values of very different size");
}

template <typename T>
Status EigenOf(const EigenArgs& args, int threads) {
  const int order = static_cast<int>(args.n);
  T *values = static_cast<T*>(args.values), *vectors = static_cast<T*>(args.vectors);
  if (!UpperFinite(threads, args.n, static_cast<const T*>(args.a))) return NotFinite("eigen");
  std::copy_n(static_cast<const T*>(args.a), args.n * args.n, vectors);
  T work_size = 0;
  int integers_size = 0, info = 0;
  constexpr int kAsk = -1;
  Lapack<T>::syevd("V", "L", &order, vectors, &order, values, &work_size, &kAsk, &integers_size,
                   &kAsk, &info, 1, 1);
  // The size comes as a T, which rounds large numbers down in f32.
  const int64_t least = 1 + 6 * args.n + 2 * args.n * args.n;
  std::vector<T> work(std::max(least, static_cast<int64_t>(work_size)));
  std::vector<int> integers(integers_size);
  const int length = static_cast<int>(work.size());
  Lapack<T>::syevd("V", "L", &order, vectors, &order, values, work.data(), &length,
                   integers.data(), &integers_size, &info, 1, 1);
  if (info != 0) return LapackFailed("eigen", info);
  FixSigns<T>(args.n, args.n, vectors, nullptr, 0);
  return Status();
}

template <typename T>
Status SvdOf(const SvdArgs& args) {
  // LAPACK sees a^T [n, m] = vt^T diag(s) u^T.
  const int rows = static_cast<int>(args.n), columns = static_cast<int>(args.m);
  const int r = std::min(rows, columns);
  const T* in = static_cast<const T*>(args.a);
  std::vector<T> a(in, in + args.m * args.n);
  if (!std::all_of(a.begin(), a.end(), [](T x) { return std::isfinite(x); }))
    return NotFinite("svd");
  T *u = static_cast<T*>(args.u), *s = static_cast<T*>(args.s), *vt = static_cast<T*>(args.vt);
  std::vector<int> integers(8 * r);
  T work_size = 0;
  constexpr int kAsk = -1;
  int info = 0;
  Lapack<T>::gesdd("S", &rows, &columns, a.data(), &rows, s, vt, &rows, u, &r, &work_size, &kAsk,
                   integers.data(), &info, 1);
  // One ulp more, since the size comes rounded.
  std::vector<T> work(static_cast<int64_t>(
      std::ceil(static_cast<double>(work_size) * (1 + 1e-6))));
  const int length = static_cast<int>(work.size());
  Lapack<T>::gesdd("S", &rows, &columns, a.data(), &rows, s, vt, &rows, u, &r, work.data(), &length,
                   integers.data(), &info, 1);
  if (info != 0) return LapackFailed("svd", info);
  FixSigns<T>(r, args.n, vt, u, args.m);
  return Status();
}

}  // namespace

std::string OpenBlasName() {
  // "OpenBLAS 0.3.21 DYNAMIC_ARCH ..."
  const std::string config = openblas_get_config();
  const size_t begin = config.find(' ') + 1;
  return Cat(config.substr(begin, config.find(' ', begin) - begin), "-", openblas_get_corename());
}

Status CpuLinalg::MirrorUpper(int64_t n, DType type, void* a) {
  SWAGE_RETURN_IF_ERROR(CheckSquare("mirror", n, type, a));
  return ByType(type, [&](auto zero) {
    CopyUpperToLower(threads_, n, static_cast<decltype(zero)*>(a));
    return Status();
  });
}

Status CpuLinalg::Cholesky(const CholeskyArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckSquare("cholesky", args.n, args.type, args.a));
  UseThreads(threads_);
  return ByType(args.type,
                [&](auto zero) { return FactorOf<decltype(zero)>(args, threads_, false); });
}

Status CpuLinalg::InverseCholesky(const CholeskyArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckSquare("inverse cholesky", args.n, args.type, args.a));
  UseThreads(threads_);
  return ByType(args.type,
                [&](auto zero) { return FactorOf<decltype(zero)>(args, threads_, true); });
}

Status CpuLinalg::TriangularSolve(const TriangularArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckTriangular(args));
  if (args.n == 0 || args.columns == 0) return Status();
  UseThreads(threads_);
  return ByType(args.type, [&](auto zero) {
    using T = decltype(zero);
    const T* t = static_cast<const T*>(args.t);
    for (int64_t i = 0; i < args.n; ++i) {
      if (t[i * args.n + i] != 0) continue;
      return Precondition("SINGULAR", Cat("triangular solve: diagonal entry ", i, " is zero"));
    }
    Lapack<T>::trsm(CblasRowMajor, CblasLeft, args.upper ? CblasUpper : CblasLower,
                    args.transposed ? CblasTrans : CblasNoTrans, CblasNonUnit,
                    static_cast<int>(args.n), static_cast<int>(args.columns), T{1}, t,
                    static_cast<int>(args.n), static_cast<T*>(args.b),
                    static_cast<int>(args.columns));
    return Status();
  });
}

Status CpuLinalg::Eigen(const EigenArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckSquare("eigen", args.n, args.type, args.a));
  if (args.n == 0) return Status();
  UseThreads(threads_);
  return ByType(args.type, [&](auto zero) { return EigenOf<decltype(zero)>(args, threads_); });
}

Status CpuLinalg::Svd(const SvdArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckSvd(args));
  if (args.m == 0 || args.n == 0) return Status();
  UseThreads(threads_);
  return ByType(args.type, [&](auto zero) { return SvdOf<decltype(zero)>(args); });
}

}  // namespace swage::cpu
