// What cholesky_cuda.cc asks of triangle.cu: moves within a square row-major matrix [n, n]. The
// rules of launch.h hold; T is float or double.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace swage::cuda {

template <typename T>
cudaError_t MirrorUpper(int64_t n, T* a, cudaStream_t stream);  // the lower triangle becomes its copy
template <typename T>
cudaError_t MirrorLower(int64_t n, T* a, cudaStream_t stream);
template <typename T>
cudaError_t ZeroAbove(int64_t n, T* a, cudaStream_t stream);
template <typename T>
cudaError_t ZeroBelow(int64_t n, T* a, cudaStream_t stream);
template <typename T>
cudaError_t Reverse(int64_t n, T* a, cudaStream_t stream);  // the order of all n * n entries
template <typename T>
cudaError_t GetDiagonal(int64_t n, const T* a, T* diagonal, cudaStream_t stream);
template <typename T>
cudaError_t SetDiagonal(int64_t n, const T* diagonal, T* a, cudaStream_t stream);
// *flag = 1 if the upper triangle has NaN or infinite entries; *flag was set to 0 before.
template <typename T>
cudaError_t FindNotFinite(int64_t n, const T* a, int* flag, cudaStream_t stream);

}  // namespace swage::cuda
