// Random numbers, rotations, masks and the optimizer. Compiled without fused products: rounded
// values and weights are the reference's.
#include "kernels/cuda/families.h"
#include "kernels/cuda/index.h"
#include "kernels/cuda/index_families.h"
#include "kernels/numeric/half.h"
#include "kernels/numeric/select.h"

namespace swage::cuda {
namespace {

__device__ int64_t FirstThread() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ int64_t ThreadStride() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

unsigned BlocksOf(int64_t items, int64_t per_block) {
  return static_cast<unsigned>(BlocksFor(items, per_block));
}

// body(element, word) for every element of the slice; one thread takes a Philox block at a time.
template <typename Body>
__global__ void ForWords(int64_t n, RandomKey key, Body body) {
  const int64_t runs = WordRuns(key.first, n);
  for (int64_t i = FirstThread(); i < runs; i += ThreadStride()) {
    const WordRun run = WordRunOf(key.first, n, i);
    const PhiloxBlock block = RandomBlock(key, run.block);
    for (int j = 0; j < run.count; ++j) body(run.element + j, block.word[run.word + j]);
  }
}

template <typename Body>
cudaError_t LaunchWords(int64_t n, const RandomKey& key, cudaStream_t stream, const Body& body) {
  ForWords<<<BlocksOf(WordRuns(key.first, n), kThreads), kThreads, 0, stream>>>(n, key, body);
  return cudaGetLastError();
}

struct StoreWord {
  uint32_t* y;
  __device__ void operator()(int64_t i, uint32_t word) const { y[i] = word; }
};
struct StoreUnit {
  float* y;
  __device__ void operator()(int64_t i, uint32_t word) const { y[i] = UnitOf(word); }
};
struct StoreBf16 {
  const float* x;
  uint16_t* y;
  __device__ void operator()(int64_t i, uint32_t word) const { y[i] = StochasticBf16Of(x[i], word); }
};
struct StoreCode {
  const float* x;
  GridRounding grid;
  int8_t* codes;
  __device__ void operator()(int64_t i, uint32_t word) const {
    codes[i] = StochasticCode(x[i], grid.scale, grid.zero, grid.low, grid.high, word);
  }
};

// key.first is even, so that a pair is never split between two blocks.
__global__ void NormalKernel(int64_t n, RandomKey key, float* y) {
  const int64_t runs = WordRuns(key.first, n);
  for (int64_t i = FirstThread(); i < runs; i += ThreadStride()) {
    const WordRun run = WordRunOf(key.first, n, i);
    const PhiloxBlock block = RandomBlock(key, run.block);
    for (int j = 0; j < run.count; j += 2) {
      const float radius = sqrtf(-2.0f * logf(OpenUnitOf(block.word[run.word + j])));
      float sine = 0, cosine = 0;
      sincosf(6.28318530718f * UnitOf(block.word[run.word + j + 1]), &sine, &cosine);
      y[run.element + j] = radius * cosine;
      if (j + 1 < run.count) y[run.element + j + 1] = radius * sine;
    }
  }
}

// The stages of all transforms of a tile of `size` values, the transformed side `width` apart.
__device__ void TransformTile(int size, int block, int width, float* tile) {
  for (int distance = width; distance < block * width; distance *= 2) {
    __syncthreads();
    for (int pair = threadIdx.x; pair < size / 2; pair += kThreads) {
      const int at = PairOf(pair, distance);
      const float a = tile[at], b = tile[at + distance];
      tile[at] = a + b;
      tile[at + distance] = a - b;
    }
  }
  __syncthreads();
}

__device__ float FactorOf(const HadamardTask& task, const RandomKey& key, int64_t i) {
  return task.signs && (RandomWord(key, i) >> 31) != 0 ? -task.scale : task.scale;
}

// Blocks lie one after the other in memory, across rows too: runs of them are tiles of width 1.
__global__ void HadamardRows(HadamardTask task, RandomKey key, int run, float* x) {
  extern __shared__ float tile[];
  const int64_t total = task.rows * task.columns, tiles = (total + run - 1) / run;
  for (int64_t t = blockIdx.x; t < tiles; t += gridDim.x) {
    const int64_t begin = t * run;
    const int size = static_cast<int>(total - begin < run ? total - begin : run);
    for (int e = threadIdx.x; e < size; e += kThreads) {
      const float factor = task.inverse ? 1.0f : FactorOf(task, key, (begin + e) % task.columns);
      tile[e] = x[begin + e] * factor;
    }
    TransformTile(size, task.block, 1, tile);
    for (int e = threadIdx.x; e < size; e += kThreads) {
      const float factor = task.inverse ? FactorOf(task, key, (begin + e) % task.columns) : 1.0f;
      x[begin + e] = tile[e] * factor;
    }
    __syncthreads();  // the next tile writes the same memory
  }
}

__global__ void HadamardColumns(HadamardTask task, RandomKey key, int width, float* x) {
  extern __shared__ float tile[];
  const int64_t strips = (task.columns + width - 1) / width;
  const int64_t tiles = strips * (task.rows / task.block);
  const int size = task.block * width;
  for (int64_t t = blockIdx.x; t < tiles; t += gridDim.x) {
    for (int e = threadIdx.x; e < size; e += kThreads) {
      const StripPlace at = StripPlaceOf(t, e, task.columns, task.block, width);
      const float factor = task.inverse ? 1.0f : FactorOf(task, key, at.row);
      tile[e] = at.column < task.columns ? x[at.row * task.columns + at.column] * factor : 0.0f;
    }
    TransformTile(size, task.block, width, tile);
    for (int e = threadIdx.x; e < size; e += kThreads) {
      const StripPlace at = StripPlaceOf(t, e, task.columns, task.block, width);
      const float factor = task.inverse ? FactorOf(task, key, at.row) : 1.0f;
      if (at.column < task.columns) x[at.row * task.columns + at.column] = tile[e] * factor;
    }
    __syncthreads();
  }
}

__global__ void NOfMKernel(int64_t groups, int n, int m, const float* scores, uint8_t* mask) {
  for (int64_t i = FirstThread(); i < groups * m; i += ThreadStride()) {
    const int64_t group = i / m;
    mask[i] = KeptOfGroup(scores + group * m, m, n, static_cast<int>(i % m)) ? 1 : 0;
  }
}

__global__ void ApplyMaskKernel(int64_t n, const uint8_t* mask, float* x) {
  for (int64_t i = FirstThread(); i < n; i += ThreadStride()) {
    if (mask[i] == 0) x[i] = 0.0f;
  }
}

__global__ void AdamWKernel(int64_t n, AdamWConstants step, const float* gradient, float* w,
                            float* m, float* v) {
  for (int64_t i = FirstThread(); i < n; i += ThreadStride()) {
    const float g = gradient[i] * step.gradient_scale;
    const float first = m[i] * step.beta1 + g * step.one_minus_beta1;
    const float second = v[i] * step.beta2 + g * g * step.one_minus_beta2;
    m[i] = first;
    v[i] = second;
    w[i] = w[i] * step.kept - first * step.rate / (sqrtf(second * step.root_correction) + step.eps);
  }
}

__global__ void NearestBf16Kernel(int64_t n, const float* x, uint16_t* y) {
  for (int64_t i = FirstThread(); i < n; i += ThreadStride()) y[i] = Bf16Of(x[i]);
}

__global__ void SwiGluBackwardKernel(int64_t n, const float* gate, const float* up, const float* dy,
                                     float* dgate, float* dup) {
  for (int64_t i = FirstThread(); i < n; i += ThreadStride()) {
    const float g = gate[i], u = up[i], d = dy[i], power = expf(fminf(-g, 88.0f));
    const float sigmoid = 1.0f / (1.0f + power);
    dgate[i] = d * u * (sigmoid * (1.0f + g * (power * sigmoid)));
    dup[i] = d * g * sigmoid;
  }
}

__global__ void AddTriangleKernel(int64_t n, int64_t row, int64_t rows, int64_t column,
                                  int64_t columns, float alpha, const float* tile, float* h) {
  for (int64_t i = FirstThread(); i < rows * columns; i += ThreadStride()) {
    const int64_t r = row + i / columns, c = column + i % columns;
    if (c >= r) h[r * n + c] += alpha * tile[i];
  }
}

}  // namespace

cudaError_t Words(int64_t n, const RandomKey& key, uint32_t* y, cudaStream_t stream) {
  return LaunchWords(n, key, stream, StoreWord{y});
}

cudaError_t Uniform(int64_t n, const RandomKey& key, float* y, cudaStream_t stream) {
  return LaunchWords(n, key, stream, StoreUnit{y});
}

cudaError_t Normal(int64_t n, const RandomKey& key, float* y, cudaStream_t stream) {
  NormalKernel<<<BlocksOf(WordRuns(key.first, n), kThreads), kThreads, 0, stream>>>(n, key, y);
  return cudaGetLastError();
}

cudaError_t RoundToBf16(int64_t n, const float* x, const RandomKey& key, uint16_t* y,
                        cudaStream_t stream) {
  return LaunchWords(n, key, stream, StoreBf16{x, y});
}

cudaError_t RoundToGrid(int64_t n, const float* x, const GridRounding& grid, const RandomKey& key,
                        int8_t* codes, cudaStream_t stream) {
  return LaunchWords(n, key, stream, StoreCode{x, grid, codes});
}

cudaError_t Hadamard(const HadamardTask& task, const RandomKey& key, float* x,
                     cudaStream_t stream) {
  if (task.by_rows) {
    const int run = task.block > kHadamardRowRun ? task.block : kHadamardRowRun;
    HadamardRows<<<BlocksOf(task.rows * task.columns, run), kThreads, run * sizeof(float), stream>>>(
        task, key, run, x);
  } else {
    const int width = kHadamardTile / task.block < 32 ? kHadamardTile / task.block : 32;
    const int64_t tiles = (task.columns + width - 1) / width * (task.rows / task.block);
    HadamardColumns<<<BlocksOf(tiles, 1), kThreads, task.block * width * sizeof(float), stream>>>(
        task, key, width, x);
  }
  return cudaGetLastError();
}

cudaError_t KeepNOfM(int64_t groups, int n, int m, const float* scores, uint8_t* mask,
                     cudaStream_t stream) {
  NOfMKernel<<<BlocksOf(groups * m, kThreads), kThreads, 0, stream>>>(groups, n, m, scores, mask);
  return cudaGetLastError();
}

cudaError_t ApplyMask(int64_t n, const uint8_t* mask, float* x, cudaStream_t stream) {
  ApplyMaskKernel<<<BlocksOf(n, kThreads), kThreads, 0, stream>>>(n, mask, x);
  return cudaGetLastError();
}

cudaError_t AdamW(int64_t n, const AdamWConstants& step, const float* gradient, float* w, float* m,
                  float* v, uint16_t* w_bf16, const RandomKey& key, cudaStream_t stream) {
  AdamWKernel<<<BlocksOf(n, kThreads), kThreads, 0, stream>>>(n, step, gradient, w, m, v);
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess || w_bf16 == nullptr) return error;
  if (step.stochastic) return RoundToBf16(n, w, key, w_bf16, stream);
  NearestBf16Kernel<<<BlocksOf(n, kThreads), kThreads, 0, stream>>>(n, w, w_bf16);
  return cudaGetLastError();
}

cudaError_t SwiGluBackward(int64_t n, const float* gate, const float* up, const float* dy,
                           float* dgate, float* dup, cudaStream_t stream) {
  SwiGluBackwardKernel<<<BlocksOf(n, kThreads), kThreads, 0, stream>>>(n, gate, up, dy, dgate, dup);
  return cudaGetLastError();
}

cudaError_t AddTriangle(int64_t n, int64_t row, int64_t rows, int64_t column, int64_t columns,
                        float alpha, const float* tile, float* h, cudaStream_t stream) {
  AddTriangleKernel<<<BlocksOf(rows * columns, kThreads), kThreads, 0, stream>>>(
      n, row, rows, column, columns, alpha, tile, h);
  return cudaGetLastError();
}

}  // namespace swage::cuda
