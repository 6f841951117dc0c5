// The compressed-tensors format (github.com/vllm-project/compressed-tensors, 0.19), which
// transformers and vLLM load. Tensors of a linear, beside weight_scale (F32 unless said otherwise):
//   pack-quantized         integers of 2..8 bits (and ternary as 2 bits), weights only:
//   weight_packed
//                          I32, weight_shape I64[2], weight_zero_point (I32 packed along the rows)
//                          when asymmetric
//   int-quantized          integers, activations rounded: weight I8, weight_zero_point I8
//   float-quantized        fp8_e4m3: weight F8_E4M3; scales [1], [out, 1] or of blocks
//   mxfp8-quantized        weight F8_E4M3, weight_scale U8 (E8M0)
//   mxfp4-pack-quantized   weight_packed U8 (low nibble first), weight_scale U8 (E8M0)
//   nvfp4-pack-quantized   weight_packed U8, weight_scale F8_E4M3, weight_global_scale F32[1]
// config.json gets the smallest quantization_config that loads: readers forbid keys that they do
// not know.
#pragma once

#include "workers/exports/exporter.h"

namespace swage {

const Exporter* CompressedTensorsExporter();
std::string_view CompressedTensorsFormat(const LinearPlan& plan);  // "pack-quantized", ...

}  // namespace swage
