#include "base/modelfile/model_config.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace swage {
namespace {

using nlohmann::json;

json Minimal() {
  return {{"architectures", {"LlamaForCausalLM"}}, {"hidden_size", 64}, {"intermediate_size", 96},
          {"num_hidden_layers", 2},                {"num_attention_heads", 4}, {"vocab_size", 100}};
}

std::string ReasonWith(const char* key, json value) {
  json config = Minimal();
  config[key] = std::move(value);
  const auto parsed = ParseModelConfig(config.dump());
  return parsed.ok() ? "OK" : ReasonOf(parsed.status());
}

ModelConfig Parse(const json& config) {
  auto parsed = ParseModelConfig(config.dump());
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() ? *parsed : ModelConfig{};
}

TEST(ModelConfig, ReadsTheSampleModel) {
  const std::string text = *ReadFile(Env::Posix(), "tests/data/models/classics-6m/config.json", 1 << 20);
  const auto config = ParseModelConfig(text);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->architecture, "LlamaForCausalLM");
  EXPECT_EQ(config->hidden, 256);
  EXPECT_EQ(config->ffn, 768);
  EXPECT_EQ(config->layers, 6);
  EXPECT_EQ(config->heads, 4);
  EXPECT_EQ(config->kv_heads, 2);
  EXPECT_EQ(config->head_dim, 64);
  EXPECT_EQ(config->vocab, 4096);
  EXPECT_EQ(config->max_positions, 1024);
  EXPECT_EQ(config->norm_eps, 1e-5);
  EXPECT_TRUE(config->tie_embeddings);
  EXPECT_EQ(config->dtype, "bfloat16");
  EXPECT_EQ(config->rope.theta, 10000.0);
  EXPECT_EQ(config->bos_token_id, 1);
  EXPECT_EQ(config->eos_token_id, 0);
  EXPECT_EQ(config->raw_json, text);
  EXPECT_EQ(config->quantization_json, "");
}

TEST(ModelConfig, FillsInWhatTransformersFillsIn) {
  const ModelConfig config = Parse(Minimal());
  EXPECT_EQ(config.kv_heads, 4);
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_EQ(config.max_positions, 2048);
  EXPECT_EQ(config.norm_eps, 1e-6);
  EXPECT_FALSE(config.tie_embeddings);
  EXPECT_EQ(config.rope.theta, 10000.0);
  EXPECT_EQ(config.bos_token_id, 1);
  EXPECT_EQ(config.eos_token_id, 2);
}

TEST(ModelConfig, TokenIdsMayBeAnIntAListOrNull) {
  json config = Minimal();
  config["bos_token_id"] = nullptr;
  config["eos_token_id"] = {7, 9};
  EXPECT_EQ(Parse(config).bos_token_id, std::nullopt);
  EXPECT_EQ(Parse(config).eos_token_id, 7);
  EXPECT_EQ(ReasonWith("eos_token_id", json::array()), "OK");
  config["bos_token_id"] = 100;  // vocab_size is 100: a default that nobody changed
  EXPECT_EQ(Parse(config).bos_token_id, std::nullopt);
  EXPECT_EQ(ReasonWith("bos_token_id", -1), "OK");  // none, as some write it
  EXPECT_EQ(ReasonWith("bos_token_id", -2), "CONFIG_FIELD_RANGE");
  EXPECT_EQ(ReasonWith("bos_token_id", "x"), "CONFIG_FIELD_RANGE");
}

TEST(ModelConfig, ReadsBothFormsOfRope) {
  json old_form = Minimal();
  old_form["rope_theta"] = 500000;
  old_form["rope_scaling"] = nullptr;
  EXPECT_EQ(Parse(old_form).rope.theta, 500000.0);
  json new_form = Minimal();
  new_form["rope_parameters"] = {{"rope_theta", 250000.0}, {"rope_type", "default"}};
  EXPECT_EQ(Parse(new_form).rope.theta, 250000.0);
}

