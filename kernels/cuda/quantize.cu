// Quantization by the scalar functions of kernels/numeric, so that codes and scales are the
// reference's bytes: nvcc's division is IEEE's by default, minima and maxima do not depend on the
// order, sums follow numeric/lane_sum.h, and nothing here can be fused (kernels/CMakeLists.txt
// compiles this file with --fmad=false).
#include "kernels/cuda/index.h"
#include "kernels/cuda/launch.h"

namespace swage::cuda {
namespace {

constexpr unsigned kAllLanes = 0xffffffffu;

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
    range = Include(range, __shfl_xor_sync(kAllLanes, range.min, distance));
    range = Include(range, __shfl_xor_sync(kAllLanes, range.max, distance));
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

// Lane l of the warp is lane l of numeric/lane_sum.h; all lanes end with the tree's sum.
__device__ float TreeSumOfWarp(float lane) {
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    lane += __shfl_xor_sync(kAllLanes, lane, distance);
  }
  return lane;
}

// Rows of weights that share a scale, summed by one warp.
struct Rows {
  const float* w = nullptr;
  const float* importance = nullptr;
  int64_t rows = 0, columns = 0, stride = 0;
};

__device__ float AbsSumOfRow(const Rows& part, int64_t row) {
  float sum = 0;
  for (int64_t i = threadIdx.x % kWarp; i < part.columns; i += kWarp) {
    sum += fabsf(part.w[row * part.stride + i]);
  }
  return TreeSumOfWarp(sum);
}

__device__ float ErrorOfRow(const NumberCodec& codec, const Rows& part, int64_t row, float scale,
                            float zero) {
  float sum = 0;
  for (int64_t i = threadIdx.x % kWarp; i < part.columns; i += kWarp) {
    const float importance = part.importance == nullptr ? 1.0f : part.importance[i];
    sum += SquaredError(codec, part.w[row * part.stride + i], importance, scale, zero);
  }
  return TreeSumOfWarp(sum);
}

// Sums of a part's rows in their order: of one row by a warp, of several by the block,
// kWarpsPerBlock rows at a time. `scale` is effective; with `absolute` the sum of |w|.
__device__ double SumOfPart(const NumberCodec& codec, const Rows& part, bool whole_block,
                            bool absolute, float scale, float zero) {
  if (!whole_block) {
    return static_cast<double>(absolute ? AbsSumOfRow(part, 0)
                                        : ErrorOfRow(codec, part, 0, scale, zero));
  }
  __shared__ float sums[kWarpsPerBlock];
  const int warp = threadIdx.x / kWarp;
  double sum = 0;
  for (int64_t first = 0; first < part.rows; first += kWarpsPerBlock) {
    if (first + warp < part.rows) {
      const float of_row = absolute ? AbsSumOfRow(part, first + warp)
                                    : ErrorOfRow(codec, part, first + warp, scale, zero);
      if (threadIdx.x % kWarp == 0) sums[warp] = of_row;
    }
    __syncthreads();
    for (int i = 0; i < kWarpsPerBlock && first + i < part.rows; ++i) {
      sum += static_cast<double>(sums[i]);
    }
    __syncthreads();
  }
  return sum;
}

__device__ ScaleZero BestScale(const NumberCodec& codec, const Rows& part, bool whole_block,
                               Range range, float global) {
  if (codec.rule == ScaleRule::kAbsMean) {
    const double mean = SumOfPart(codec, part, whole_block, true, 0, 0) /
                        static_cast<double>(part.rows * part.columns);
    return ScaleOfRange(codec, 0, static_cast<float>(mean) * codec.max_value, global);
  }
  ScaleZero best = ScaleOfRange(codec, range.min, range.max, global);
  const int candidates = Candidates(codec);
  if (candidates == 1) return best;
  double best_error = SumOfPart(codec, part, whole_block, false,
                                EffectiveScale(codec, best.scale, global), best.zero);
  for (int i = 1; i < candidates; ++i) {
    const float ratio = CandidateRatio(codec, i);
    const ScaleZero next = ScaleOfRange(codec, range.min * ratio, range.max * ratio, global);
    const double error = SumOfPart(codec, part, whole_block, false,
                                   EffectiveScale(codec, next.scale, global), next.zero);
    if (error < best_error) {
      best = next;
      best_error = error;
    }
  }
  return best;
}

__device__ int64_t FirstItem() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ int64_t ItemStride() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }
__device__ int64_t FirstWarp() {
  return static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + threadIdx.x / kWarp;
}
__device__ int64_t WarpStride() { return static_cast<int64_t>(gridDim.x) * kWarpsPerBlock; }

