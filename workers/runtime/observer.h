// What wants to see the inside of a forward pass: statistics, calibration.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace swage {

struct Linear;

// Called by the thread that runs the forward, between its steps; an error ends the run.
class ForwardObserver {
 public:
  virtual ~ForwardObserver() = default;
  // x[rows, width], as `linear` is about to read it, before any rounding of activations. Told once for
  // each linear; linears that read the same rows are told of one after the other with the same `x`
  // and `step`, which no other rows of this block and micro-batch have.
  virtual Status SeeInput(const Linear& linear, int64_t step, int64_t rows, int64_t width,
                          const float* x) = 0;
  // Keys after their norm and rotation, and values: [rows, kv_heads * head_dim].
  virtual Status SeeKeysAndValues(int64_t rows, int64_t width, const float* keys,
                                  const float* values) = 0;
  // True: nobody needs the product of `linear` in this run; it is shown and not computed (zeros).
  virtual bool Skips(const Linear&) const { return false; }
};

}  // namespace swage
