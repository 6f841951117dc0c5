// Factorizations by cuSOLVER, which counts in columns as LAPACK does: our lower triangle is its upper
// one (see kernels/cpu/linalg_cpu.cc, whose steps these are).
#include <cusolverDn.h>

#include <type_traits>

#include "base/text.h"
#include "kernels/api/check_families.h"
#include "kernels/cuda/families_cuda.h"
#include "kernels/cuda/triangle.h"

namespace swage::cuda {
namespace {

constexpr cudaStream_t kDefault = nullptr;  // the default stream

Status Done(cudaError_t error, std::string_view what) {
  if (error == cudaSuccess) return Status();
  if (error == cudaErrorMemoryAllocation) {
    return Error(StatusCode::kResourceExhausted, "OUT_OF_MEMORY",
                 Cat(what, ": no device memory left"));
  }
  return Internal(Cat("CUDA ", what, ": ", cudaGetErrorString(error)));
}

Status Done(cusolverStatus_t status, std::string_view what) {
  if (status == CUSOLVER_STATUS_SUCCESS) return Status();
  return Internal(Cat("cuSOLVER ", what, ": status ", static_cast<int>(status)));
}

// Device memory of one call.
class Scratch {
 public:
  ~Scratch() {
    if (data_ != nullptr) cudaFree(data_);
  }
  Status Allocate(size_t bytes) {
    return Done(cudaMalloc(&data_, bytes > 0 ? bytes : 1), "scratch of a factorization");
  }
  template <typename T>
  T* As() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
};

template <typename T>
constexpr cudaDataType kTypeOf = std::is_same_v<T, double> ? CUDA_R_64F : CUDA_R_32F;

template <typename T>
class Factorization {
 public:
  Factorization(cusolverDnHandle_t handle, const CholeskyArgs& args, bool flipped)
      : handle_(handle),
        n_(args.n),
        a_(static_cast<T*>(args.a)),
        pivot_(args.failed_pivot),
        flipped_(flipped),
        op_(flipped ? "inverse cholesky" : "cholesky") {}

  Status Run() {
    SWAGE_RETURN_IF_ERROR(info_.Allocate(sizeof(int)));
    SWAGE_RETURN_IF_ERROR(diagonal_.Allocate(n_ * sizeof(T)));
    SWAGE_RETURN_IF_ERROR(RefuseNotFinite());
    SWAGE_RETURN_IF_ERROR(Done(MirrorUpper(n_, a_, kDefault), op_));
    if (flipped_) SWAGE_RETURN_IF_ERROR(Done(Reverse(n_, a_, kDefault), op_));
    SWAGE_RETURN_IF_ERROR(Done(GetDiagonal(n_, a_, diagonal_.As<T>(), kDefault), op_));
    int info = 0;
    SWAGE_RETURN_IF_ERROR(FactorLower(&info));
    if (info > 0) return Failed(info - 1);
    if (!flipped_) return Done(ZeroAbove(n_, a_, kDefault), op_);
    SWAGE_RETURN_IF_ERROR(Done(Reverse(n_, a_, kDefault), op_));
    SWAGE_RETURN_IF_ERROR(InvertUpper());
    return Done(ZeroBelow(n_, a_, kDefault), op_);
  }

 private:
  Status ReadInfo(int* info) {
    return Done(cudaMemcpy(info, info_.As<int>(), sizeof(int), cudaMemcpyDeviceToHost), op_);
  }

  Status RefuseNotFinite() {
    SWAGE_RETURN_IF_ERROR(Done(cudaMemsetAsync(info_.As<int>(), 0, sizeof(int), kDefault), op_));
    SWAGE_RETURN_IF_ERROR(Done(FindNotFinite(n_, a_, info_.As<int>(), kDefault), op_));
    int found = 0;
    SWAGE_RETURN_IF_ERROR(ReadInfo(&found));
    return found == 0 ? Status() : NotFinite(op_);
  }

