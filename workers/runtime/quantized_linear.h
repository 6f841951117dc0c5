// A quantized weight matrix in memory, before it is packed for a format on disk.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "kernels/api/ops.h"

namespace swage {

struct QuantizedLinear {
  int64_t out = 0, in = 0;
  int64_t group =
      0;  // columns that share a scale; `in` when the whole row (or the whole tensor) does
  int64_t block_rows = 1;  // rows that share a scale, in blocks
  bool per_tensor = false;
  bool symmetric = true;
  std::string format;         // kernels/numeric id
  std::vector<int8_t> codes;  // [out, in]: integers, or the bits of a float or codebook code
  std::vector<float> scales;  // [ceil(out / block_rows), groups()], or [1]
  std::vector<int8_t> zeros;  // as scales; empty when symmetric
  float global_scale = 0;     // of two-level formats

  int64_t groups() const { return per_tensor ? 1 : (in + group - 1) / group; }  // scales a row
  std::vector<int64_t> scale_shape() const;
  bool two_level() const;
  QuantizeArgs Args();  // pointers into this
};

// Sized and ready for Ops::Quantize. `group_size` counts only for granularity "group" and "block"
// (squares). Errors: GROUP_DOES_NOT_DIVIDE.
StatusOr<QuantizedLinear> MakeQuantizedLinear(const std::string& format,
                                              std::string_view granularity, int64_t group_size,
                                              bool symmetric, int64_t out, int64_t in);

}  // namespace swage
