// A model's head (final norm, lm_head) applied to chunks of rows. A head that is small beside a block
// stays resident; a larger one is read in slices of its rows, once for every chunk, each slice's
// pages dropped behind and the next one's fetched ahead. Which of the two depends on the
// configuration only, so that results do not depend on memory.
#pragma once

#include "workers/runtime/forward.h"

namespace swage {

// For one thread. `ops` and `model` must outlive it.
class HeadStream {
 public:
  HeadStream(Ops* ops, const Model& model, Compute compute)
      : ops_(ops), model_(model), compute_(compute) {}
  Status Load();
  // logits[rows, vocab] of hidden[rows, H].
  Status Run(Forward* forward, int64_t rows, const float* hidden, float* logits);

  // Whether it is read in slices.
  static bool Sliced(const Model& model);
  // Bytes that Load and Run(rows) hold beside the logits.
  static int64_t Bytes(const Model& model, Compute compute, int64_t rows);

 private:
  Status RunSlices(Forward* forward, int64_t rows, const float* hidden, float* logits);

  Ops* const ops_;
  const Model& model_;
  const Compute compute_;
  Head head_;
  Buffer<float> part_;
};

}  // namespace swage
