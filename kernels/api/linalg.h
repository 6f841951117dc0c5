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

// GPTQ's sweep (Frantar et al. 2023): the columns of w are rounded one after the other to integers of
// `bits` bits, and what each loses is made good by those behind it, along the upper factor R of the
// inverse Hessian (InverseCholesky):
//   e_i = (w_i - value of its code) / R[i,i],   w_j -= e_i R[i,j] for all j behind i
// Afterwards the sum of all e^2 is tr(D H D^T), D = w - values, of the H that R belongs to. Codes are
// those of Ops::Quantize with given scales (kernels/numeric/int_quant.h). The CPU rounds 128 columns at
// a time, some rows in the cache, and carries their errors on to all others by a product.
struct FeedbackArgs {
  int64_t rows = 0, columns = 0;   // of w, [out, in]
  const float* w = nullptr;        // finite
  const int32_t* order = nullptr;  // [columns] a permutation: the column that is rounded i-th
  const float* factor = nullptr;   // R [columns, columns] in that order; its diagonal is not 0
  int bits = 0;                    // 2..8
  int64_t group = 0;               // columns of w that share a scale; divides columns
  const float* scales = nullptr;   // [rows, columns / group], positive
  const int8_t* zeros = nullptr;   // as scales; null: 0
  int8_t* codes = nullptr;         // [rows, columns], in the order of w
  double* loss = nullptr;          // host memory: the sum of all e^2; may be null
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
  virtual Status RoundWithFeedback(const FeedbackArgs& args);
  virtual Status Eigen(const EigenArgs& args);
  virtual Status Svd(const SvdArgs& args);
};

}  // namespace swage