TEST(ModelConfig, UnknownRopesAreAClearError) {
  for (const char* type_key : {"type", "rope_type"}) {
    EXPECT_EQ(ReasonWith("rope_scaling", {{type_key, "yarm"}, {"factor", 4.0}}), "UNSUPPORTED_ROPE");
    EXPECT_EQ(ReasonWith("rope_parameters", {{type_key, "llama3"}}), "CONFIG_FIELD_MISSING");
    EXPECT_EQ(ReasonWith("rope_parameters", {{type_key, "linear"}, {"factor", 0.5}}), "CONFIG_FIELD_RANGE");
  }
  json config = Minimal();
  config["rope_scaling"] = {{"rope_type", "yarm"}};
  EXPECT_NE(MessageOf(ParseModelConfig(config.dump()).status()).find("nearest it has is 'yarn'"), std::string::npos);
  EXPECT_EQ(ReasonWith("rope_parameters", {{"partial_rotary_factor", 0.5}}), "UNSUPPORTED_ROPE");
  EXPECT_EQ(ReasonWith("rope_scaling", "linear"), "CONFIG_FIELD_RANGE");
}

TEST(ModelConfig, KeepsTheQuantizationConfig) {
  json config = Minimal();
  config["quantization_config"] = {{"quant_method", "compressed-tensors"}, {"format", "pack-quantized"}};
  EXPECT_EQ(json::parse(Parse(config).quantization_json), config["quantization_config"]);
}

TEST(ModelConfig, EveryRequiredFieldIsMissed) {
  for (const char* key : {"architectures", "hidden_size", "intermediate_size", "num_hidden_layers",
                          "num_attention_heads", "vocab_size"}) {
    json config = Minimal();
    config.erase(key);
    const Status status = ParseModelConfig(config.dump()).status();
    EXPECT_EQ(ReasonOf(status), "CONFIG_FIELD_MISSING") << key;
    EXPECT_NE(MessageOf(status).find(key), std::string::npos);
    EXPECT_EQ(ReasonWith(key, nullptr), "CONFIG_FIELD_MISSING") << key;
  }
}

TEST(ModelConfig, NumbersAreBounded) {
  for (const char* key : {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size",
                          "num_key_value_heads", "head_dim", "max_position_embeddings"}) {
    for (const json& bad : {json(0), json(-4), json(1.5), json(64.0), json("64"), json(true), json(1ull << 63),
                            json(1ull << 40), json::array({64})}) {
      EXPECT_EQ(ReasonWith(key, bad), "CONFIG_FIELD_RANGE") << key << " = " << bad;
    }
  }
  EXPECT_EQ(ReasonWith("num_key_value_heads", 3), "CONFIG_FIELD_RANGE");  // does not divide 4
  EXPECT_EQ(ReasonWith("head_dim", 15), "CONFIG_FIELD_RANGE");
  EXPECT_EQ(ReasonWith("num_attention_heads", 5), "CONFIG_FIELD_RANGE");  // does not divide 64
  EXPECT_EQ(ReasonWith("rms_norm_eps", -1.0), "CONFIG_FIELD_RANGE");
  EXPECT_EQ(ReasonWith("rope_theta", 0), "CONFIG_FIELD_RANGE");
  EXPECT_EQ(ReasonWith("tie_word_embeddings", 1), "CONFIG_FIELD_RANGE");
}

TEST(ModelConfig, UnknownArchitecturesListTheKnown) {
  json config = Minimal();
  config["architectures"] = {"MambaForCausalLM"};
  const Status status = ParseModelConfig(config.dump()).status();
  EXPECT_EQ(ReasonOf(status), "UNKNOWN_ARCHITECTURE");
  EXPECT_NE(NextStepOf(status).find("LlamaForCausalLM"), std::string::npos);
  EXPECT_EQ(ReasonWith("architectures", json::array()), "CONFIG_FIELD_RANGE");
  EXPECT_EQ(ReasonWith("hidden_act", "mish"), "UNSUPPORTED_ACTIVATION");
  EXPECT_EQ(ReasonWith("hidden_act", "gelu"), "OK");
  config["architectures"] = {"Gemma3ForConditionalGeneration"};
  EXPECT_NE(MessageOf(ParseModelConfig(config.dump()).status()).find("'Gemma3ForCausalLM'"), std::string::npos);
}

TEST(ModelConfig, BrokenTextsAreNotJson) {
  for (const std::string& text : {std::string(), std::string("{"), std::string("[]"), std::string("3"),
                                  std::string(R"({"hidden_size":1,"hidden_size":2})"), std::string(1 << 20, '[')}) {
    EXPECT_EQ(ReasonOf(ParseModelConfig(text).status()), "CONFIG_NOT_JSON") << text.substr(0, 40);
  }
  EXPECT_EQ(ReasonOf(ParseModelConfig(std::string((16 << 20) + 1, ' ')).status()), "CONFIG_NOT_JSON");
}

