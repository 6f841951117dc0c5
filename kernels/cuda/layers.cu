// LayerNorm, activations, caps, rotation, attention, and the moves of rows between experts.
#include "kernels/cuda/index.h"
#include "kernels/cuda/layers.h"

namespace swage::cuda {
namespace {

constexpr unsigned kAll = 0xffffffffu;
constexpr float kMasked = -1e30f;

__device__ int64_t First() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ int64_t Stride() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

unsigned Grid(int64_t items, int64_t per_block) {
  return static_cast<unsigned>(BlocksFor(items, per_block));
}

__device__ float WarpMax(float value) {
  for (int d = kWarp / 2; d > 0; d /= 2) value = fmaxf(value, __shfl_xor_sync(kAll, value, d));
  return value;
}

template <typename T>
__device__ T WarpSum(T value) {
  for (int d = kWarp / 2; d > 0; d /= 2) value += __shfl_xor_sync(kAll, value, d);
  return value;
}

// A fixed tree; the result is in every thread of the block.
__device__ double BlockSum(double value) {
  __shared__ double warps[kWarpsPerBlock];
  value = WarpSum(value);
  if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = value;
  __syncthreads();
  double sum = 0;
  for (int i = 0; i < kWarpsPerBlock; ++i) sum += warps[i];
  __syncthreads();  // the next call writes `warps` again
  return sum;
}

// One block a row.
__global__ void LayerNormKernel(int64_t rows, int64_t h, const float* x, const float* weight,
                                const float* bias, float eps, float* y) {
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    const float* in = x + r * h;
    double sum = 0;
    for (int64_t i = threadIdx.x; i < h; i += kThreads) sum += in[i];
    const double mean = BlockSum(sum) / static_cast<double>(h);
    double squares = 0;
    for (int64_t i = threadIdx.x; i < h; i += kThreads) squares += (in[i] - mean) * (in[i] - mean);
    const double factor = 1.0 / sqrt(BlockSum(squares) / static_cast<double>(h) + eps);
    for (int64_t i = threadIdx.x; i < h; i += kThreads) {
      const float scaled = static_cast<float>((in[i] - mean) * factor);
      const float weighted = weight == nullptr ? scaled : scaled * weight[i];
      y[r * h + i] = bias == nullptr ? weighted : weighted + bias[i];
    }
  }
}

__device__ float Logistic(float x) { return 1.0f / (1.0f + expf(-x)); }

__device__ float Activated(Activation kind, float x) {
  switch (kind) {
    case Activation::kSilu:
      return x * Logistic(x);
    case Activation::kGeluTanh:  // (1 + tanh(u)) / 2 is the logistic of 2u
      return x * Logistic(1.5957691216f * (x + 0.044715f * x * x * x));
    case Activation::kGeluErf:
      return 0.5f * x * erfcf(x * -0.70710678f);
    case Activation::kRelu:
      return fmaxf(x, 0.0f);
    case Activation::kSigmoid:
      break;
  }
  return Logistic(x);
}

__global__ void ActivateKernel(Activation kind, int64_t n, const float* x, const float* up,
                               float* y) {
  for (int64_t i = First(); i < n; i += Stride()) {
    const float value = Activated(kind, x[i]);
    y[i] = up == nullptr ? value : value * up[i];
  }
}

__global__ void SoftCapKernel(int64_t n, float cap, float* x) {
  for (int64_t i = First(); i < n; i += Stride()) x[i] = cap * tanhf(x[i] / cap);
}

__global__ void ScaleKernel(int64_t n, float factor, float* x) {
  for (int64_t i = First(); i < n; i += Stride()) x[i] *= factor;
}

// One thread a row: experts are few beside rows.
__global__ void RouteKernel(RouteArgs args) {
  for (int64_t r = First(); r < args.rows; r += Stride()) {
    const float* logits = args.logits + r * args.experts;
    int32_t* chosen = args.chosen + r * args.k;
    float* weights = args.weights + r * args.k;
    for (int64_t i = 0; i < args.k; ++i) chosen[i] = NextLargest(logits, args.experts, chosen, i);
    const double max = logits[chosen[0]];
    double total = 0;
    const int64_t terms = args.normalize ? args.k : args.experts;
    for (int64_t i = 0; i < terms; ++i) {
      total += exp(logits[args.normalize ? chosen[i] : i] - max);
    }
    for (int64_t i = 0; i < args.k; ++i) {
      weights[i] = static_cast<float>(exp(logits[chosen[i]] - max) / total);
    }
  }
}

// Rows that are not there are skipped: indices lie on the device, where nobody has checked them.
__global__ void GatherKernel(int64_t rows, int64_t width, const int32_t* index, int64_t source,
                             const float* x, float* y) {
  for (int64_t i = First(); i < rows * width; i += Stride()) {
    const int64_t from = index == nullptr ? i / width : index[i / width];
    if (from >= 0 && from < source) y[i] = x[from * width + i % width];
  }
}

__global__ void ScatterAddKernel(int64_t rows, int64_t width, const int32_t* index, int64_t target,
                                 const float* factor, const float* x, float* y) {
  for (int64_t i = First(); i < rows * width; i += Stride()) {
    const int64_t to = index == nullptr ? i / width : index[i / width];
    if (to >= 0 && to < target) y[to * width + i % width] += factor[i / width] * x[i];
  }
}

__global__ void RopeKernel(RopeArgs args) {
  const int64_t half = args.rotary / 2, pairs = args.rows * args.heads * half;
  for (int64_t i = First(); i < pairs; i += Stride()) {
    const RopePlace place = RopePlaceOf(i, half, args.heads, args.head_dim);
    const float angle =
        static_cast<float>(args.first + place.row % args.tokens) * args.inv_freq[place.pair];
    // Of the f32 angle in double, as the reference has it: thousands of turns lose no digits.
    const float cosine = static_cast<float>(cos(static_cast<double>(angle))) * args.scale;
    const float forward = static_cast<float>(sin(static_cast<double>(angle))) * args.scale;
    const float sine = args.inverse ? -forward : forward;
    float* low = args.x + place.element;
    const float a = *low, b = low[half];
    *low = a * cosine - b * sine;
    low[half] = b * cosine + a * sine;
  }
}

// One warp a query row of a head; 32 keys at a time, a lane each for scores, then the lanes share
// the channels of the sums: online softmax, as in FlashAttention (arXiv 2205.14135).
template <int kChannels>  // channels of a lane: head_dim / 32 rounded up
__global__ void AttentionKernel(AttentionArgs args) {
  const int lane = threadIdx.x % kWarp;
  const int64_t d = args.head_dim, kv_width = args.kv_heads * d;
  const int64_t items = args.windows * args.tokens * args.heads;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kWarpsPerBlock;
  for (int64_t item = blockIdx.x * int64_t{kWarpsPerBlock} + threadIdx.x / kWarp; item < items;
       item += step) {
    const QueryPlace place = QueryPlaceOf(item, args.tokens, args.heads, args.kv_heads);
    const float* q = args.q + item * d;
    const float* keys = args.k + place.window * args.tokens * kv_width + place.kv_head * d;
    const float* values = args.v + place.window * args.tokens * kv_width + place.kv_head * d;
    float sums[kChannels] = {}, max = kMasked, total = 0;
    for (int64_t first = FirstVisibleKey(place.position, args.window); first <= place.position;
         first += kWarp) {
      const int64_t key = first + lane;
      float score = kMasked;
      if (key <= place.position) {
        score = 0;
        for (int64_t i = 0; i < d; ++i) score += q[i] * keys[key * kv_width + i];
        score *= args.scale;
        if (args.softcap > 0) score = args.softcap * tanhf(score / args.softcap);
      }
      const float new_max = fmaxf(max, WarpMax(score));
      const float weight = key <= place.position ? expf(score - new_max) : 0.0f;
      const float factor = expf(max - new_max);
      total = total * factor + WarpSum(weight);
      max = new_max;
      for (int c = 0; c < kChannels; ++c) sums[c] *= factor;
      for (int j = 0; j < kWarp && first + j <= place.position; ++j) {
        const float shared = __shfl_sync(kAll, weight, j);
        const float* value = values + (first + j) * kv_width;
        for (int c = 0; c < kChannels; ++c) {
          const int64_t i = c * kWarp + lane;
          if (i < d) sums[c] += shared * value[i];
        }
      }
    }
    for (int c = 0; c < kChannels; ++c) {
      const int64_t i = c * kWarp + lane;
      if (i < d) args.out[item * d + i] = sums[c] / total;
    }
    if (args.logsumexp != nullptr && lane == 0) args.logsumexp[item] = max + logf(total);
  }
}

}  // namespace

