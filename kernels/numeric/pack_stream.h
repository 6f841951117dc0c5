// Codes packed into bytes, row by row; each row begins at a byte (kWords: at a 32-bit word).
//   kWords   little-endian bit stream of code + 2^(bits-1): signed integers of 1..8 bits, padded to
//            whole words (compressed-tensors' pack-quantized)
//   kBits    little-endian bit stream of the low `bits` of the code: fp4, NF4, codebooks. With 4
//   bits
//            the low nibble is the even element (compressed-tensors' nvfp4 and mxfp4)
//   kTrits   five codes of -1, 0, 1 to a byte: sum of (code + 1) * 3^i, 1.6 bits each
// Pure functions, usable on the host and in CUDA kernels.
#pragma once

#include "kernels/numeric/int_quant.h"

namespace swage {

enum class CodePacking : uint8_t { kWords, kBits, kTrits };

SWAGE_HD int64_t PackedRowBytes(CodePacking packing, int bits, int64_t n) {
  if (packing == CodePacking::kTrits) return (n + 4) / 5;
  return packing == CodePacking::kWords ? 4 * PackedWords(n, bits) : (n * bits + 7) / 8;
}

// What is XORed to a code of `bits` before it enters the stream.
SWAGE_HD uint32_t CodeFlip(CodePacking packing, int bits) {
  return packing == CodePacking::kWords ? 1u << (bits - 1) : 0u;
}

SWAGE_HD uint8_t PackedTrits(const int8_t* codes, int64_t n, int64_t index) {
  uint32_t byte = 0;
  for (int64_t i = index * 5 + 4; i >= index * 5; --i) {
    byte = byte * 3 + (i < n ? static_cast<uint32_t>(codes[i] + 1) : 0u);
  }
  return static_cast<uint8_t>(byte);
}

// Byte `index` of the packed row of n codes.
SWAGE_HD uint8_t PackedByte(CodePacking packing, int bits, const int8_t* codes, int64_t n,
                            int64_t index) {
  if (packing == CodePacking::kTrits) return PackedTrits(codes, n, index);
  const int64_t begin = index * 8;  // first bit of this byte
  const uint32_t mask = (1u << bits) - 1u, flip = CodeFlip(packing, bits);
  uint32_t byte = 0;
  for (int64_t i = begin / bits; i < n && i * bits < begin + 8; ++i) {
    const uint32_t code = (static_cast<uint32_t>(static_cast<int32_t>(codes[i])) ^ flip) & mask;
    const int64_t at = i * bits - begin;
    byte |= at >= 0 ? code << at : code >> -at;
  }
  return static_cast<uint8_t>(byte);
}

// Code i of a packed row; of kBits: 0 .. 2^bits - 1.
SWAGE_HD int8_t CodeOfStream(CodePacking packing, int bits, const uint8_t* bytes, int64_t i) {
  if (packing == CodePacking::kTrits) {
    uint32_t digits = bytes[i / 5];
    for (int64_t skip = i % 5; skip > 0; --skip) digits /= 3;
    return static_cast<int8_t>(static_cast<int>(digits % 3) - 1);
  }
  const int64_t bit = i * bits;
  const int shift = static_cast<int>(bit % 8);
  uint32_t code = static_cast<uint32_t>(bytes[bit / 8]) >> shift;
  if (shift + bits > 8) code |= static_cast<uint32_t>(bytes[bit / 8 + 1]) << (8 - shift);
  code &= (1u << bits) - 1u;
  if (packing == CodePacking::kBits) return static_cast<int8_t>(code);
  return static_cast<int8_t>(static_cast<int32_t>(code) - (1 << (bits - 1)));
}

}  // namespace swage