// A model's tensors as the configuration implies them, to be damaged by the tests.
std::map<std::string, TensorInfo> TensorsOf(const ModelConfig& config) {
  std::map<std::string, TensorInfo> tensors;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    tensors[name] = {.name = name, .dtype = DType::kBF16, .shape = std::move(shape)};
  };
  for (const TensorShape& tensor : OuterTensors(config)) add(tensor.name, tensor.shape);
  if (!config.tie_embeddings) add("lm_head.weight", {config.vocab, config.hidden});
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    for (const TensorShape& norm : BlockNorms(config, layer)) add(norm.name, norm.shape);
    for (const LinearSpec& linear : BlockLinears(config, layer)) {
      add(Cat(BlockPrefix(config, layer), linear.module, ".weight"), {linear.out, linear.in});
      if (linear.bias) add(Cat(BlockPrefix(config, layer), linear.module, ".bias"), {linear.out});
    }
  }
  return tensors;
}

Status Validate(const ModelConfig& config, const std::map<std::string, TensorInfo>& tensors) {
  return ValidateModel(config, [&](std::string_view name) -> const TensorInfo* {
    const auto at = tensors.find(std::string(name));
    return at == tensors.end() ? nullptr : &at->second;
  });
}

TEST(ValidateModel, TheSampleModelIsWhatItsConfigSays) {
  const auto config = ParseModelConfig(*ReadFile(Env::Posix(), "tests/data/models/classics-6m/config.json", 1 << 20));
  const auto model = ModelFiles::Open(Env::Posix(), "tests/data/models/classics-6m");
  ASSERT_TRUE(config.ok() && model.ok());
  const auto lookup = [&](std::string_view name) {
    const auto view = model->Find(name);
    return view ? view->info : nullptr;
  };
  EXPECT_TRUE(ValidateModel(*config, lookup).ok());
  ModelConfig wrong = *config;
  wrong.kv_heads = 4;
  EXPECT_EQ(ReasonOf(ValidateModel(wrong, lookup)), "TENSOR_SHAPE");
  wrong = *config;
  wrong.layers = 5;
  EXPECT_EQ(ReasonOf(ValidateModel(wrong, lookup)), "CONFIG_CONTRADICTS");
  wrong = *config;
  wrong.layers = 7;
  EXPECT_EQ(ReasonOf(ValidateModel(wrong, lookup)), "TENSOR_MISSING");
  wrong = *config;
  wrong.tie_embeddings = false;
  EXPECT_EQ(ReasonOf(ValidateModel(wrong, lookup)), "TENSOR_MISSING");
}

TEST(ValidateModel, EveryTensorIsNeededWithItsShapeAndAFloatingType) {
  json text = Minimal();
  text["attention_bias"] = true;
  text["num_key_value_heads"] = 2;
  const ModelConfig config = Parse(text);
  const auto good = TensorsOf(config);
  ASSERT_TRUE(Validate(config, good).ok()) << Validate(config, good);
  for (const auto& [name, info] : good) {
    auto tensors = good;
    tensors.erase(name);
    Status status = Validate(config, tensors);
    EXPECT_EQ(ReasonOf(status), "TENSOR_MISSING") << name;
    EXPECT_NE(MessageOf(status).find(name), std::string::npos);
    tensors = good;
    tensors[name].shape.back() += 1;
    EXPECT_EQ(ReasonOf(Validate(config, tensors)), "TENSOR_SHAPE") << name;
    tensors = good;
    tensors[name].dtype = DType::kI8;
    EXPECT_EQ(ReasonOf(Validate(config, tensors)), "TENSOR_DTYPE") << name;
  }
}

TEST(Architectures, LinearModulesAreCompleteAndGrouped) {
  ModelConfig config = Parse(Minimal());
  const auto modules = LinearModules(config);
  EXPECT_EQ(modules.size(), 2u * 7 + 1);
  EXPECT_EQ(modules.front(), "model.layers.0.self_attn.q_proj");
  EXPECT_EQ(modules.back(), "lm_head");
  config.tie_embeddings = true;
  EXPECT_EQ(LinearModules(config).size(), 14u);
  std::map<int, std::set<int64_t>> inputs;  // linears that share an input have the same width of it
  for (const LinearSpec& linear : BlockLinears(config, 0)) {
    inputs[linear.input_group].insert(linear.in);
  }
  EXPECT_EQ(inputs.size(), 4u);
  for (const auto& [group, widths] : inputs) EXPECT_EQ(widths.size(), 1u) << group;
}

}  // namespace
}  // namespace swage