cudaError_t LayerNorm(int64_t rows, int64_t h, const float* x, const float* weight,
                      const float* bias, float eps, float* y, cudaStream_t stream) {
  LayerNormKernel<<<Grid(rows, 1), kThreads, 0, stream>>>(rows, h, x, weight, bias, eps, y);
  return cudaGetLastError();
}

cudaError_t Activate(Activation kind, int64_t n, const float* x, const float* up, float* y,
                     cudaStream_t stream) {
  ActivateKernel<<<Grid(n, kThreads), kThreads, 0, stream>>>(kind, n, x, up, y);
  return cudaGetLastError();
}

cudaError_t SoftCap(int64_t n, float cap, float* x, cudaStream_t stream) {
  SoftCapKernel<<<Grid(n, kThreads), kThreads, 0, stream>>>(n, cap, x);
  return cudaGetLastError();
}

cudaError_t Scale(int64_t n, float factor, float* x, cudaStream_t stream) {
  ScaleKernel<<<Grid(n, kThreads), kThreads, 0, stream>>>(n, factor, x);
  return cudaGetLastError();
}

cudaError_t RouteTopK(const RouteArgs& args, cudaStream_t stream) {
  RouteKernel<<<Grid(args.rows, kThreads), kThreads, 0, stream>>>(args);
  return cudaGetLastError();
}

