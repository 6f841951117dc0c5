// The one place that multiplies dimensions from outside.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/modelfile/dtype.h"

namespace swage {

// Bytes of a dense tensor; nothing when a dimension is negative or the product is 2^63 or more (a dimension of 0 counts
// as 1 in that check, so that no partial product of an accepted shape overflows either).
std::optional<uint64_t> TensorBytes(DType dtype, const std::vector<int64_t>& shape);

}  // namespace swage
