// Matrix products through cuBLASLt: F32 x F32 -> F32 (full f32, no TF32), BF16 x BF16 -> F32 or
// BF16, sums in f32. The algorithm is the library's first choice for the shape, without split sums
// that depend on timing. Not thread-safe.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <map>
#include <memory>
#include <tuple>

#include "kernels/api/ops.h"

namespace swage::cuda {

// Elements from one row to the next of what lies in memory; 0: dense.
struct GemmStrides {
  int64_t a = 0, b = 0, c = 0;
};

class GemmLt {
 public:
  static StatusOr<std::unique_ptr<GemmLt>> Create();
  ~GemmLt();
  GemmLt(const GemmLt&) = delete;
  GemmLt& operator=(const GemmLt&) = delete;
  // C = A * B in args.layout, or C += with `accumulate`; args.bias is the caller's business. No empty matrices.
  // UNIMPLEMENTED for other types, or when the library has no algorithm for the shape and
  // alignment.
  Status Run(const GemmArgs& args, bool accumulate, cudaStream_t stream,
             const GemmStrides& strides = {});

 private:
  struct Plan;
  using Key = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, DType, DType, bool,
                         GemmLayout, unsigned, unsigned, unsigned>;
  GemmLt() = default;
  StatusOr<const Plan*> PlanOf(const GemmArgs& args, bool accumulate,
                                const GemmStrides& strides);

  cublasLtHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;
  std::map<Key, std::unique_ptr<Plan>> plans_;
};

}  // namespace swage::cuda
