// What ops_cuda.cc (compiled by the host compiler) asks of the .cu files: each function enqueues
// its kernels on `stream` and returns the launch's error. Pointers are device memory; sizes were
// checked by the caller and are not zero.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/numeric/number_codec.h"
#include "kernels/numeric/pack_stream.h"
#include "kernels/numeric/scale_grid.h"

namespace swage::cuda {

// A matrix and its quantized form; what a format lacks is null.
struct Matrix {
  NumberCodec codec;
  ScaleGrid grid;
  const float* w = nullptr;
  const float* importance = nullptr;
  int8_t* codes = nullptr;
  float* scales = nullptr;
  int8_t* zeros = nullptr;
  float* minima = nullptr;
  float* global = nullptr;  // of two-level formats
};

// What of it Quantize makes before the codes; the rest is read.
struct QuantizeSteps {
  bool make_global = false, make_scales = true;
};

// quantize.cu; `partial` is scratch of 2 * kTensorPartials floats. A tensor-wide scale by another
// rule than kAbsMax is searched by one block.
constexpr int kTensorPartials = 1024;
cudaError_t Quantize(const Matrix& m, const QuantizeSteps& steps, float* partial,
                     cudaStream_t stream);
cudaError_t Dequantize(const Matrix& m, float* w, cudaStream_t stream);
cudaError_t FakeQuantize(const NumberCodec& codec, int64_t groups, int64_t group, float global,
                         float static_scale, float* x, cudaStream_t stream);

// pack.cu; PackWords is PackCodes of kWords for words at whole addresses, a word a thread.
cudaError_t PackWords(int64_t rows, int64_t n, int bits, const int8_t* codes, uint32_t* words,
                      cudaStream_t stream);
cudaError_t PackCodes(int64_t rows, int64_t n, CodePacking packing, int bits, const int8_t* codes,
                      uint8_t* bytes, cudaStream_t stream);
cudaError_t UnpackCodes(int64_t rows, int64_t n, CodePacking packing, int bits,
                        const uint8_t* bytes, int8_t* codes, cudaStream_t stream);

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
