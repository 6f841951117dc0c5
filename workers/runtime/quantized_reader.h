// Reads a linear stored by compressed-tensors (layouts: reference/quantize-prune.md 1.8): codes,
// scales, zero points.
#pragma once

#include <string>

#include "workers/runtime/quantization_config.h"
#include "workers/runtime/quantized_linear.h"
#include "workers/runtime/tensor_source.h"

namespace swage {

// Rows [begin, begin + count) of a linear [out, in]; `begin` is a multiple of QuantizedRowStep.
// `module` is the full name without ".weight". Every shape and dtype is checked against [out, in]
// and the scheme. Pages of a mapped file are dropped once they are read. Errors: TENSOR_MISSING,
// TENSOR_SHAPE, TENSOR_DTYPE, GROUP_DOES_NOT_DIVIDE, SCALE_IS_NAN.
StatusOr<QuantizedLinear> ReadQuantizedRows(Ops* ops, const TensorSource& source,
                                            const std::string& module, const LinearScheme& scheme,
                                            int64_t out, int64_t in, int64_t begin, int64_t count);
int64_t QuantizedRowStep(const LinearScheme& scheme);

}  // namespace swage
