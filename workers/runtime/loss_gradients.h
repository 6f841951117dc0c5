// The loss of a model on windows of tokens and its gradients, end to end: blocks forward, head,
// blocks backward, embedding. One block of weights is in memory at a time; each tensor's gradient
// is handed to the sink as soon as it is complete and freed afterwards. Besides, memory holds the
// checkpoints: the hidden states that enter each block, CheckpointBytes of them.
//   LossArgs args;
//   args.windows = 4, args.tokens = 128, args.ids = ids.data();
//   SWAGE_ASSIGN_OR_RETURN(LossReport report, LossGradients(ops, *model, args, request, sink));
#pragma once

#include <functional>

#include "workers/runtime/backward.h"
#include "workers/runtime/score.h"

namespace swage {

struct LossArgs {
  int64_t windows = 0, tokens = 0;   // of one window
  const int32_t* ids = nullptr;      // [windows, tokens]
  const int32_t* targets = nullptr;  // [windows, tokens], -1: not counted; null: the next tokens
  Compute compute = Compute::kF32;
  const LinearParameters* parameters = nullptr;  // null: all dense
  // Memory for what blocks compute on the way forward (bf16 only), so that the way back need not
  // compute it again; blocks that find no room are computed twice.
  int64_t keep_bytes = int64_t{512} << 20;
  RunHooks hooks;
};

struct LossReport {
  double loss = 0;  // mean cross-entropy of the counted rows, natural log
  int64_t counted = 0;
};

// Called once for each tensor that was asked for and has a gradient: the head first, then blocks
// from the last to the first, then embeddings (with the head's share where they are tied). The
// tensor may be taken.
using GradientSink = std::function<Status(const std::string& name, GradientTensor* tensor)>;

// Gradients of the mean loss. request.parameters is set here. Errors: UNIMPLEMENTED
// (GRADIENT_UNSUPPORTED), INVALID_ARGUMENT (NO_TARGETS, PARAMETER_UNKNOWN), those of Model::Embed.
StatusOr<LossReport> LossGradients(Ops* ops, const Model& model, const LossArgs& args,
                                   GradientRequest request, const GradientSink& sink);

int64_t CheckpointBytes(const ModelConfig& config, int64_t windows, int64_t tokens);

// The next token of each row, -1 for the last of a window.
std::vector<int32_t> NextTokens(int64_t windows, int64_t tokens, const int32_t* ids);

// Gradients of embeddings, learned positions and the projection behind a narrow embedding, from
// that of what Model::Embed returned; d_hidden is overwritten (embedding_gradients.cc).
Status AddEmbeddingGradients(Ops* ops, const Model& model, const LossArgs& args,
                             const GradientRequest& request, float* d_hidden, Gradients* out);

}  // namespace swage
