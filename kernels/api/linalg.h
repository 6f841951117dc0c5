// Linear algebra of calibration: sums of outer products (Hessians), factorizations, triangular
// solves, eigenvalues, singular values. Part of Ops (kernels/api/ops.h), whose rules hold: row-major,
// dense, the device's memory, one caller at a time. Matrices are F32 or F64, `type` says which.
//   ops->linalg().Syrk({tokens, d, x, DType::kBF16, h});       // h += x^T x, upper triangle
//   ops->linalg().InverseCholesky({d, h, DType::kF32, &pivot});  // h becomes GPTQ's factor
// Errors: INVALID_ARGUMENT (KERNEL_ARGUMENT), UNIMPLEMENTED (KERNEL_OP, KERNEL_TYPE);
// FAILED_PRECONDITION with NOT_POSITIVE_DEFINITE (a matrix that wants more damping), SINGULAR,
// NOT_FINITE or NO_CONVERGENCE.
#pragma once

#include <cstdint>

#include "base/modelfile/dtype.h"
#include "base/status.h"

namespace swage {

// h[n,n] += alpha * x^T x for x [rows, n]. Only the upper triangle of h is read or written. Products
// of bf16 values are exact in f32; sums of at most `chunk` rows are made in f32, then scaled and
// added to h, so that the error does not grow with the number of tokens
// (reference/quantize-prune.md 6.3). Scale factors belong into alpha: in a bf16 x they would round.
// The CPU keeps a transposed chunk, min(rows, chunk) * n values, for the next call.
struct SyrkArgs {
  int64_t rows = 0, n = 0;
  const void* x = nullptr;
  DType x_type = DType::kF32;  // kF32 or kBF16
  void* h = nullptr;
  DType h_type = DType::kF32;  // kF32 or kF64
  float alpha = 1;
  int64_t chunk = 8192;
};

// When a factorization fails, the upper triangle with its diagonal is as before (the lower one is
// not), so that a ladder of growing damping needs no copy of the matrix.
struct CholeskyArgs {
  int64_t n = 0;
  void* a = nullptr;  // [n, n], in place
  DType type = DType::kF32;
  // Not null: receives the index of the row at which the factorization failed, or -1.
  int64_t* failed_pivot = nullptr;
};

struct TriangularArgs {  // solves op(t) x = b, in place of b; x and b are [n, columns]
  int64_t n = 0, columns = 0;
  const void* t = nullptr;  // [n, n]; the other triangle is not read
  void* b = nullptr;
  DType type = DType::kF32;
  bool upper = true;
  bool transposed = false;  // op(t) = t^T
};

// a = sum of values[i] * v_i v_i^T, values ascending, v_i = vectors[i, :]; the component of largest
// magnitude of each vector is positive (the first of equal ones).
struct EigenArgs {
  int64_t n = 0;
  const void* a = nullptr;  // [n, n] symmetric; only the upper triangle is read
  void* values = nullptr;   // [n]
  void* vectors = nullptr;  // [n, n]
  DType type = DType::kF32;
};

// a[m,n] = u[m,r] * diag(s) * vt[r,n] with r = min(m, n) and s descending; the component of largest
// magnitude of each row of vt is positive.
struct SvdArgs {
  int64_t m = 0, n = 0;
  const void* a = nullptr;
  void* u = nullptr;
  void* s = nullptr;
  void* vt = nullptr;
  DType type = DType::kF32;
};

class LinalgOps {
 public:
  virtual ~LinalgOps() = default;
  virtual Status Syrk(const SyrkArgs& args);
  // Copies the upper triangle to the lower one.
  virtual Status MirrorUpper(int64_t n, DType type, void* a);
  // Reads the upper triangle of a; writes the lower factor L, a = L L^T, with zeros above.
  virtual Status Cholesky(const CholeskyArgs& args);
  // Reads the upper triangle of a; writes the upper factor R of the inverse, a^-1 = R^T R, with
  // zeros below: what GPTQ and SparseGPT walk along. By the flipped form: with P the reversal of
  // rows and columns, P a P = L L^T, so that a = U U^T with U = P L P upper, and R = U^-1. No inverse
  // is formed, and a third of the work of the usual three steps is saved.
  virtual Status InverseCholesky(const CholeskyArgs& args);
  virtual Status TriangularSolve(const TriangularArgs& args);
  virtual Status Eigen(const EigenArgs& args);
  virtual Status Svd(const SvdArgs& args);
};

}  // namespace swage
