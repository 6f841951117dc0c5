#include "kernels/cuda/index.h"
#include "kernels/cuda/launch.h"
#include "kernels/numeric/fp8_e4m3.h"
#include "kernels/numeric/half.h"

namespace swage::cuda {
namespace {

struct F16 {
  using Bits = uint16_t;
  static __device__ float Wide(Bits x) { return FloatOfF16(x); }
  static __device__ Bits Narrow(float x) { return F16Of(x); }
};
struct BF16 {
  using Bits = uint16_t;
  static __device__ float Wide(Bits x) { return FloatOfBf16(x); }
  static __device__ Bits Narrow(float x) { return Bf16Of(x); }
};
struct Fp8 {
  using Bits = uint8_t;
  static __device__ float Wide(Bits x) { return DecodeFp8(x); }
  static __device__ Bits Narrow(float x) { return EncodeFp8(x); }
};

template <typename Type>
__global__ void WidenKernel(int64_t n, const typename Type::Bits* x, float* y) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n;
       i += stride) {
    y[i] = Type::Wide(x[i]);
  }
}

template <typename Type>
__global__ void NarrowKernel(int64_t n, const float* x, typename Type::Bits* y) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n;
       i += stride) {
    y[i] = Type::Narrow(x[i]);
  }
}

template <typename Type>
cudaError_t WidenAs(int64_t n, const void* x, float* y, cudaStream_t stream) {
  WidenKernel<Type><<<static_cast<unsigned>(BlocksFor(n, kThreads)), kThreads, 0, stream>>>(
      n, static_cast<const typename Type::Bits*>(x), y);
  return cudaGetLastError();
}

template <typename Type>
cudaError_t NarrowAs(int64_t n, const float* x, void* y, cudaStream_t stream) {
  NarrowKernel<Type><<<static_cast<unsigned>(BlocksFor(n, kThreads)), kThreads, 0, stream>>>(
      n, x, static_cast<typename Type::Bits*>(y));
  return cudaGetLastError();
}

}  // namespace

cudaError_t Widen(Narrow type, int64_t n, const void* x, float* y, cudaStream_t stream) {
  switch (type) {
    case Narrow::kF16:
      return WidenAs<F16>(n, x, y, stream);
    case Narrow::kBF16:
      return WidenAs<BF16>(n, x, y, stream);
    case Narrow::kFp8:
      return WidenAs<Fp8>(n, x, y, stream);
  }
  return cudaErrorInvalidValue;
}

cudaError_t NarrowTo(Narrow type, int64_t n, const float* x, void* y, cudaStream_t stream) {
  switch (type) {
    case Narrow::kF16:
      return NarrowAs<F16>(n, x, y, stream);
    case Narrow::kBF16:
      return NarrowAs<BF16>(n, x, y, stream);
    case Narrow::kFp8:
      return NarrowAs<Fp8>(n, x, y, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace swage::cuda
