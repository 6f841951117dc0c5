// The rows. Defaults are those of the configuration classes in transformers 5.17.
#include "base/modelfile/architecture.h"
#include "base/text.h"

namespace swage {
namespace {

// What the rows from Llama on have in common is the defaults of Architecture itself.
Architecture Llama() {
  Architecture row;
  row.name = "LlamaForCausalLM";
  row.config.default_bos = 1;
  row.config.default_eos = 2;
  row.config.qkv_bias = row.config.o_bias = {"attention_bias"};
  row.config.mlp_bias = {"mlp_bias"};
  return row;
}

Architecture Mistral() {
  Architecture row;
  row.name = "MistralForCausalLM";
  row.config.default_bos = 1;
  row.config.default_eos = 2;
  row.config.default_kv_heads = 8;
  row.config.default_positions = 4096 * 32;
  row.config.window = WindowRule::kAll;
  row.config.default_window = 4096;
  return row;
}

Architecture Qwen2() {
  Architecture row;
  row.name = "Qwen2ForCausalLM";
  row.config.default_kv_heads = 32;
  row.config.default_positions = 32768;
  row.config.qkv_bias = {"", true};
  row.config.window = WindowRule::kUpperIfUsed;
  row.config.default_window = 4096;
  return row;
}

Architecture Qwen3() {
  Architecture row = Qwen2();
  row.name = "Qwen3ForCausalLM";
  row.q_norm = "self_attn.q_norm";
  row.k_norm = "self_attn.k_norm";
  row.config.default_head_dim = 128;
  row.config.qkv_bias = row.config.o_bias = {"attention_bias"};
  return row;
}

Architecture Gemma2() {
  Architecture row;
  row.name = "Gemma2ForCausalLM";
  row.norm = NormKind::kRmsPlusOne;
  row.attention_post_norm = "post_attention_layernorm";
  row.ffn_norm = "pre_feedforward_layernorm";
  row.ffn_post_norm = "post_feedforward_layernorm";
  row.scales_embedding = true;
  ConfigDialect& config = row.config;
  config.activation = "hidden_activation";
  config.default_activation = "gelu_pytorch_tanh";
  config.default_kv_heads = 4;
  config.default_head_dim = 256;
  config.default_positions = 8192;
  config.default_tied = true;
  config.default_bos = 2;
  config.default_eos = 1;
  config.qkv_bias = config.o_bias = {"attention_bias"};
  config.query_scalar = true;
  config.attention_softcap = true;
  config.default_attention_softcap = 50;
  config.default_logit_softcap = 30;
  config.window = WindowRule::kEven;
  config.default_window = 4096;
  return row;
}

Architecture Gemma3() {
  Architecture row = Gemma2();
  row.name = "Gemma3ForCausalLM";
  row.q_norm = "self_attn.q_norm";
  row.k_norm = "self_attn.k_norm";
  row.config.default_positions = 131072;
  row.config.attention_softcap = false;
  row.config.default_attention_softcap = row.config.default_logit_softcap = 0;
  row.config.window = WindowRule::kPattern;
  row.config.default_theta = 1e6;
  row.config.default_local_theta = 1e4;
  return row;
}

Architecture Phi3() {
  Architecture row;
  row.name = "Phi3ForCausalLM";
  row.qkv = "self_attn.qkv_proj";
  row.gate_up = "mlp.gate_up_proj";
  row.q = row.k = row.v = row.gate = row.up = "";
  row.config.default_eps = 1e-5;
  row.config.default_positions = 4096;
  row.config.default_bos = 1;
  row.config.default_eos = 32000;
  row.config.window = WindowRule::kAll;
  row.config.partial_rotary = true;
  row.config.top_original_positions = true;
  row.config.yarn_is_longrope = true;
  return row;
}

Architecture Gpt2() {
  Architecture row;
  row.name = "GPT2LMHeadModel";
  row.optional_prefix = "transformer.";
  row.block_prefix = "transformer.h.";
  row.embedding = "transformer.wte";
  row.final_norm = "transformer.ln_f";
  row.positions = "transformer.wpe";
  row.norm = NormKind::kLayer;
  row.attention_norm = "ln_1";
  row.ffn_norm = "ln_2";
  row.conv1d = true;
  row.qkv = "attn.c_attn";
  row.o = "attn.c_proj";
  row.up = "mlp.c_fc";
  row.down = "mlp.c_proj";
  row.q = row.k = row.v = row.gate = "";
  ConfigDialect& config = row.config;
  config.hidden = "n_embd";
  config.ffn = "n_inner";
  config.ffn_times = 4;
  config.layers = "n_layer";
  config.heads = "n_head";
  config.kv_heads = "";
  config.positions = "n_positions";
  config.default_positions = 1024;
  config.norm_eps = "layer_norm_epsilon";
  config.default_eps = 1e-5;
  config.activation = "activation_function";
  config.default_activation = "gelu_new";
  config.default_tied = true;
  config.default_bos = config.default_eos = 50256;
  config.qkv_bias = config.o_bias = config.mlp_bias = {"", true};
  return row;
}

Architecture Opt() {
  Architecture row;
  row.name = "OPTForCausalLM";
  row.block_prefix = "model.decoder.layers.";
  row.embedding = "model.decoder.embed_tokens";
  row.final_norm = "model.decoder.final_layer_norm";
  row.positions = "model.decoder.embed_positions";
  row.position_offset = 2;
  row.project_in = "model.decoder.project_in";
  row.project_out = "model.decoder.project_out";
  row.norm = NormKind::kLayer;
  row.attention_norm = "self_attn_layer_norm";
  row.ffn_norm = "final_layer_norm";
  row.o = "self_attn.out_proj";
  row.gate = "";
  row.up = "fc1";
  row.down = "fc2";
  ConfigDialect& config = row.config;
  config.ffn = "ffn_dim";
  config.kv_heads = "";
  config.norm_eps = "";
  config.default_eps = 1e-5;
  config.activation = "activation_function";
  config.default_activation = "relu";
  config.default_tied = true;
  config.default_bos = config.default_eos = 2;
  config.qkv_bias = config.o_bias = config.mlp_bias = {"enable_bias", true};
  return row;
}

Architecture Mixtral() {
  Architecture row;
  row.name = "MixtralForCausalLM";
  row.gate = row.up = row.down = "";
  row.router = "block_sparse_moe.gate";
  row.experts = "block_sparse_moe.experts.";
  row.expert_gate = "w1";
  row.expert_up = "w3";
  row.expert_down = "w2";
  ConfigDialect& config = row.config;
  config.default_eps = 1e-5;
  config.default_kv_heads = 8;
  config.default_positions = 4096 * 32;
  config.default_bos = 1;
  config.default_eos = 2;
  config.default_theta = 1e6;
  config.window = WindowRule::kAll;
  config.always_normalize = true;
  return row;
}

Architecture Qwen3Moe() {
  Architecture row = Qwen3();
  row.name = "Qwen3MoeForCausalLM";
  row.router = "mlp.gate";
  row.experts = "mlp.experts.";
  row.config.default_kv_heads = 4;
  row.config.default_head_dim = 0;
  row.config.window = WindowRule::kAllIfUsed;
  row.config.expert_ffn = "moe_intermediate_size";
  row.config.sparse_steps = true;
  return row;
}

Architecture Qwen2Moe() {
  Architecture row = Qwen2();
  row.name = "Qwen2MoeForCausalLM";
  row.router = "mlp.gate";
  row.experts = "mlp.experts.";
  row.shared_expert = "mlp.shared_expert.";
  row.shared_gate = "mlp.shared_expert_gate";
  row.config.default_kv_heads = 16;
  row.config.qkv_bias = {"qkv_bias", true};
  row.config.window = WindowRule::kLowerEvenIfUsed;
  row.config.expert_ffn = "moe_intermediate_size";
  row.config.sparse_steps = true;
  return row;
}

}  // namespace

const std::vector<Architecture>& Architectures() {
  static const auto* rows = new std::vector<Architecture>{
      Llama(), Mistral(), Qwen2(), Qwen3(),   Gemma2(),   Gemma3(),
      Phi3(),  Gpt2(),    Opt(),   Mixtral(), Qwen2Moe(), Qwen3Moe()};
  return *rows;
}

const Architecture* FindArchitecture(std::string_view name) {
  for (const Architecture& row : Architectures()) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

const Architecture& ArchitectureOf(const ModelConfig& config) {
  const Architecture* row = FindArchitecture(config.architecture);
  SWAGE_CHECK(row != nullptr, "ParseModelConfig let '", config.architecture, "' through");
  return *row;
}

}  // namespace swage
