// Decodes the blocks of GGUF's quantized types to f32, with the arithmetic of ggml's reference
// (ggml-quants.c) in its order: the results are the same bits. NaN and infinite scales pass
// through.
//
//   DecodeGguf(GgufType::kQ4_K, blocks, /*elements=*/4096, out);
#pragma once

#include <cstdint>
#include <string_view>

#include "base/modelfile/gguf_types.h"

namespace swage {

// Weights can be read from every type but the integers (I8 to I64).
bool DecodesGguf(GgufType type);

// `elements` is a multiple of the type's block; `blocks` holds all of them and may be unaligned.
// CHECK-fails for a type that DecodesGguf denies. Thread-safe.
void DecodeGguf(GgufType type, const char* blocks, int64_t elements, float* out);

namespace gguf_grids {  // generated: codebooks, their entries as digits of `bits` each
struct Grid {
  int bits;           // of one value's index
  int values;         // of one entry
  const int8_t* map;  // index -> value
  std::string_view packed_hex;
};
const Grid& Iq2Xxs();
const Grid& Iq2Xs();
const Grid& Iq2S();
const Grid& Iq3Xxs();
const Grid& Iq3S();
const Grid& Iq1S();
}  // namespace gguf_grids

}  // namespace swage
