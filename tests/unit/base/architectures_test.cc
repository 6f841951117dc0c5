// What config.json means for each row of the table.
#include "base/modelfile/architecture.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace swage {
namespace {

using nlohmann::json;

json Of(const char* architecture) {
  return {{"architectures", {architecture}}, {"hidden_size", 64},  {"intermediate_size", 96},
          {"num_hidden_layers", 4},          {"vocab_size", 100},  {"num_attention_heads", 4},
          {"num_key_value_heads", 2}};
}

ModelConfig ParseArchitecture(const json& config) {
  auto parsed = ParseModelConfig(config.dump());
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() ? *parsed : ModelConfig{};
}

std::string ReasonWith(json config, const json& more) {
  config.update(more);
  const auto parsed = ParseModelConfig(config.dump());
  return parsed.ok() ? "OK" : swage::ReasonOf(parsed.status());
}

std::vector<int> Local(json config, const json& more) {
  config.update(more);
  const ModelConfig parsed = ParseArchitecture(config);
  std::vector<int> local;
  for (int64_t layer = 0; layer < parsed.layers; ++layer) local.push_back(parsed.IsLocal(layer));
  return local;
}

std::vector<std::string> ModulesOf(const ModelConfig& config, int64_t layer) {
  std::vector<std::string> modules;
  for (const LinearSpec& spec : BlockLinears(config, layer)) modules.push_back(spec.module);
  return modules;
}

using Layers = std::vector<int>;

TEST(Architectures, SlidingWindowsByLayer) {
  const json mistral = Of("MistralForCausalLM"), qwen = Of("Qwen2ForCausalLM");
  EXPECT_EQ(Local(mistral, {{"sliding_window", 32}}), Layers({1, 1, 1, 1}));
  EXPECT_EQ(Local(mistral, {{"sliding_window", nullptr}}), Layers({0, 0, 0, 0}));
  EXPECT_EQ(ParseArchitecture(mistral).sliding_window, 4096) << "the default of the class";
  EXPECT_EQ(Local(qwen, {{"sliding_window", 32}, {"max_window_layers", 1}}), Layers({0, 0, 0, 0}));
  EXPECT_EQ(Local(qwen, {{"sliding_window", 32}, {"max_window_layers", 1}, {"use_sliding_window", true}}),
            Layers({0, 1, 1, 1}));
  EXPECT_EQ(Local(Of("Gemma2ForCausalLM"), {{"sliding_window", 32}}), Layers({1, 0, 1, 0}));
  EXPECT_EQ(Local(Of("Gemma3ForCausalLM"), {{"sliding_window", 32}, {"sliding_window_pattern", 3}}),
            Layers({1, 1, 0, 1}));
  const json types = {"full_attention", "sliding_attention", "full_attention", "full_attention"};
  EXPECT_EQ(Local(Of("Gemma3ForCausalLM"), {{"sliding_window", 32}, {"layer_types", types}}),
            Layers({0, 1, 0, 0}));
  EXPECT_EQ(ReasonWith(Of("Gemma3ForCausalLM"), {{"layer_types", {"full_attention"}}}), "CONFIG_FIELD_RANGE");
  const json other = {"full_attention", "chunked_attention", "full_attention", "full_attention"};
  EXPECT_EQ(ReasonWith(Of("Gemma3ForCausalLM"), {{"layer_types", other}}), "UNSUPPORTED_OPTION");
}

TEST(Architectures, GemmaScalesCapsAndHasTwoRopes) {
  json config = Of("Gemma2ForCausalLM");
  config["query_pre_attn_scalar"] = 144;
  const ModelConfig gemma2 = ParseArchitecture(config);
  EXPECT_EQ(gemma2.attention_scale, 1.0 / 12);
  EXPECT_EQ(gemma2.attention_softcap, 50);
  EXPECT_EQ(gemma2.logit_softcap, 30);
  EXPECT_EQ(gemma2.embedding_scale, 8);
  EXPECT_EQ(gemma2.head_dim, 256) << "the default of the class";
  EXPECT_EQ(gemma2.activation, ActivationKind::kGeluTanh);
  EXPECT_TRUE(gemma2.tie_embeddings);
  config["final_logit_softcapping"] = nullptr;
  EXPECT_EQ(ParseArchitecture(config).logit_softcap, 0);
  EXPECT_EQ(ReasonWith(config, {{"use_bidirectional_attention", true}}), "UNSUPPORTED_OPTION");

  config = Of("Gemma3ForCausalLM");
  config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 8.0}};
  const ModelConfig gemma3 = ParseArchitecture(config);
  EXPECT_EQ(gemma3.rope.theta, 1e6);
  EXPECT_EQ(gemma3.rope.factor, 8);
  ASSERT_TRUE(gemma3.local_rope.has_value());
  EXPECT_EQ(gemma3.local_rope->theta, 1e4);
  EXPECT_EQ(gemma3.local_rope->type, "default");
}

