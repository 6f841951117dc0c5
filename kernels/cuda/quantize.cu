// Quantization by the scalar functions of kernels/numeric, so that codes and scales are the
// reference's bytes: nvcc's division is IEEE's by default, minima and maxima do not depend on the
// order, and nothing here can be fused (kernels/CMakeLists.txt compiles this file with
// --fmad=false).
#include "kernels/cuda/index.h"
#include "kernels/cuda/launch.h"
#include "kernels/numeric/fp8_e4m3.h"
#include "kernels/numeric/int_quant.h"

namespace swage::cuda {
namespace {

struct Range {
  float min = 0, max = 0;
};

__device__ Range Include(Range range, float w) {
  range.min = w < range.min ? w : range.min;
  range.max = w > range.max ? w : range.max;
  return range;
}

__device__ Range ReduceWarp(Range range) {
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    range = Include(range, __shfl_xor_sync(0xffffffffu, range.min, distance));
    range = Include(range, __shfl_xor_sync(0xffffffffu, range.max, distance));
  }
  return range;
}

__device__ Range ReduceBlock(Range range) {
  __shared__ Range warps[kWarpsPerBlock];
  range = ReduceWarp(range);
  if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = range;
  __syncthreads();
  for (int i = 0; i < kWarpsPerBlock; ++i) {
    range = Include(Include(range, warps[i].min), warps[i].max);
  }
  __syncthreads();  // the next call writes `warps` again
  return range;
}

__device__ ScaleAndZero ScaleOf(const Format& format, Range range) {
  const float absmax = -range.min > range.max ? -range.min : range.max;
  ScaleAndZero result;
  if (format.grid == Grid::kFp8) {
    result.scale = Fp8Scale(absmax);
  } else if (format.symmetric) {
    result.scale = SymmetricScale(absmax, IntGridOf(format.bits));
  } else {
    result = AsymmetricScale(range.min, range.max, IntGridOf(format.bits));
  }
  return result;
}

__device__ int8_t Encode(const Format& format, float w, ScaleAndZero s) {
  if (format.grid == Grid::kFp8) return static_cast<int8_t>(QuantizeFp8(w, s.scale));
  return QuantizeInt(w, s.scale, static_cast<float>(s.zero), IntGridOf(format.bits));
}

__device__ float Decode(const Format& format, int8_t code, ScaleAndZero s) {
  if (format.grid == Grid::kFp8) return DequantizeFp8(static_cast<uint8_t>(code), s.scale);
  return DequantizeInt(code, s.scale, static_cast<float>(s.zero));
}

__device__ int64_t FirstItem() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ int64_t ItemStride() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

// One warp a group.
__global__ void QuantizeGroupsKernel(Format format, int64_t groups, int64_t group, const float* w,
                                     int8_t* codes, float* scales, int8_t* zeros) {
  const int lane = threadIdx.x % kWarp;
  const int64_t warps = static_cast<int64_t>(gridDim.x) * kWarpsPerBlock;
  for (int64_t g = static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + threadIdx.x / kWarp;
       g < groups; g += warps) {
    const float* in = w + g * group;
    Range range;
    for (int64_t i = lane; i < group; i += kWarp) range = Include(range, in[i]);
    const ScaleAndZero s = ScaleOf(format, ReduceWarp(range));
    if (lane == 0) {
      scales[g] = s.scale;
      if (zeros != nullptr) zeros[g] = s.zero;
    }
    for (int64_t i = lane; i < group; i += kWarp) codes[g * group + i] = Encode(format, in[i], s);
  }
}

__global__ void TensorRangeKernel(int64_t n, const float* w, float* partial) {
  Range range;
  for (int64_t i = FirstItem(); i < n; i += ItemStride()) range = Include(range, w[i]);
  range = ReduceBlock(range);
  if (threadIdx.x == 0) {
    partial[2 * blockIdx.x] = range.min;
    partial[2 * blockIdx.x + 1] = range.max;
  }
}

__global__ void TensorScaleKernel(Format format, int partials, const float* partial, float* scale,
                                  int8_t* zero) {
  Range range;
  for (int i = threadIdx.x; i < 2 * partials; i += kThreads) range = Include(range, partial[i]);
  range = ReduceBlock(range);
  if (threadIdx.x == 0) {
    const ScaleAndZero s = ScaleOf(format, range);
    *scale = s.scale;
    if (zero != nullptr) *zero = s.zero;
  }
}

__global__ void EncodeKernel(Format format, int64_t n, const float* w, const float* scale,
                             const int8_t* zero, int8_t* codes) {
  ScaleAndZero s;
  s.scale = *scale;
  s.zero = zero == nullptr ? int8_t{0} : *zero;
  for (int64_t i = FirstItem(); i < n; i += ItemStride()) codes[i] = Encode(format, w[i], s);
}

__global__ void DequantizeKernel(Format format, int64_t n, int64_t group, const int8_t* codes,
                                 const float* scales, const int8_t* zeros, float* w) {
  for (int64_t i = FirstItem(); i < n; i += ItemStride()) {
    const int64_t at = ScaleIndex(i, group);
    ScaleAndZero s;
    s.scale = scales[at];
    s.zero = zeros == nullptr ? int8_t{0} : zeros[at];
    w[i] = Decode(format, codes[i], s);
  }
}

// One block a row.
__global__ void FakeQuantizeRowsKernel(Format format, int64_t rows, int64_t n, float* x) {
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    float* row = x + r * n;
    Range range;
    for (int64_t i = threadIdx.x; i < n; i += kThreads) range = Include(range, row[i]);
    const ScaleAndZero s = ScaleOf(format, ReduceBlock(range));
    for (int64_t i = threadIdx.x; i < n; i += kThreads)
      row[i] = Decode(format, Encode(format, row[i], s), s);
  }
}

