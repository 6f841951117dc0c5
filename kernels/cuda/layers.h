// What layers_cuda.cc asks of layers.cu; the rules of launch.h hold. Arguments were checked, sizes
// are not zero; RopeArgs::rotary is what turns (never 0).
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/api/layer_args.h"

namespace swage::cuda {

cudaError_t LayerNorm(int64_t rows, int64_t h, const float* x, const float* weight,
                      const float* bias, float eps, float* y, cudaStream_t stream);
cudaError_t Activate(Activation kind, int64_t n, const float* x, const float* up, float* y,
                     cudaStream_t stream);
cudaError_t SoftCap(int64_t n, float cap, float* x, cudaStream_t stream);
cudaError_t Scale(int64_t n, float factor, float* x, cudaStream_t stream);
cudaError_t RouteTopK(const RouteArgs& args, cudaStream_t stream);
cudaError_t GatherRows(int64_t rows, int64_t width, const int32_t* index, int64_t source,
                       const float* x, float* y, cudaStream_t stream);
cudaError_t ScatterAddRows(int64_t rows, int64_t width, const int32_t* index, int64_t target,
                           const float* factor, const float* x, float* y, cudaStream_t stream);
cudaError_t Rope(const RopeArgs& args, cudaStream_t stream);
cudaError_t Attention(const AttentionArgs& args, cudaStream_t stream);

}  // namespace swage::cuda
