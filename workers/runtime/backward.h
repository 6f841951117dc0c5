// Reverse mode over one decoder block: its inside is computed anew from the hidden states that
// entered it (Chen et al. 2016, arXiv 1604.06174), then differentiated. Between blocks nothing is
// kept but hidden states, so that a model is differentiated with one block of weights in memory
// (loss_gradients.h does that end to end).
//   Backward backward(ops, model->config());
//   SWAGE_RETURN_IF_ERROR(backward.RunBlock(block, windows, tokens, hidden_in, d_hidden, request,
//                                           &gradients));
// What cannot be differentiated is refused: UNIMPLEMENTED (GRADIENT_UNSUPPORTED). Not thread-safe.
#pragma once

#include <string>
#include <vector>

#include "workers/runtime/forward.h"
#include "workers/runtime/gradients.h"

namespace swage {

// Working memory of one micro-batch, reused from block to block. `config` must outlive it.
class Backward {
 public:
  Backward(Ops* ops, const ModelConfig& config);

  // hidden_in[windows * tokens, H]: what the block read. d_hidden: the loss by what it wrote, in;
  // the loss by what it read, out. `request` counts with the block's full names; gradients are
  // added to *out, so that micro-batches add up. `kept`: what Forward::Keep left of the same rows,
  // which then is not computed anew; null: nothing.
  Status RunBlock(const Block& block, int64_t windows, int64_t tokens, const float* hidden_in,
                  float* d_hidden, const GradientRequest& request, Gradients* out,
                  const BlockTrace* kept = nullptr);

  // Final norm, lm_head and the loss: sum over rows of scale * cross-entropy, rows of target -1
  // left out, is added to *loss. d_hidden[rows, H] is written.
  Status RunHead(const Head& head, int64_t rows, const float* hidden, const int32_t* targets,
                 double scale, const GradientRequest& request, float* d_hidden, double* loss,
                 Gradients* out);

  // Whether RunBlock takes what Forward::Keep leaves of this block.
  static bool CanTakeKept(Ops* ops, const ModelConfig& config, const Block& block,
                          const GradientRequest& request);
  // Bytes of working memory for one row, to bound micro-batches.
  static int64_t BytesPerRow(const ModelConfig& config);

 private:
  // Rows that enter or leave linears, cast at most once.
  struct Rows {
    const float* x = nullptr;
    int64_t rows = 0, width = 0;
    Buffer<uint16_t>* narrow = nullptr;
    bool cast = false;
  };
  // backward_layers.cc
  Rows Inputs(const float* x, int64_t rows, int64_t width);
  // What is in bf16 already: its f32 form is nowhere.
  static Rows NarrowRows(Buffer<uint16_t>* x, int64_t rows, int64_t width) {
    return {nullptr, rows, width, x, true};
  }
  // Of x[rows, H] before a sublayer: in bf16 in `narrow` while narrow_, else in `wide`, or x itself.
  Status NormedRows(const Norm& norm, int64_t rows, const float* x, Buffer<float>* wide,
                    Buffer<uint16_t>* narrow, Rows* input);
  Rows OutputGradients(const float* x, int64_t rows, int64_t width);
  Status Narrow(Rows* rows);

  Status Multiply(const Part& part, Rows* input, void* y, DType type = DType::kF32,
                  bool add = false);
  // dx = dy W, or += with `add`; dx may be null. Parameters and bias as asked for.
  Status MultiplyBackward(const Part& part, Rows* input, Rows* dy, float* dx, bool add);
  Status BiasBackward(const Part& part, const std::string& module, const Rows& dy);
  Status AddMoments(const Part& part, const std::string& module, const Rows& input, const Rows& dy);
  Status Normalize(const Norm& norm, int64_t rows, int64_t width, const float* x, float* y);
  // dx may be dy.
  Status NormBackward(const Norm& norm, const std::string& module, int64_t rows, int64_t width,
                      const float* x, const float* dy, float* dx);

