// The table of architectures: one row describes one family of decoder-only models as data. The
// configuration reader takes from it what config.json calls things and what is assumed when it is
// silent; model_tensors.cc which tensors exist; workers/runtime/forward.cc what is computed. There
// is no code for one model anywhere: a family that needs something new needs a new trait.
//   const Architecture* row = FindArchitecture("Qwen3ForCausalLM");
//   if (!row->q_norm.empty()) ...  // heads of queries and keys are normalised
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/modelfile/model_config.h"

namespace swage {

// kRmsPlusOne: RMSNorm whose stored weight is the difference from 1.
enum class NormKind { kRms, kRmsPlusOne, kLayer };

// Which layers see a sliding window only, when config.json has no layer_types.
enum class WindowRule {
  kNone,
  kAll,              // all, when sliding_window is set
  kAllIfUsed,        // all, when use_sliding_window is true as well
  kUpperIfUsed,      // those from max_window_layers on, when use_sliding_window is true
  kLowerEvenIfUsed,  // every other below max_window_layers, when use_sliding_window is true
  kEven,             // layers 0, 2, 4, ...
  kPattern,          // all but each sliding_window_pattern-th
};

struct BiasRule {
  std::string_view key;  // "" : `otherwise` always
  bool otherwise = false;
};

// Keys of config.json and what holds without them. An empty key is never read.
struct ConfigDialect {
  std::string_view hidden = "hidden_size", ffn = "intermediate_size",
                   layers = "num_hidden_layers", heads = "num_attention_heads",
                   kv_heads = "num_key_value_heads", positions = "max_position_embeddings",
                   norm_eps = "rms_norm_eps", activation = "hidden_act";
  double default_eps = 1e-6;
  std::string_view default_activation = "silu";
  int64_t default_kv_heads = 0;  // 0: as many as heads
  int64_t default_head_dim = 0;  // 0: hidden / heads
  int64_t default_positions = 2048;
  int64_t ffn_times = 0;  // the feed-forward's width without its key: this times hidden
  bool default_tied = false;
  int64_t default_bos = -1, default_eos = -1;  // -1: none
  BiasRule qkv_bias, o_bias, mlp_bias;
  bool query_scalar = false;  // attention scale is query_pre_attn_scalar^-0.5 (256 without it)
  double default_attention_softcap = 0, default_logit_softcap = 0;
  bool attention_softcap = false;  // attn_logit_softcapping is read
  WindowRule window = WindowRule::kNone;
  int64_t default_window = 0;       // tokens, when config.json has no sliding_window at all
  double default_theta = 10000.0;
  double default_local_theta = 0;   // 0: local layers turn as all do
  bool partial_rotary = false;      // partial_rotary_factor is known
  bool top_original_positions = false;  // original_max_position_embeddings stands beside rope
  bool yarn_is_longrope = false;        // older files say "yarn" or "su"
  std::string_view expert_ffn;          // "" : experts have the width of `ffn`
  bool always_normalize = false;        // weights of experts; else norm_topk_prob
  bool sparse_steps = false;  // decoder_sparse_step and mlp_only_layers leave some layers dense
};

struct Architecture {
  std::string_view name;
  std::string_view optional_prefix;  // of all names but lm_head; some checkpoints leave it out
  std::string_view block_prefix = "model.layers.", embedding = "model.embed_tokens",
                   final_norm = "model.norm", lm_head = "lm_head";
  // Learned positions (empty: rotary), whose row p + position_offset belongs to position p.
  std::string_view positions;
  int64_t position_offset = 0;
  std::string_view project_in, project_out;  // around an embedding that is narrower than hidden

  // Within a block. Norms after a sublayer are those of its output, before the residual sum.
  NormKind norm = NormKind::kRms;
  std::string_view attention_norm = "input_layernorm", attention_post_norm;
  std::string_view ffn_norm = "post_attention_layernorm", ffn_post_norm;
  std::string_view q_norm, k_norm;  // of each head, before the rotation
  // Linears are stored fused (qkv, gate_up: one after the other by rows) or one by one.
  bool conv1d = false;  // stored transposed
  std::string_view qkv, q = "self_attn.q_proj", k = "self_attn.k_proj", v = "self_attn.v_proj",
                        o = "self_attn.o_proj";
  // Gated: down(act(gate(x)) * up(x)). With empty gate and gate_up: down(act(up(x))).
  std::string_view gate_up, gate = "mlp.gate_proj", up = "mlp.up_proj", down = "mlp.down_proj";
  // Experts: `experts` + number + "." + expert_*; the router picks per_token of them by softmax.
  std::string_view router, experts, expert_gate = "gate_proj", expert_up = "up_proj",
                                    expert_down = "down_proj";
  std::string_view shared_expert, shared_gate;  // prefix, and the linear that weighs it by sigmoid
  bool scales_embedding = false;                // by sqrt(hidden)

  ConfigDialect config;

  bool gated() const { return !gate.empty() || !gate_up.empty(); }
};

const std::vector<Architecture>& Architectures();
const Architecture* FindArchitecture(std::string_view name);       // nullptr when unknown
const Architecture& ArchitectureOf(const ModelConfig& config);  // of a parsed configuration

}  // namespace swage
