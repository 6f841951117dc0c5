// One decoder block, run on rows of hidden states as its row of the architecture table says: norms
// before, after or around attention and feed-forward; rotary or learned positions; causal attention
// with grouped queries, sliding windows and soft caps; gated or plain feed-forward, or experts
// (Vaswani et al. 2017; Shazeer 2020, GLU variants; Fedus et al. 2021, Switch Transformers).
#pragma once

#include <optional>
#include <vector>

#include "workers/runtime/block_parts.h"
#include "workers/runtime/observer.h"

namespace swage {

// Working memory of one micro-batch, reused from block to block. `config` must outlive it.
// What a forward pass of one block and micro-batch leaves to its backward (backward.h).
struct BlockTrace {
  Buffer<float> mixed, logsumexp;  // attention's
  Buffer<uint16_t> gate, up;       // before the activation
};

class Forward {
 public:
  Forward(Ops* ops, const ModelConfig& config);

  // Shows it the inside of every block from here on; null: nobody looks. Must outlive its use.
  void Observe(ForwardObserver* observer) { observer_ = observer; }

  // Fills *trace while it runs blocks that CanKeep, from here on; null: no more.
  void Keep(BlockTrace* trace) { trace_ = trace; }
  static bool CanKeep(Ops* ops, const ModelConfig& config, const Block& block);

  // hidden[windows * tokens, H], in place. Rows of a window are consecutive; positions start at 0
  // in each.
  Status RunBlock(const Block& block, int64_t windows, int64_t tokens, float* hidden);
  // Final norm and lm_head, or some of its rows: logits[rows, head.linear.out].
  // Null logits where the observer skips the head.
  Status RunHead(const Head& head, int64_t rows, const float* hidden, float* logits);

  // Bytes of working memory for one row, to bound micro-batches.
  static int64_t BytesPerRow(const ModelConfig& config);

 private:
  // The input of several linears, rounded or cast at most once for each form that they ask for.
  struct Input {
    const float* x = nullptr;
    int64_t rows = 0, width = 0;
    std::string rounded_format;
    bool cast = false;  // cast_ holds it; x is null where nothing else does
    int64_t observed_rows = -1;  // the first so many are real, those behind are padding; -1: all
    int64_t step = -1;           // told to the observer; -1: not yet
  };

  struct Output {
    void* y = nullptr;
    DType type = DType::kF32;
    bool add = false;  // to what is there; the linear has no bias
  };

  Status Multiply(const Part& part, Input* input, Output output);
  Status Multiply(const Part& part, Input* input, float* y) {
    return Multiply(part, input, Output{y});
  }
  Status Multiply(const Linear& linear, Input* input, Output output);
  Status Multiply(const Linear& linear, Input* input, float* y) {
    return Multiply(linear, input, Output{y});
  }
  // Of x[rows, H], which is the input itself where the norm stands behind the sublayer.
  Status NormedInput(const Norm& norm, int64_t rows, const float* x, bool narrow, Input* input);
  Status Normalize(const Norm& norm, int64_t rows, int64_t width, const float* x, float* y);
  Status Attend(const Block& block, int64_t windows, int64_t tokens, float* hidden);
  Status Project(const Block& block, int64_t rows, Input* input);  // into q_, k_, v_
  Status Rotate(const Block& block, int64_t rows, int64_t tokens);
  Status FeedForward(const Block& block, int64_t rows, float* hidden);
  Status FeedNarrow(const Block& block, int64_t rows, float* hidden);
  // down(act(gate(x)) * up(x)).
  Status Feed(const FeedParts& parts, Input* input, Output output);
  // Whether a linear's product may be added to the residual at once.
  bool AddsAtOnce(const Linear& linear, std::string_view after) const {
    return after.empty() && config_.norm_before && linear.bias.size() == 0;
  }
  // Adds the residual, with the norms that stand around it.
  Status Join(const Block& block, std::string_view before, std::string_view after, int64_t rows,
              float* hidden);

  // experts.cc: the sum over the chosen experts of x[rows, H] into y.
  Status RunExperts(const Block& block, int64_t rows, const float* x, float* y);
  Status RunExpert(const Block& block, int64_t expert, const std::vector<int32_t>& tokens,
                   const std::vector<float>& weights, int64_t rows, const float* x, float* y);
  Status RunSharedExpert(const Block& block, int64_t rows, const float* x, float* y);

  Ops* ops_;
  const ModelConfig& config_;
  const Architecture& row_;
  ForwardObserver* observer_ = nullptr;
  BlockTrace* trace_ = nullptr;
  bool narrow_ = false;  // the block that is being run: CanRunNarrow, and nobody looks
  int64_t steps_ = 0;
  RopeTables ropes_;
  Buffer<float> normed_, q_, k_, v_, mixed_, gate_, up_, rounded_, out_;
  Buffer<float> routed_, gathered_, expert_out_;
  std::vector<int32_t> chosen_;
  std::vector<float> weights_;
  Buffer<uint16_t> cast_, wide_;
};

}  // namespace swage