  Status FactorLower(int* info) {
    int size = 0;
    const int n = static_cast<int>(n_);
    Scratch work;
    if constexpr (std::is_same_v<T, double>) {
      SWAGE_RETURN_IF_ERROR(
          Done(cusolverDnDpotrf_bufferSize(handle_, CUBLAS_FILL_MODE_UPPER, n, a_, n, &size), op_));
      SWAGE_RETURN_IF_ERROR(work.Allocate(size * sizeof(T)));
      SWAGE_RETURN_IF_ERROR(Done(cusolverDnDpotrf(handle_, CUBLAS_FILL_MODE_UPPER, n, a_, n,
                                                  work.As<T>(), size, info_.As<int>()),
                                 op_));
    } else {
      SWAGE_RETURN_IF_ERROR(
          Done(cusolverDnSpotrf_bufferSize(handle_, CUBLAS_FILL_MODE_UPPER, n, a_, n, &size), op_));
      SWAGE_RETURN_IF_ERROR(work.Allocate(size * sizeof(T)));
      SWAGE_RETURN_IF_ERROR(Done(cusolverDnSpotrf(handle_, CUBLAS_FILL_MODE_UPPER, n, a_, n,
                                                  work.As<T>(), size, info_.As<int>()),
                                 op_));
    }
    return ReadInfo(info);
  }

  Status InvertUpper() {
    size_t device_size = 0, host_size = 0;
    SWAGE_RETURN_IF_ERROR(
        Done(cusolverDnXtrtri_bufferSize(handle_, CUBLAS_FILL_MODE_LOWER, CUBLAS_DIAG_NON_UNIT, n_,
                                         kTypeOf<T>, a_, n_, &device_size, &host_size),
             op_));
    Scratch work;
    SWAGE_RETURN_IF_ERROR(work.Allocate(device_size));
    std::vector<char> host(host_size);
    SWAGE_RETURN_IF_ERROR(Done(
        cusolverDnXtrtri(handle_, CUBLAS_FILL_MODE_LOWER, CUBLAS_DIAG_NON_UNIT, n_, kTypeOf<T>, a_,
                         n_, work.As<void>(), device_size, host.data(), host_size, info_.As<int>()),
        op_));
    int info = 0;
    SWAGE_RETURN_IF_ERROR(ReadInfo(&info));
    return info == 0 ? Status() : Internal(Cat("cuSOLVER trtri: info ", info));
  }

  Status Failed(int64_t row) {
    SWAGE_RETURN_IF_ERROR(Done(SetDiagonal(n_, diagonal_.As<T>(), a_, kDefault), op_));
    if (flipped_) {  // the triangle that is still whole goes below, when the matrix is turned back
      SWAGE_RETURN_IF_ERROR(Done(Reverse(n_, a_, kDefault), op_));
      SWAGE_RETURN_IF_ERROR(Done(MirrorLower(n_, a_, kDefault), op_));
    }
    return NotPositiveDefinite(op_, flipped_ ? n_ - 1 - row : row, n_, pivot_);
  }

  const cusolverDnHandle_t handle_;
  const int64_t n_;
  T* const a_;
  int64_t* const pivot_;
  const bool flipped_;
  const std::string_view op_;
  Scratch info_, diagonal_;
};

Status Factor(const CholeskyArgs& args, bool flipped, cusolverDnContext** handle) {
  const std::string_view op = flipped ? "inverse cholesky" : "cholesky";
  SWAGE_RETURN_IF_ERROR(CheckSquare(op, args.n, args.type, args.a));
  if (args.failed_pivot != nullptr) *args.failed_pivot = -1;
  if (args.n == 0) return Status();
  if (*handle == nullptr) SWAGE_RETURN_IF_ERROR(Done(cusolverDnCreate(handle), "create"));
  return args.type == DType::kF64 ? Factorization<double>(*handle, args, flipped).Run()
                                  : Factorization<float>(*handle, args, flipped).Run();
}

}  // namespace

void CudaLinalg::DestroySolver() {
  if (solver_ != nullptr) cusolverDnDestroy(solver_);
}

Status CudaLinalg::Cholesky(const CholeskyArgs& args) { return Factor(args, false, &solver_); }

Status CudaLinalg::InverseCholesky(const CholeskyArgs& args) {
  return Factor(args, true, &solver_);
}

Status CudaLinalg::MirrorUpper(int64_t n, DType type, void* a) {
  SWAGE_RETURN_IF_ERROR(CheckSquare("mirror", n, type, a));
  if (n == 0) return Status();
  return Done(type == DType::kF64 ? cuda::MirrorUpper(n, static_cast<double*>(a), kDefault)
                                  : cuda::MirrorUpper(n, static_cast<float*>(a), kDefault),
              "mirror");
}

}  // namespace swage::cuda
