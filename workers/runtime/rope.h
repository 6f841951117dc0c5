// Frequencies of rotary embeddings, as transformers 5.17 computes them (modeling_rope_utils.py),
// in f32 as it does: default and linear; dynamic NTK, whose base grows with the window; llama3 (by
// wavelength); yarn (Peng et al. 2023, arXiv 2309.00071); longrope (Ding et al. 2024, arXiv
// 2402.13753), which has one set of factors for windows within the first training's length and
// another beyond it.
#pragma once

#include <cstdint>
#include <vector>

#include "base/modelfile/model_config.h"

namespace swage {

struct RopeTable {
  std::vector<float> inv_freq;  // [rotary_dim / 2]
  float scale = 1;              // of cosines and sines
};

RopeTable MakeRopeTable(const RopeConfig& rope, int64_t window_tokens);
// False when one table serves all windows.
bool RopeDependsOnWindow(const RopeConfig& rope);

}  // namespace swage