cudaError_t GatherRows(int64_t rows, int64_t width, const int32_t* index, int64_t source,
                       const float* x, float* y, cudaStream_t stream) {
  GatherKernel<<<Grid(rows * width, kThreads), kThreads, 0, stream>>>(rows, width, index, source,
                                                                      x, y);
  return cudaGetLastError();
}

cudaError_t ScatterAddRows(int64_t rows, int64_t width, const int32_t* index, int64_t target,
                           const float* factor, const float* x, float* y, cudaStream_t stream) {
  ScatterAddKernel<<<Grid(rows * width, kThreads), kThreads, 0, stream>>>(rows, width, index,
                                                                          target, factor, x, y);
  return cudaGetLastError();
}

cudaError_t Rope(const RopeArgs& args, cudaStream_t stream) {
  const int64_t pairs = args.rows * args.heads * (args.rotary / 2);
  RopeKernel<<<Grid(pairs, kThreads), kThreads, 0, stream>>>(args);
  return cudaGetLastError();
}

cudaError_t Attention(const AttentionArgs& args, cudaStream_t stream) {
  const int64_t items = args.windows * args.tokens * args.heads;
  const unsigned grid = Grid(items, kWarpsPerBlock);
  if (args.head_dim <= 64) {
    AttentionKernel<2><<<grid, kThreads, 0, stream>>>(args);
  } else if (args.head_dim <= 128) {
    AttentionKernel<4><<<grid, kThreads, 0, stream>>>(args);
  } else if (args.head_dim <= 256) {
    AttentionKernel<8><<<grid, kThreads, 0, stream>>>(args);
  } else {
    AttentionKernel<32><<<grid, kThreads, 0, stream>>>(args);
  }
  return cudaGetLastError();
}

}  // namespace swage::cuda