TEST(Architectures, PhiKeepsItsFusedLinearsAndTurnsAPart) {
  json config = Of("Phi3ForCausalLM");
  config["partial_rotary_factor"] = 0.75;
  config["original_max_position_embeddings"] = 1024;
  config["max_position_embeddings"] = 4096;
  config["rope_scaling"] = {{"type", "su"},
                            {"short_factor", std::vector<double>(6, 1.0)},
                            {"long_factor", std::vector<double>(6, 2.0)}};
  const ModelConfig phi = ParseArchitecture(config);
  EXPECT_EQ(phi.rope.rotary_dim, 12);
  EXPECT_EQ(phi.rope.type, "longrope");
  EXPECT_EQ(phi.rope.original_positions, 1024);
  EXPECT_EQ(phi.rope.factor, 4);
  EXPECT_EQ(ModulesOf(phi, 0), std::vector<std::string>({"self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj",
                                                         "mlp.down_proj"}));
  EXPECT_EQ(BlockLinears(phi, 0)[0].out, 4 * 16 + 2 * 2 * 16);
  config["rope_scaling"]["long_factor"] = {1.0};
  EXPECT_EQ(ReasonWith(config, json::object()), "CONFIG_FIELD_RANGE");
  EXPECT_EQ(ReasonWith(Of("LlamaForCausalLM"), {{"partial_rotary_factor", 0.5}}), "UNSUPPORTED_ROPE");
}

TEST(Architectures, ExpertsAreLinearsOfTheirOwnAndRoutersStayAsTheyAre) {
  json config = Of("Qwen2MoeForCausalLM");
  config.update({{"num_experts", 3}, {"num_experts_per_tok", 2}, {"moe_intermediate_size", 24},
                 {"shared_expert_intermediate_size", 40}, {"decoder_sparse_step", 2}});
  const ModelConfig moe = ParseArchitecture(config);
  EXPECT_FALSE(moe.HasExperts(0));
  EXPECT_TRUE(moe.HasExperts(1));
  EXPECT_FALSE(moe.experts.normalize);
  EXPECT_EQ(ModulesOf(moe, 0).back(), "mlp.down_proj");
  std::map<int, std::set<std::string>> groups;
  for (const LinearSpec& spec : BlockLinears(moe, 1)) {
    groups[spec.input_group].insert(spec.module);
    EXPECT_EQ(spec.fixed, spec.module == "mlp.gate" || spec.module == "mlp.shared_expert_gate");
    const bool routed = spec.module.find(".experts.") != std::string::npos;
    EXPECT_DOUBLE_EQ(spec.share, routed ? 2.0 / 3 : 1.0) << spec.module;
  }
  bool together = false;
  const std::set<std::string> pair = {"mlp.experts.2.gate_proj", "mlp.experts.2.up_proj"};
  for (const auto& [group, modules] : groups) together = together || modules == pair;
  EXPECT_TRUE(together);
  EXPECT_EQ(ReasonWith(config, {{"num_experts_per_tok", 4}}), "CONFIG_FIELD_RANGE");
  EXPECT_EQ(ReasonWith(config, {{"num_experts", 1 << 20}}), "CONFIG_FIELD_RANGE");
  EXPECT_EQ(ReasonWith(config, {{"mlp_only_layers", {4}}}), "CONFIG_FIELD_RANGE");
  config["mlp_only_layers"] = {1};
  EXPECT_FALSE(ParseArchitecture(config).HasExperts(1));

  json mixtral = Of("MixtralForCausalLM");
  mixtral.update({{"num_local_experts", 2}, {"num_experts_per_tok", 1}});
  EXPECT_EQ(ModulesOf(ParseArchitecture(mixtral), 0)[4], "block_sparse_moe.gate");
  EXPECT_EQ(ModulesOf(ParseArchitecture(mixtral), 0)[5], "block_sparse_moe.experts.0.w1");
}

