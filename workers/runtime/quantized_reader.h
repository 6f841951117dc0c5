// Reads a linear stored by compressed-tensors (layouts: reference/quantize-prune.md 1.8): codes,
// scales, zero points.
#pragma once

#include <string>

#include "workers/runtime/quantization_config.h"
#include "workers/runtime/quantized_linear.h"
#include "workers/runtime/tensor_source.h"

namespace swage {

// `module` is the full name without ".weight". Every shape and dtype is checked against [out, in]
// and the scheme. Errors: TENSOR_MISSING, TENSOR_SHAPE, TENSOR_DTYPE, GROUP_DOES_NOT_DIVIDE,
// SCALE_IS_NAN.
StatusOr<QuantizedLinear> ReadQuantizedLinear(Ops* ops, const TensorSource& source,
                                              const std::string& module, const LinearScheme& scheme,
                                              int64_t out, int64_t in);

}  // namespace swage
