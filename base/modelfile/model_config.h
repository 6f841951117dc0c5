// Hugging Face config.json, and the table of architectures. A row of the table says which tensors a model of that
// architecture has; ValidateModel checks a configuration against the tensors before anything is computed.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/modelfile/safetensors.h"
#include "base/status.h"

namespace swage {

struct RopeConfig {
  std::string type = "default";
  double theta = 10000.0;
};

struct ModelConfig {
  std::string architecture;  // "LlamaForCausalLM"
  int64_t hidden = 0, ffn = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, vocab = 0, max_positions = 0;
  double rms_norm_eps = 1e-5;
  bool tie_embeddings = false;
  bool attention_bias = false, mlp_bias = false;
  std::string dtype = "bfloat16";  // of the checkpoint: "dtype" or "torch_dtype"
  RopeConfig rope;                 // from rope_theta/rope_scaling or rope_parameters
  std::optional<int64_t> bos_token_id, eos_token_id;
  std::string raw_json;            // verbatim
  std::string quantization_json;   // text of quantization_config, "" when absent
};

// Errors: CONFIG_NOT_JSON, CONFIG_FIELD_MISSING, CONFIG_FIELD_RANGE, UNKNOWN_ARCHITECTURE (lists what is known),
// UNSUPPORTED_ROPE. Every number is bounded before it is used in arithmetic.
StatusOr<ModelConfig> ParseModelConfig(std::string_view json);

// One linear of a decoder block. `module` is relative to the block: "self_attn.q_proj". Weight [out, in].
struct LinearSpec {
  std::string module;
  int64_t out = 0, in = 0;
  bool bias = false;
  int input_group = 0;  // linears of one block with the same number read the same input (q, k, v: 0; o: 1; ...)
};

struct Architecture {
  std::string_view name;
  std::string_view block_prefix;  // "model.layers."
  std::string_view embedding, final_norm, lm_head;  // tensor module names
  std::function<std::vector<LinearSpec>(const ModelConfig&)> linears;  // of one block
  std::vector<std::string_view> norms;  // of one block: "input_layernorm", "post_attention_layernorm"
};

const std::vector<Architecture>& Architectures();
const Architecture* FindArchitecture(std::string_view name);  // nullptr when unknown

// Full names of all linears: "model.layers.0.self_attn.q_proj", ..., and lm_head when not tied.
std::vector<std::string> LinearModules(const ModelConfig& config);
std::string BlockPrefix(const ModelConfig& config, int64_t layer);  // "model.layers.3."

// Lookup of a tensor's shape and dtype by full name, so that control (headers only) and worker (files) share it.
using TensorLookup = std::function<const TensorInfo*(std::string_view name)>;
// Every tensor of the architecture is there, floating, with the shape that the configuration implies; errors name the
// tensor, what it is and what it should be (TENSOR_MISSING, TENSOR_SHAPE, TENSOR_DTYPE). For dense models.
Status ValidateModel(const ModelConfig& config, const TensorLookup& lookup);

}  // namespace swage
