#include "kernels/cuda/index.h"
#include "kernels/cuda/launch.h"

namespace swage::cuda {
namespace {

// One thread a word.
__global__ void PackWordsKernel(int64_t words_in_all, int64_t words_per_row, int64_t n, int bits,
                                const int8_t* codes, uint32_t* words) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < words_in_all;
       i += stride) {
    const PlaceInRow place = PlaceOf(i, words_per_row);
    words[i] = PackedWord(codes + place.row * n, n, bits, place.index);
  }
}

// One thread a byte.
__global__ void PackBytesKernel(int64_t bytes_in_all, int64_t bytes_per_row, int64_t n,
                                CodePacking packing, int bits, const int8_t* codes,
                                uint8_t* bytes) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < bytes_in_all;
       i += stride) {
    const PlaceInRow place = PlaceOf(i, bytes_per_row);
    bytes[i] = PackedByte(packing, bits, codes + place.row * n, n, place.index);
  }
}

// One thread a code.
__global__ void UnpackKernel(int64_t codes_in_all, int64_t bytes_per_row, int64_t n,
                             CodePacking packing, int bits, const uint8_t* bytes, int8_t* codes) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < codes_in_all;
       i += stride) {
    const PlaceInRow place = PlaceOf(i, n);
    codes[i] = CodeOfStream(packing, bits, bytes + place.row * bytes_per_row, place.index);
  }
}

unsigned Blocks(int64_t items) { return static_cast<unsigned>(BlocksFor(items, kThreads)); }

}  // namespace

cudaError_t PackWords(int64_t rows, int64_t n, int bits, const int8_t* codes, uint32_t* words,
                      cudaStream_t stream) {
  const int64_t width = PackedWords(n, bits);
  PackWordsKernel<<<Blocks(rows * width), kThreads, 0, stream>>>(rows * width, width, n, bits,
                                                                 codes, words);
  return cudaGetLastError();
}

cudaError_t PackCodes(int64_t rows, int64_t n, CodePacking packing, int bits, const int8_t* codes,
                      uint8_t* bytes, cudaStream_t stream) {
  const int64_t width = PackedRowBytes(packing, bits, n);
  PackBytesKernel<<<Blocks(rows * width), kThreads, 0, stream>>>(rows * width, width, n, packing,
                                                                 bits, codes, bytes);
  return cudaGetLastError();
}

cudaError_t UnpackCodes(int64_t rows, int64_t n, CodePacking packing, int bits,
                        const uint8_t* bytes, int8_t* codes, cudaStream_t stream) {
  UnpackKernel<<<Blocks(rows * n), kThreads, 0, stream>>>(
      rows * n, PackedRowBytes(packing, bits, n), n, packing, bits, bytes, codes);
  return cudaGetLastError();
}

}  // namespace swage::cuda