  static Status NoGradient(std::string_view what);
  Status CheckSupported(const Block& block) const;
  Status TraceAttention(const Block& block, int64_t windows, int64_t tokens, const float* hidden);
  Status ProjectAndRotate(const Block& block, int64_t tokens, Rows* input);
  Status AttentionBackward(const Block& block, int64_t windows, int64_t tokens, const float* hidden,
                           float* d_hidden);
  Status ProjectBackward(const Block& block, int64_t tokens, Rows* input, float* d_input);
  // d_out of the sublayer's output from that of the residual sum; *d_out may become d_hidden.
  Status UnjoinBackward(const Block& block, std::string_view norm, std::string_view post_norm,
                        int64_t rows, const float* joined, const float* output, float* d_hidden,
                        const float** d_out);
  Status FeedForwardBackward(const Block& block, int64_t rows, float* d_hidden);
  Status NarrowFeedBackward(const Block& block, Rows* input, const float* d_hidden);
  Status DenseFeedBackward(const Block& block, int64_t rows, const float* x, float* d_hidden);
  Status TraceFeed(const FeedParts& parts, Rows* input);  // into gate_, up_, activated_
  Status FeedBackward(const FeedParts& parts, Rows* input, const float* d_out, float* d_input);

  // backward_experts.cc: d_input[rows, H] += through router and experts.
  Status ExpertsBackward(const Block& block, int64_t rows, const float* x, const float* d_out,
                         float* d_input);
  struct Routed {
    std::vector<int32_t> tokens;  // rows that chose the expert
    std::vector<int64_t> places;  // where their weights lie in [rows, k]
    std::vector<float> weights;
  };
  Status ExpertBackward(const Block& block, int64_t expert, const Routed& routed, int64_t rows,
                        const float* x, const float* d_out, float* d_weights, float* d_input);
  Status SharedExpertBackward(const Block& block, int64_t rows, const float* x, const float* d_out,
                              float* d_input);

  Status HeadChunk(const Head& head, int64_t rows, const float* hidden, const int32_t* targets,
                   double scale, float* d_hidden, double* loss);

  // Adds to *loss; *d_logits: gradients of what `part` makes of *input.
  Status LossBackward(const Part& part, Rows* input, const int32_t* targets, double scale,
                      double* loss, Rows* d_logits);

  float* Slot(const std::string& name, int64_t rows, int64_t columns) {
    return gradients_->Slot(*request_, name, rows, columns);
  }
  const float* Mixed() const { return kept_ == nullptr ? mixed_.data() : kept_->mixed.data(); }
  bool NeedsOutput(std::string_view post_norm) const {
    return !post_norm.empty() || !config_.norm_before;
  }

  Ops* ops_;
  const ModelConfig& config_;
  const Architecture& row_;
  RopeTables ropes_;

  // Of the call in progress.
  bool narrow_ = false;  // nobody asks for the f32 form of what linears read
  const BlockTrace* kept_ = nullptr;
  std::string prefix_;
  const GradientRequest* request_ = nullptr;
  Gradients* gradients_ = nullptr;

  // What the block computed, and gradients of it.
  Buffer<float> normed_, q_raw_, k_raw_, q_, k_, v_, mixed_, logsumexp_, projected_, joined_,
      middle_, ffn_normed_, gate_, up_, activated_, fed_, rejoined_;
  Buffer<float> dq_, dk_, dv_, d_mixed_, d_out_, d_input_, d_gate_, d_activated_, unused_, ones_;
  Buffer<float> routed_, gathered_, expert_out_, d_gathered_, d_routed_, shared_weight_;
  Buffer<float> logits_, d_logits_, head_input_, d_head_;
  std::vector<float> losses_;
  Buffer<uint16_t> narrow_in_, narrow_out_;
  Buffer<uint16_t> narrow_normed_, narrow_ffn_, narrow_gate_, narrow_up_, narrow_activated_,
      d_narrow_gate_, d_narrow_up_;
};

}  // namespace swage
