#include "kernels/cuda/index.h"
#include "kernels/cuda/triangle.h"

namespace swage::cuda {
namespace {

template <typename T>
struct MirrorUpperOf {
  int64_t n;
  T* a;
  __device__ void operator()(int64_t r, int64_t c) const {
    if (c < r) a[r * n + c] = a[c * n + r];
  }
};
template <typename T>
struct MirrorLowerOf {
  int64_t n;
  T* a;
  __device__ void operator()(int64_t r, int64_t c) const {
    if (c > r) a[r * n + c] = a[c * n + r];
  }
};
template <typename T>
struct Zero {
  int64_t n;
  T* a;
  bool above;
  __device__ void operator()(int64_t r, int64_t c) const {
    if (above ? c > r : c < r) a[r * n + c] = T(0);
  }
};
template <typename T>
struct NotFiniteOf {
  int64_t n;
  const T* a;
  int* flag;
  __device__ void operator()(int64_t r, int64_t c) const {
    if (c >= r && !isfinite(a[r * n + c])) *flag = 1;  // whoever writes it writes the same
  }
};

template <typename Body>
__global__ void ForEntries(int64_t n, Body body) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n * n;
       i += stride) {
    body(i / n, i % n);
  }
}

template <typename T>
__global__ void ReverseKernel(int64_t size, T* a) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < size / 2;
       i += stride) {
    const T first = a[i];
    a[i] = a[size - 1 - i];
    a[size - 1 - i] = first;
  }
}

template <typename T>
__global__ void DiagonalKernel(int64_t n, const T* from, int64_t from_step, T* to,
                               int64_t to_step) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += stride) {
    to[i * to_step] = from[i * from_step];
  }
}

template <typename Body>
cudaError_t Launch(int64_t n, cudaStream_t stream, const Body& body) {
  ForEntries<<<static_cast<unsigned>(BlocksFor(n * n, kThreads)), kThreads, 0, stream>>>(n, body);
  return cudaGetLastError();
}

}  // namespace

template <typename T>
cudaError_t MirrorUpper(int64_t n, T* a, cudaStream_t stream) {
  return Launch(n, stream, MirrorUpperOf<T>{n, a});
}
template <typename T>
cudaError_t MirrorLower(int64_t n, T* a, cudaStream_t stream) {
  return Launch(n, stream, MirrorLowerOf<T>{n, a});
}
template <typename T>
cudaError_t ZeroAbove(int64_t n, T* a, cudaStream_t stream) {
  return Launch(n, stream, Zero<T>{n, a, true});
}
template <typename T>
cudaError_t ZeroBelow(int64_t n, T* a, cudaStream_t stream) {
  return Launch(n, stream, Zero<T>{n, a, false});
}
template <typename T>
cudaError_t Reverse(int64_t n, T* a, cudaStream_t stream) {
  ReverseKernel<<<static_cast<unsigned>(BlocksFor(n * n / 2, kThreads)), kThreads, 0, stream>>>(
      n * n, a);
  return cudaGetLastError();
}
template <typename T>
cudaError_t GetDiagonal(int64_t n, const T* a, T* diagonal, cudaStream_t stream) {
  DiagonalKernel<<<static_cast<unsigned>(BlocksFor(n, kThreads)), kThreads, 0, stream>>>(
      n, a, n + 1, diagonal, int64_t{1});
  return cudaGetLastError();
}
template <typename T>
cudaError_t SetDiagonal(int64_t n, const T* diagonal, T* a, cudaStream_t stream) {
  DiagonalKernel<<<static_cast<unsigned>(BlocksFor(n, kThreads)), kThreads, 0, stream>>>(
      n, diagonal, int64_t{1}, a, n + 1);
  return cudaGetLastError();
}
template <typename T>
cudaError_t FindNotFinite(int64_t n, const T* a, int* flag, cudaStream_t stream) {
  return Launch(n, stream, NotFiniteOf<T>{n, a, flag});
}

#define SWAGE_TRIANGLE(T)                                                          \
  template cudaError_t MirrorUpper<T>(int64_t, T*, cudaStream_t);                  \
  template cudaError_t MirrorLower<T>(int64_t, T*, cudaStream_t);                  \
  template cudaError_t ZeroAbove<T>(int64_t, T*, cudaStream_t);                    \
  template cudaError_t ZeroBelow<T>(int64_t, T*, cudaStream_t);                    \
  template cudaError_t Reverse<T>(int64_t, T*, cudaStream_t);                      \
  template cudaError_t GetDiagonal<T>(int64_t, const T*, T*, cudaStream_t);        \
  template cudaError_t SetDiagonal<T>(int64_t, const T*, T*, cudaStream_t);        \
  template cudaError_t FindNotFinite<T>(int64_t, const T*, int*, cudaStream_t)
SWAGE_TRIANGLE(float);
SWAGE_TRIANGLE(double);

}  // namespace swage::cuda
