// A GGUF file as a model in Hugging Face's terms: a config.json made from its metadata, and its
// tensors under the names, and in the order of rows, that the architectures' tables expect.
// Quantized tensors are decoded to f32 when they are asked for.
//
//   SWAGE_ASSIGN_OR_RETURN(GgufModel gguf, OpenGguf("model.Q4_K_M.gguf"));
//   SWAGE_ASSIGN_OR_RETURN(ModelConfig config, ParseModelConfig(gguf.config_json));
#pragma once

#include <memory>
#include <string>

#include "base/env.h"
#include "base/modelfile/gguf.h"
#include "workers/runtime/tensor_source.h"

namespace swage {

struct GgufModel {
  std::string config_json;
  std::shared_ptr<TensorSource> tensors;
};

// Architectures llama (with Mistral's models), qwen2 and qwen3. Errors: those of ParseGguf;
// UNKNOWN_ARCHITECTURE, GGUF_METADATA (a key is missing or senseless), UNSUPPORTED_ROPE, GGUF_TYPE
// (integer weights), GGUF_TENSOR (a tensor of another name: the file says more than this model).
StatusOr<GgufModel> OpenGguf(const std::string& path);

}  // namespace swage