__device__ float GlobalOf(const Matrix& m) { return m.global == nullptr ? 1.0f : *m.global; }

__device__ void Keep(const Matrix& m, int64_t at, const ScaleZero& s) {
  m.scales[at] = s.scale;
  if (m.minima != nullptr) m.minima[at] = s.zero;
  if (m.zeros != nullptr) m.zeros[at] = static_cast<int8_t>(s.zero);
}

// With the effective scale.
__device__ ScaleZero Load(const Matrix& m, int64_t at) {
  ScaleZero s;
  s.scale = EffectiveScale(m.codec, m.scales[at], GlobalOf(m));
  s.zero = m.minima != nullptr  ? m.minima[at]
           : m.zeros != nullptr ? static_cast<float>(m.zeros[at])
                                : m.codec.symmetric_zero;
  return s;
}

// One warp a group, of grids with one row to a scale.
__global__ void QuantizeGroupsKernel(Matrix m) {
  const int lane = threadIdx.x % kWarp;
  const int64_t groups = ScaleCount(m.grid), group = m.grid.columns;
  const float global = GlobalOf(m);
  for (int64_t g = FirstWarp(); g < groups; g += WarpStride()) {
    Rows part;
    part.w = m.w + g * group;
    part.importance = m.importance == nullptr ? nullptr : m.importance + g * group % m.grid.in;
    part.rows = 1;
    part.columns = group;
    Range range;
    for (int64_t i = lane; i < group; i += kWarp) range = Include(range, part.w[i]);
    const ScaleZero s = BestScale(m.codec, part, false, ReduceWarp(range), global);
    if (lane == 0) Keep(m, g, s);
    const float scale = EffectiveScale(m.codec, s.scale, global);
    for (int64_t i = lane; i < group; i += kWarp) {
      m.codes[g * group + i] = EncodeNumber(m.codec, part.w[i], scale, s.zero);
    }
  }
}

