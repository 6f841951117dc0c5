// The layers' part of CudaOps.
#include <cuda_runtime_api.h>

#include "base/text.h"
#include "kernels/api/check.h"
#include "kernels/cuda/layers.h"
#include "kernels/cuda/ops_cuda.h"

namespace swage {
namespace {

constexpr cudaStream_t kStream = nullptr;  // the default stream

Status Launched(cudaError_t error, std::string_view what) {
  if (error == cudaSuccess) return Status();
  return Internal(Cat("CUDA ", what, ": ", cudaGetErrorString(error)));
}

}  // namespace

Status CudaOps::LayerNorm(int64_t rows, int64_t h, const float* x, const float* weight,
                          const float* bias, float eps, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("layer norm", rows, h));
  if (rows == 0 || h == 0) return Status();
  return Launched(cuda::LayerNorm(rows, h, x, weight, bias, eps, y, kStream), "layer norm");
}

Status CudaOps::Activate(Activation kind, int64_t n, const float* x, const float* up, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("activation", n, 1));
  if (n == 0) return Status();
  return Launched(cuda::Activate(kind, n, x, up, y, kStream), "activation");
}

Status CudaOps::SoftCap(int64_t n, float cap, float* x) {
  SWAGE_RETURN_IF_ERROR(CheckSize("soft cap", n, 1));
  return n == 0 ? Status() : Launched(cuda::SoftCap(n, cap, x, kStream), "soft cap");
}

Status CudaOps::Scale(int64_t n, float factor, float* x) {
  SWAGE_RETURN_IF_ERROR(CheckSize("scale", n, 1));
  return n == 0 ? Status() : Launched(cuda::Scale(n, factor, x, kStream), "scale");
}

Status CudaOps::RouteTopK(const RouteArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckRoute(args));
  return args.rows == 0 ? Status() : Launched(cuda::RouteTopK(args, kStream), "route");
}

Status CudaOps::GatherRows(int64_t rows, int64_t width, const int32_t* index, int64_t source,
                           const float* x, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("gather", rows, width));
  if (rows == 0 || width == 0) return Status();
  return Launched(cuda::GatherRows(rows, width, index, source, x, y, kStream), "gather");
}

Status CudaOps::ScatterAddRows(int64_t rows, int64_t width, const int32_t* index, int64_t target,
                               const float* factor, const float* x, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("scatter", rows, width));
  if (rows == 0 || width == 0) return Status();
  return Launched(cuda::ScatterAddRows(rows, width, index, target, factor, x, y, kStream),
                  "scatter");
}

Status CudaOps::Rope(const RopeArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckRope(args));
  if (args.rows == 0 || args.heads == 0 || args.head_dim == 0) return Status();
  RopeArgs all = args;
  if (all.rotary == 0) all.rotary = all.head_dim;
  return Launched(cuda::Rope(all, kStream), "rope");
}

Status CudaOps::Attention(const AttentionArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckAttention(args));
  if (args.windows == 0 || args.tokens == 0) return Status();
  return Launched(cuda::Attention(args, kStream), "attention");
}

}  // namespace swage
