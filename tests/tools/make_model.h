// Random-weight Llama models of a given shape, for tests of speed, memory and survival (their perplexity means nothing).
// Weights are normal(0, 0.02), norms 1; the same options give the same bytes. Tokenizer files are copied from a folder.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace swage {

struct MakeModelOptions {
  int64_t hidden = 896, ffn = 4864, layers = 4, heads = 14, kv_heads = 2, vocab = 4096, positions = 2048;
  uint64_t seed = 1;
  std::string tokenizer_dir = "tests/data/models/classics-6m";
};

// Makes `dir` with config.json, model.safetensors (bf16, tied embeddings) and the tokenizer's files.
Status MakeModel(const std::string& dir, const MakeModelOptions& options);

}  // namespace swage
