// Ops that write what the next bf16 product reads: the same values as the f32 op followed by a cast to
// nearest even, without the trip through memory. Part of Ops (kernels/api/ops.h), whose rules hold;
// an implementation offers all of them or none (Ops::narrow() is null).
#pragma once

#include <cstdint>

#include "base/status.h"

namespace swage {

class NarrowOps {
 public:
  virtual ~NarrowOps() = default;
  virtual Status RmsNorm(int64_t rows, int64_t h, const float* x, const float* weight, float eps,
                         uint16_t* y) = 0;
  // y = silu(gate) * up
  virtual Status SwiGlu(int64_t n, const float* gate, const float* up, uint16_t* y) = 0;
  // Of gate and up that were kept in bf16. Any pointer may be another's: values are read first.
  virtual Status SwiGlu(int64_t n, const uint16_t* gate, const uint16_t* up, uint16_t* y) = 0;
  virtual Status SwiGluBackward(int64_t n, const uint16_t* gate, const uint16_t* up,
                                const float* dy, uint16_t* dgate, uint16_t* dup) = 0;
  // nll as CrossEntropy's, of rows with a target; 0 where it is -1 (padding). dlogits as
  // CrossEntropyBackward's.
  virtual Status CrossEntropyBackward(int64_t rows, int64_t vocab, const float* logits,
                                      const int32_t* target, float scale, float* nll,
                                      uint16_t* dlogits) = 0;
};

}  // namespace swage
