// The compressed-tensors format (github.com/vllm-project/compressed-tensors, 0.19), which
// transformers and vLLM load:
//   integers, weights only         pack-quantized   weight_packed I32, weight_scale F32,
//   weight_shape I64[2],
//                                                   weight_zero_point (I32 packed along the rows)
//                                                   when asymmetric
//   integers, activations rounded  int-quantized    weight I8, weight_scale F32, weight_zero_point
//   I8 fp8                            float-quantized  weight F8_E4M3, weight_scale F32
// config.json gets the smallest quantization_config that loads: readers forbid keys that they do
// not know.
#pragma once

#include "workers/exports/exporter.h"

namespace swage {

const Exporter* CompressedTensorsExporter();
std::string_view CompressedTensorsFormat(const LinearPlan& plan);  // "pack-quantized", ...

}  // namespace swage
