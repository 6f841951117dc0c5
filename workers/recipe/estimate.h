// What a job will cost, from the configuration alone: shown before submission, and reserved by the
// scheduler.
#pragma once

#include "base/modelfile/model_config.h"
#include "workers/recipe/recipe.h"

namespace swage {

// The shapes that belong to plan.quantized and plan.kept_dense, by full module name.
struct LinearShape {
  std::string module;
  int64_t out = 0, in = 0;
  bool bias = false;
  int64_t input_group = 0;  // linears with the same number, across the model, read the same input
  bool transposed = false, fixed = false;  // as of LinearSpec
  double share = 1;                        // of the tokens that pass through it
};
// All linears in order of the blocks, then those beside them, then lm_head when it is not tied.
std::vector<LinearShape> LinearShapes(const ModelConfig& config);

// artifact_bytes and bits_per_weight are exact: the bytes of all tensors (without the header of the
// safetensors file and without the other files of the folder). peak_host_bytes and seconds are
// estimates; estimate.cc states the formulas.
Estimate EstimateOf(const Plan& plan, const ModelConfig& config);

}  // namespace swage
