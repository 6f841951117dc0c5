// Hugging Face config.json, read with the help of the table of architectures
// (base/modelfile/architecture.h): each row says how its architecture names and defaults things,
// so that everything behind this header speaks of one ModelConfig. ValidateModel checks a
// configuration against the tensors before anything is computed.
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

// Rotary embeddings (Su et al. 2021, RoFormer) and how their frequencies are stretched beyond the
// length that a model was trained with. workers/runtime/rope.h turns this into frequencies.
struct RopeConfig {
  std::string type = "default";  // default, linear, dynamic, llama3, yarn, longrope
  double theta = 10000.0;
  int64_t rotary_dim = 0;          // channels of each head that turn; even, at most head_dim
  double factor = 1.0;             // linear, dynamic, llama3, yarn; longrope: of its attention
  int64_t original_positions = 0;  // llama3, yarn, longrope: length of the first training
  int64_t max_positions = 0;       // dynamic: longer windows change the base
  double low_freq_factor = 1.0, high_freq_factor = 4.0;  // llama3
  double beta_fast = 32.0, beta_slow = 1.0;              // yarn
  double mscale = 0.0, mscale_all_dim = 0.0;             // yarn; 0: not given
  bool truncate = true;                                  // yarn
  std::optional<double> attention_factor;                // yarn, longrope
  std::vector<float> short_factor, long_factor;          // longrope: [rotary_dim / 2]
};

enum class ActivationKind { kSilu, kGeluTanh, kGeluErf, kRelu };

// Of models whose feed-forward is several experts, of which each token takes a few.
struct ExpertsConfig {
  int64_t count = 0;  // 0: a dense model
  int64_t per_token = 0;
  int64_t ffn = 0;         // width of one expert
  int64_t shared_ffn = 0;  // of the expert that every token takes; 0: there is none
  bool normalize = true;   // weights of the chosen sum to 1 (as of a softmax over the chosen alone)
};

struct ModelConfig {
  std::string architecture;  // "LlamaForCausalLM"
  int64_t hidden = 0, ffn = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, vocab = 0;
  int64_t max_positions = 0;
  int64_t embedding_width = 0;  // of a row of the embedding: hidden, but for some OPT models
  double norm_eps = 1e-5;
  bool tie_embeddings = false;
  bool qkv_bias = false, o_bias = false, mlp_bias = false;
  bool norm_affine = true;   // norms have weights (and biases, where the row's norm has them)
  bool norm_before = true;   // of attention and feed-forward; else after the residual sum
  bool final_norm = true;
  ActivationKind activation = ActivationKind::kSilu;
  double attention_scale = 0;          // of q*k
  bool scale_by_layer = false;         // attention_scale / (layer + 1)
  double attention_softcap = 0;        // 0: none
  double logit_softcap = 0;            // 0: none
  double embedding_scale = 1;
  int64_t sliding_window = 0;          // tokens that a local layer sees, itself included
  std::vector<uint8_t> local_layers;   // [layers], 1: sees sliding_window tokens; empty: none does
  std::vector<uint8_t> expert_layers;  // [layers], 1: has experts; empty: none has
  ExpertsConfig experts;
  std::string dtype = "bfloat16";  // of the checkpoint: "dtype" or "torch_dtype"
  RopeConfig rope;                 // from rope_theta/rope_scaling or rope_parameters
  std::optional<RopeConfig> local_rope;  // of the local layers, where it differs
  std::optional<int64_t> bos_token_id, eos_token_id;  // none also when outside the vocabulary
  bool bare_names = false;         // the checkpoint leaves the row's optional_prefix out
  std::string raw_json;            // verbatim
  std::string quantization_json;   // text of quantization_config, "" when absent

  bool IsLocal(int64_t layer) const { return !local_layers.empty() && local_layers[layer] != 0; }
  bool HasExperts(int64_t layer) const {
    return !expert_layers.empty() && expert_layers[layer] != 0;
  }
};

// Errors: CONFIG_NOT_JSON, CONFIG_FIELD_MISSING, CONFIG_FIELD_RANGE, UNKNOWN_ARCHITECTURE,
// UNSUPPORTED_ROPE, UNSUPPORTED_ACTIVATION, UNSUPPORTED_OPTION; what is asked for and not known
// comes with the nearest known name. Every number is bounded before it is used in arithmetic.
StatusOr<ModelConfig> ParseModelConfig(std::string_view json);

// One linear of a decoder block, as it is stored. `module` is relative to the block:
// "self_attn.q_proj". Weight [out, in], or [in, out] when transposed (Conv1D).
struct LinearSpec {
  std::string module;
  int64_t out = 0, in = 0;
  bool bias = false;
  int input_group = 0;  // linears of one block with the same number read the same input
  bool transposed = false;
  bool fixed = false;  // small and decisive, so never compressed: routers, gates of shared experts
  double share = 1;    // of the tokens that pass through it: experts see some only
};

std::vector<LinearSpec> BlockLinears(const ModelConfig& config, int64_t layer);
// Linears beside the blocks and lm_head, with their full names; all of them fixed.
std::vector<LinearSpec> OuterLinears(const ModelConfig& config);
LinearSpec HeadSpec(const ModelConfig& config);  // the embedding's module when tied

// Full names of all linears: "model.layers.0.self_attn.q_proj", ..., and lm_head when not tied.
std::vector<std::string> LinearModules(const ModelConfig& config);
std::string BlockPrefix(const ModelConfig& config, int64_t layer);  // "model.layers.3."
// The block of a linear or tensor by its full name; nothing for those outside the blocks.
std::optional<int64_t> LayerOf(const ModelConfig& config, std::string_view name);
// "transformer.wte" or "wte", as the checkpoint has it.
std::string TensorName(const ModelConfig& config, std::string_view name);

// A tensor that is no linear's: embeddings, positions, norms.
struct TensorShape {
  std::string name;  // full
  std::vector<int64_t> shape;
};
std::vector<TensorShape> BlockNorms(const ModelConfig& config, int64_t layer);
std::vector<TensorShape> OuterTensors(const ModelConfig& config);

// Lookup of a tensor's shape and dtype by full name, so that control (headers only) and worker
// (files) share it.
using TensorLookup = std::function<const TensorInfo*(std::string_view name)>;
// Sets bare_names when the tensors say so. To be called before names are asked for.
void AdaptNames(const TensorLookup& lookup, ModelConfig* config);
// Every tensor of the architecture is there, floating, with the shape that the configuration
// implies; errors name the tensor, what it is and what it should be (TENSOR_MISSING, TENSOR_SHAPE,
// TENSOR_DTYPE). For dense models.
Status ValidateModel(const ModelConfig& config, const TensorLookup& lookup);

}  // namespace swage
