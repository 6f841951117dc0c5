// Runs token windows through models, block by block: one block of weights resident at a time,
// hidden states of as many windows as fit a fixed budget, logits in chunks of rows. Peak memory
// does not grow with the text.
#pragma once

#include <functional>
#include <vector>

#include "workers/runtime/forward.h"
#include "workers/runtime/windows.h"

namespace swage {

struct RunHooks {
  // Asked between micro-batches; an error stops the run and is returned. May be null.
  std::function<Status()> check;
  // After a part of the work: done / total so far, in token-blocks. May be null.
  std::function<void(double done, double total)> progress;
};

struct ModelScore {
  double nll_sum = 0;  // natural log, over the scored tokens, f64
};

struct Score {
  ModelScore model, reference;
  int64_t scored = 0;
  // Of `model` against `reference`, when there is one: mean over scored rows of KL(reference ||
  // model), and the share of rows with the same most likely token.
  double kl = 0, top1_agreement = 0;
};

// `reference` may be null. Both models must have the same vocabulary.
// Protocol: f32 log-softmax over the whole vocabulary, summed in f64 in the order of the text.
StatusOr<Score> ScoreWindows(Ops* ops, const Model& model, const Model* reference,
                             const WindowSet& windows, Compute compute, const RunHooks& hooks);

// Logits that follow each of `ids` (one window): rows are handed over in order, `count` rows at a
// time.
using LogitsSink = std::function<Status(int64_t count, const float* logits)>;
Status RunLogits(Ops* ops, const Model& model, const std::vector<int32_t>& ids, Compute compute,
                 const RunHooks& hooks, const LogitsSink& sink);

// Bytes that ScoreWindows holds at most, to be reserved before it runs.
int64_t ScoreBytes(const Model& model, bool has_reference, const WindowSet& windows,
                   Compute compute);

// How many windows go through a block at a time.
int64_t WindowsPerMicroBatch(const ModelConfig& config, int64_t tokens);
// Part of the numerics class: sizes of the micro-batches that this configuration is run in.
std::string BatchingClass(const ModelConfig& config, int64_t window_tokens);

}  // namespace swage
