// What ops_cuda.cc (compiled by the host compiler) asks of the .cu files: each function enqueues
// its kernels on `stream` and returns the launch's error. Pointers are device memory; sizes were
// checked by the caller and are not zero.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace swage::cuda {

enum class Grid { kInteger, kFp8 };

struct Format {
  Grid grid = Grid::kInteger;
  int bits = 8;
  bool symmetric = true;
};

// quantize.cu. `groups` runs of `group` elements with a scale each; zeros is null when symmetric.
cudaError_t QuantizeGroups(const Format& format, int64_t groups, int64_t group, const float* w,
                           int8_t* codes, float* scales, int8_t* zeros, cudaStream_t stream);
// One scale for all n; `partial` is scratch of 2 * kTensorPartials floats.
constexpr int kTensorPartials = 1024;
cudaError_t QuantizeTensor(const Format& format, int64_t n, const float* w, int8_t* codes,
                           float* scale, int8_t* zero, float* partial, cudaStream_t stream);
// group 0: one scale for all.
cudaError_t Dequantize(const Format& format, int64_t n, int64_t group, const int8_t* codes,
                       const float* scales, const int8_t* zeros, float* w, cudaStream_t stream);
cudaError_t FakeQuantizeRows(const Format& format, int64_t rows, int64_t n, float* x,
                             cudaStream_t stream);

// pack.cu
cudaError_t PackRows(int64_t rows, int64_t n, int bits, const int8_t* codes, uint32_t* words,
                     cudaStream_t stream);
cudaError_t UnpackRows(int64_t rows, int64_t n, int bits, const uint32_t* words, int8_t* codes,
                       cudaStream_t stream);

// cast.cu
enum class Narrow { kF16, kBF16, kFp8 };
cudaError_t Widen(Narrow type, int64_t n, const void* x, float* y, cudaStream_t stream);
cudaError_t NarrowTo(Narrow type, int64_t n, const float* x, void* y, cudaStream_t stream);

// block.cu
cudaError_t RmsNorm(int64_t rows, int64_t h, const float* x, const float* weight, float eps,
                    float* y, cudaStream_t stream);
cudaError_t SwiGlu(int64_t n, const float* gate, const float* up, float* y, cudaStream_t stream);
cudaError_t Add(int64_t n, const float* x, float* y, cudaStream_t stream);
cudaError_t FillRows(int64_t rows, int64_t n, const float* row, float* y,
                     cudaStream_t stream);  // row null: zeros

}  // namespace swage::cuda
