// What families_cuda.cc asks of families.cu; the rules of launch.h hold.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/numeric/philox.h"

namespace swage::cuda {

cudaError_t Words(int64_t n, const RandomKey& key, uint32_t* y, cudaStream_t stream);
cudaError_t Uniform(int64_t n, const RandomKey& key, float* y, cudaStream_t stream);
cudaError_t Normal(int64_t n, const RandomKey& key, float* y, cudaStream_t stream);
cudaError_t RoundToBf16(int64_t n, const float* x, const RandomKey& key, uint16_t* y,
                        cudaStream_t stream);
struct GridRounding {
  float scale = 1, zero = 0;
  int low = -128, high = 127;
};
cudaError_t RoundToGrid(int64_t n, const float* x, const GridRounding& grid, const RandomKey& key,
                        int8_t* codes, cudaStream_t stream);

struct HadamardTask {
  int64_t rows = 0, columns = 0;
  int block = 0;  // a power of two, at most kHadamardTile
  bool by_rows = true, signs = false, inverse = false;
  float scale = 1;
};
cudaError_t Hadamard(const HadamardTask& task, const RandomKey& key, float* x, cudaStream_t stream);

cudaError_t KeepNOfM(int64_t groups, int n, int m, const float* scores, uint8_t* mask,
                     cudaStream_t stream);
cudaError_t ApplyMask(int64_t n, const uint8_t* mask, float* x, cudaStream_t stream);

struct AdamWConstants {
  float kept = 1, beta1 = 0, one_minus_beta1 = 1, beta2 = 0, one_minus_beta2 = 1;
  float rate = 0, root_correction = 1, eps = 0, gradient_scale = 1;
  bool stochastic = false;
};
cudaError_t AdamW(int64_t n, const AdamWConstants& step, const float* gradient, float* w, float* m,
                  float* v, uint16_t* w_bf16, const RandomKey& key, cudaStream_t stream);
cudaError_t SwiGluBackward(int64_t n, const float* gate, const float* up, const float* dy,
                           float* dgate, float* dup, cudaStream_t stream);
// h[i, j] += alpha * tile[i, j] for the entries of the upper triangle; tile is [rows, columns] at
// (row, column) of h [n, n].
cudaError_t AddTriangle(int64_t n, int64_t row, int64_t rows, int64_t column, int64_t columns,
                        float alpha, const float* tile, float* h, cudaStream_t stream);

}  // namespace swage::cuda