// One block a rectangle: its scale.
__global__ void RectangleScalesKernel(Matrix m) {
  for (int64_t at = blockIdx.x; at < ScaleCount(m.grid); at += gridDim.x) {
    const Rectangle where = RectangleOf(m.grid, at);
    Rows part;
    part.w = m.w + where.row * m.grid.in + where.column;
    part.importance = m.importance == nullptr ? nullptr : m.importance + where.column;
    part.rows = where.rows;
    part.columns = where.columns;
    part.stride = m.grid.in;
    Range range;
    for (int64_t i = threadIdx.x; i < where.rows * where.columns; i += kThreads) {
      range = Include(range, part.w[i / where.columns * part.stride + i % where.columns]);
    }
    const ScaleZero s = BestScale(m.codec, part, true, ReduceBlock(range), GlobalOf(m));
    if (threadIdx.x == 0) Keep(m, at, s);
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

__device__ Range RangeOfPartials(int partials, const float* partial) {
  Range range;
  for (int i = threadIdx.x; i < 2 * partials; i += kThreads) range = Include(range, partial[i]);
  return ReduceBlock(range);
}

__global__ void TensorScaleKernel(Matrix m, int partials, const float* partial) {
  const Range range = RangeOfPartials(partials, partial);
  if (threadIdx.x == 0) Keep(m, 0, ScaleOfRange(m.codec, range.min, range.max, 1.0f));
}

__global__ void GlobalScaleKernel(NumberCodec codec, int partials, const float* partial,
                                  float* global) {
  const Range range = RangeOfPartials(partials, partial);
  if (threadIdx.x == 0) {
    *global = GlobalScale(-range.min > range.max ? -range.min : range.max, codec.max_value,
                          GlobalBound(codec));
  }
}

__global__ void EncodeKernel(Matrix m) {
  for (int64_t i = FirstItem(); i < m.grid.out * m.grid.in; i += ItemStride()) {
    const ScaleZero s = Load(m, ScaleIndexOf(m.grid, i));
    m.codes[i] = EncodeNumber(m.codec, m.w[i], s.scale, s.zero);
  }
}

__global__ void DequantizeKernel(Matrix m, float* w) {
  for (int64_t i = FirstItem(); i < m.grid.out * m.grid.in; i += ItemStride()) {
    const ScaleZero s = Load(m, ScaleIndexOf(m.grid, i));
    w[i] = DecodeNumber(m.codec, m.codes[i], s.scale, s.zero);
  }
}

// One warp a group; static_scale 0: each group's own.
__global__ void FakeQuantizeKernel(NumberCodec codec, int64_t groups, int64_t group, float global,
                                   float static_scale, float* x) {
  const int lane = threadIdx.x % kWarp;
  for (int64_t g = FirstWarp(); g < groups; g += WarpStride()) {
    float* const at = x + g * group;
    ScaleZero s;
    s.scale = static_scale;
    s.zero = codec.symmetric_zero;
    if (static_scale == 0) {
      Rows part;
      part.w = at;
      part.rows = 1;
      part.columns = group;
      Range range;
      for (int64_t i = lane; i < group; i += kWarp) range = Include(range, at[i]);
      s = BestScale(codec, part, false, ReduceWarp(range), global);
    }
    const float scale = EffectiveScale(codec, s.scale, global);
    for (int64_t i = lane; i < group; i += kWarp) {
      at[i] = DecodeNumber(codec, EncodeNumber(codec, at[i], scale, s.zero), scale, s.zero);
    }
  }
}

unsigned Blocks(int64_t items, int64_t per_block) {
  return static_cast<unsigned>(BlocksFor(items, per_block));
}

// Ranges of parts of w, for kernels of one block that follow.
unsigned ReducePartials(int64_t n, const float* w, float* partial, cudaStream_t stream) {
  const unsigned wanted = Blocks(n, kThreads);
  const unsigned partials = wanted < kTensorPartials ? wanted : kTensorPartials;
  TensorRangeKernel<<<partials, kThreads, 0, stream>>>(n, w, partial);
  return partials;
}

}  // namespace

cudaError_t Quantize(const Matrix& m, const QuantizeSteps& steps, float* partial,
                     cudaStream_t stream) {
  const int64_t n = m.grid.out * m.grid.in, scales = ScaleCount(m.grid);
  if (steps.make_global) {
    const unsigned partials = ReducePartials(n, m.w, partial, stream);
    GlobalScaleKernel<<<1, kThreads, 0, stream>>>(m.codec, static_cast<int>(partials), partial,
                                                  m.global);
  }
  if (steps.make_scales && m.grid.rows == 1) {
    QuantizeGroupsKernel<<<Blocks(scales, kWarpsPerBlock), kThreads, 0, stream>>>(m);
    return cudaGetLastError();
  }
  if (steps.make_scales && scales == 1 && m.codec.rule == ScaleRule::kAbsMax) {
    const unsigned partials = ReducePartials(n, m.w, partial, stream);
    TensorScaleKernel<<<1, kThreads, 0, stream>>>(m, static_cast<int>(partials), partial);
  } else if (steps.make_scales) {
    RectangleScalesKernel<<<Blocks(scales, 1), kThreads, 0, stream>>>(m);
  }
  EncodeKernel<<<Blocks(n, kThreads), kThreads, 0, stream>>>(m);
  return cudaGetLastError();
}

cudaError_t Dequantize(const Matrix& m, float* w, cudaStream_t stream) {
  const int64_t n = m.grid.out * m.grid.in;
  DequantizeKernel<<<Blocks(n, kThreads), kThreads, 0, stream>>>(m, w);
  return cudaGetLastError();
}

cudaError_t FakeQuantize(const NumberCodec& codec, int64_t groups, int64_t group, float global,
                         float static_scale, float* x, cudaStream_t stream) {
  FakeQuantizeKernel<<<Blocks(groups, kWarpsPerBlock), kThreads, 0, stream>>>(
      codec, groups, group, global, static_scale, x);
  return cudaGetLastError();
}

}  // namespace swage::cuda