unsigned Blocks(int64_t items, int64_t per_block) {
  return static_cast<unsigned>(BlocksFor(items, per_block));
}

}  // namespace

cudaError_t QuantizeGroups(const Format& format, int64_t groups, int64_t group, const float* w,
                           int8_t* codes, float* scales, int8_t* zeros, cudaStream_t stream) {
  QuantizeGroupsKernel<<<Blocks(groups, kWarpsPerBlock), kThreads, 0, stream>>>(
      format, groups, group, w, codes, scales, zeros);
  return cudaGetLastError();
}

cudaError_t QuantizeTensor(const Format& format, int64_t n, const float* w, int8_t* codes,
                           float* scale, int8_t* zero, float* partial, cudaStream_t stream) {
  const unsigned wanted = Blocks(n, kThreads);
  const unsigned partials = wanted < kTensorPartials ? wanted : kTensorPartials;
  TensorRangeKernel<<<partials, kThreads, 0, stream>>>(n, w, partial);
  TensorScaleKernel<<<1, kThreads, 0, stream>>>(format, static_cast<int>(partials), partial, scale,
                                                zero);
  EncodeKernel<<<wanted, kThreads, 0, stream>>>(format, n, w, scale, zero, codes);
  return cudaGetLastError();
}

cudaError_t Dequantize(const Format& format, int64_t n, int64_t group, const int8_t* codes,
                       const float* scales, const int8_t* zeros, float* w, cudaStream_t stream) {
  DequantizeKernel<<<Blocks(n, kThreads), kThreads, 0, stream>>>(format, n, group, codes, scales,
                                                                 zeros, w);
  return cudaGetLastError();
}

cudaError_t FakeQuantizeRows(const Format& format, int64_t rows, int64_t n, float* x,
                             cudaStream_t stream) {
  FakeQuantizeRowsKernel<<<Blocks(rows, 1), kThreads, 0, stream>>>(format, rows, n, x);
  return cudaGetLastError();
}

}  // namespace swage::cuda
