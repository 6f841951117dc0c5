#include "kernels/cuda/index.h"
#include "kernels/cuda/launch.h"
#include "kernels/numeric/int_quant.h"

namespace swage::cuda {
namespace {

// One thread a word.
__global__ void PackKernel(int64_t words_in_all, int64_t words_per_row, int64_t n, int bits,
                           const int8_t* codes, uint32_t* words) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < words_in_all;
       i += stride) {
    const WordPlace place = WordPlaceOf(i, words_per_row);
    words[i] = PackedWord(codes + place.row * n, n, bits, place.word);
  }
}

// One thread a code.
__global__ void UnpackKernel(int64_t codes_in_all, int64_t words_per_row, int64_t n, int bits,
                             const uint32_t* words, int8_t* codes) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < codes_in_all;
       i += stride) {
    codes[i] = UnpackedCode(words + i / n * words_per_row, bits, i % n);
  }
}

}  // namespace

cudaError_t PackRows(int64_t rows, int64_t n, int bits, const int8_t* codes, uint32_t* words,
                     cudaStream_t stream) {
  const int64_t width = PackedWords(n, bits);
  PackKernel<<<static_cast<unsigned>(BlocksFor(rows * width, kThreads)), kThreads, 0, stream>>>(
      rows * width, width, n, bits, codes, words);
  return cudaGetLastError();
}

cudaError_t UnpackRows(int64_t rows, int64_t n, int bits, const uint32_t* words, int8_t* codes,
                       cudaStream_t stream) {
  UnpackKernel<<<static_cast<unsigned>(BlocksFor(rows * n, kThreads)), kThreads, 0, stream>>>(
      rows * n, PackedWords(n, bits), n, bits, words, codes);
  return cudaGetLastError();
}

}  // namespace swage::cuda
