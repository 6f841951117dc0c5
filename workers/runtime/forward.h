// One decoder block of the Llama family, run on rows of hidden states: RMSNorm, rotary causal
// attention with grouped queries, SwiGLU (Touvron et al. 2023, "LLaMA"; Su et al. 2021, RoFormer;
// Shazeer 2020, GLU variants).
#pragma once

#include <vector>

#include "workers/runtime/model.h"

namespace swage {

// Working memory of one micro-batch, reused from block to block.
class Forward {
 public:
  Forward(Ops* ops, const ModelConfig& config);

  // hidden[windows * tokens, H], in place. Rows of a window are consecutive; positions start at 0
  // in each.
  Status RunBlock(const Block& block, int64_t windows, int64_t tokens, float* hidden);
  // Final norm and lm_head: logits[rows, vocab].
  Status RunHead(const Head& head, int64_t rows, const float* hidden, float* logits);

  // Bytes of working memory for one row, to bound micro-batches.
  static int64_t BytesPerRow(const ModelConfig& config);

 private:
  // The input of several linears, rounded or cast at most once for each form that they ask for.
  struct Input {
    const float* x = nullptr;
    int64_t rows = 0, width = 0;
    std::string rounded_format;
    bool cast = false;
  };
  Status Multiply(const Linear& linear, Input* input, float* y);
  Status Attend(const Block& block, int64_t windows, int64_t tokens, float* hidden);
  Status FeedForward(const Block& block, int64_t rows, float* hidden);

  Ops* ops_;
  const ModelConfig& config_;
  std::vector<float> inv_freq_;
  Buffer<float> normed_, q_, k_, v_, mixed_, gate_, up_, rounded_;
  Buffer<uint16_t> cast_;
};

}  // namespace swage
