// Element-wise and row-wise ops of the decoder.
#include "kernels/cuda/index.h"
#include "kernels/cuda/launch.h"

namespace swage::cuda {
namespace {

__device__ int64_t FirstItem() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ int64_t ItemStride() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

// The same fixed tree whatever the timing; the result is in every thread.
__device__ double SumOfBlock(double value) {
  __shared__ double warps[kWarpsPerBlock];
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(0xffffffffu, value, distance);
  }
  if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = value;
  __syncthreads();
  double sum = 0;
  for (int i = 0; i < kWarpsPerBlock; ++i) sum += warps[i];
  __syncthreads();  // the next call writes `warps` again
  return sum;
}

// One block a row.
__global__ void RmsNormKernel(int64_t rows, int64_t h, const float* x, const float* weight,
                              float eps, float* y) {
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    const float* in = x + r * h;
    double sum = 0;
    for (int64_t i = threadIdx.x; i < h; i += kThreads) sum += static_cast<double>(in[i]) * in[i];
    sum = SumOfBlock(sum);
    const float factor =
        static_cast<float>(1.0 / sqrt(sum / static_cast<double>(h) + static_cast<double>(eps)));
    for (int64_t i = threadIdx.x; i < h; i += kThreads) y[r * h + i] = in[i] * factor * weight[i];
  }
}

__global__ void SwiGluKernel(int64_t n, const float* gate, const float* up, float* y) {
  for (int64_t i = FirstItem(); i < n; i += ItemStride()) {
    const float g = gate[i];
    y[i] = g / (1.0f + expf(-g)) * up[i];
  }
}

__global__ void AddKernel(int64_t n, const float* x, float* y) {
  for (int64_t i = FirstItem(); i < n; i += ItemStride()) y[i] += x[i];
}

__global__ void FillRowsKernel(int64_t rows, int64_t n, const float* row, float* y) {
  for (int64_t i = FirstItem(); i < rows * n; i += ItemStride())
    y[i] = row == nullptr ? 0.0f : row[i % n];
}

unsigned Blocks(int64_t items, int64_t per_block) {
  return static_cast<unsigned>(BlocksFor(items, per_block));
}

}  // namespace

cudaError_t RmsNorm(int64_t rows, int64_t h, const float* x, const float* weight, float eps,
                    float* y, cudaStream_t stream) {
  RmsNormKernel<<<Blocks(rows, 1), kThreads, 0, stream>>>(rows, h, x, weight, eps, y);
  return cudaGetLastError();
}

cudaError_t SwiGlu(int64_t n, const float* gate, const float* up, float* y, cudaStream_t stream) {
  SwiGluKernel<<<Blocks(n, kThreads), kThreads, 0, stream>>>(n, gate, up, y);
  return cudaGetLastError();
}

cudaError_t Add(int64_t n, const float* x, float* y, cudaStream_t stream) {
  AddKernel<<<Blocks(n, kThreads), kThreads, 0, stream>>>(n, x, y);
  return cudaGetLastError();
}

cudaError_t FillRows(int64_t rows, int64_t n, const float* row, float* y, cudaStream_t stream) {
  FillRowsKernel<<<Blocks(rows * n, kThreads), kThreads, 0, stream>>>(rows, n, row, y);
  return cudaGetLastError();
}

}  // namespace swage::cuda