TEST(Architectures, Gpt2MayLeaveItsPrefixOut) {
  const json text = {{"architectures", {"GPT2LMHeadModel"}}, {"n_embd", 64}, {"n_layer", 2}, {"n_head", 4},
                     {"vocab_size", 100}};
  ModelConfig config = ParseArchitecture(text);
  EXPECT_EQ(config.ffn, 256);
  EXPECT_EQ(config.max_positions, 1024);
  EXPECT_EQ(config.bos_token_id, std::nullopt) << "the default 50256 is no token of this vocabulary";
  EXPECT_TRUE(BlockLinears(config, 0)[0].transposed);
  EXPECT_EQ(BlockPrefix(config, 1), "transformer.h.1.");
  EXPECT_EQ(LayerOf(config, "transformer.h.1.attn.c_attn"), 1);
  const TensorInfo info;
  AdaptNames([&](std::string_view name) { return name == "wte.weight" ? &info : nullptr; }, &config);
  EXPECT_EQ(BlockPrefix(config, 1), "h.1.");
  EXPECT_EQ(OuterTensors(config).front().name, "wte.weight");
  EXPECT_EQ(LayerOf(config, "h.2.attn.c_attn"), std::nullopt);
  EXPECT_EQ(LayerOf(config, "h.1"), std::nullopt);
  EXPECT_EQ(ReasonWith(text, {{"add_cross_attention", true}}), "UNSUPPORTED_OPTION");
}

TEST(Architectures, OptNamesNarrowEmbeddingsAndNormsAfter) {
  json text = Of("OPTForCausalLM");
  text["ffn_dim"] = 48;
  text["word_embed_proj_dim"] = 32;
  text["do_layer_norm_before"] = false;
  text["enable_bias"] = false;
  const ModelConfig config = ParseArchitecture(text);
  EXPECT_EQ(config.kv_heads, 4) << "OPT has no grouped queries";
  EXPECT_EQ(config.ffn, 48);
  EXPECT_FALSE(config.final_norm);
  EXPECT_FALSE(config.qkv_bias);
  EXPECT_EQ(HeadSpec(config).in, 32);
  const std::vector<LinearSpec> outer = OuterLinears(config);
  ASSERT_EQ(outer.size(), 2u);
  EXPECT_EQ(outer[0].module, "model.decoder.project_in");
  EXPECT_TRUE(outer[0].fixed && outer[1].fixed);
}

TEST(Architectures, HostileRopesAreRefused) {
  const json llama = Of("LlamaForCausalLM");
  const auto rope = [&](const json& object) { return ReasonWith(llama, {{"rope_scaling", object}}); };
  EXPECT_EQ(rope({{"rope_type", "linear"}}), "CONFIG_FIELD_MISSING");
  EXPECT_EQ(rope({{"rope_type", "dynamic"}, {"factor", 1e9}}), "CONFIG_FIELD_RANGE");
  EXPECT_EQ(rope({{"rope_type", "llama3"}, {"factor", 8}, {"low_freq_factor", 4}, {"high_freq_factor", 4}}),
            "CONFIG_FIELD_RANGE");
  EXPECT_EQ(rope({{"rope_type", "yarn"}, {"factor", 4}, {"rope_theta", 1}}), "CONFIG_FIELD_RANGE");
  EXPECT_EQ(rope({{"rope_type", "longrope"}, {"short_factor", 1}, {"long_factor", 1}}), "CONFIG_FIELD_RANGE");
  EXPECT_EQ(rope({{"rope_type", 3}}), "CONFIG_FIELD_RANGE");
  EXPECT_EQ(FindArchitecture("llama"), nullptr);
}

}  // namespace
}  // namespace swage
