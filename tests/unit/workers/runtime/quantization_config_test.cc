#include "workers/runtime/quantization_config.h"

#include <gtest/gtest.h>

namespace swage {
namespace {

std::string Config(const std::string& group, const std::string& more = "") {
  return R"({"quant_method": "compressed-tensors", "format": "pack-quantized", "ignore": ["lm_head"], "config_groups": {"group_0": )" +
         group + "}" + more + "}";
}

constexpr char kGroup[] =
    R"({"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128}})";

TEST(QuantizationConfig, NoneMeansDense) {
  auto config = QuantizationConfig::Parse("");
  ASSERT_TRUE(config.ok());
  EXPECT_TRUE(config->empty());
  EXPECT_EQ(config->SchemeOf("model.layers.0.mlp.up_proj"), nullptr);
}

TEST(QuantizationConfig, ClassTargetsReachEveryLinearThatIsNotIgnored) {
  auto config = QuantizationConfig::Parse(Config(kGroup));
  ASSERT_TRUE(config.ok()) << config.status();
  const LinearScheme* scheme = config->SchemeOf("model.layers.0.mlp.up_proj");
  ASSERT_NE(scheme, nullptr);
  EXPECT_EQ(scheme->storage, "pack-quantized");
  EXPECT_EQ(scheme->bits, 4);
  EXPECT_EQ(scheme->group_size, 128);
  EXPECT_TRUE(scheme->symmetric);
  EXPECT_EQ(config->SchemeOf("lm_head"), nullptr);
}

TEST(QuantizationConfig, ANameComesBeforeTheClass) {
  auto config = QuantizationConfig::Parse(
      R"({"quant_method": "compressed-tensors", "format": "mixed-precision", "config_groups": {
    "a": {"targets": ["Linear"], "format": "pack-quantized", "weights": {"num_bits": 4, "strategy": "channel"}},
    "b": {"targets": ["x.y"], "format": "float-quantized", "weights": {"num_bits": 8, "type": "float", "strategy": "tensor"},
          "input_activations": {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": true}}}})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->SchemeOf("x.y")->format, "fp8_e4m3");
  EXPECT_EQ(config->SchemeOf("x.y")->activations, "fp8_e4m3");
  EXPECT_EQ(config->SchemeOf("x.z")->format, "int4");
  EXPECT_EQ(config->SchemeOf("x.z")->activations, "");
}

// What is not understood must never be run as if it were dense, or with another meaning.
TEST(QuantizationConfig, WhatIsNotUnderstoodIsAnError) {
  const std::vector<std::string> bad = {
      "[]",
      "{",
      R"({"quant_method": "gptq"})",
      R"({"quant_method": "compressed-tensors"})",
      Config("{}"),
      Config(R"({"targets": ["Linear"]})"),
      Config(R"({"targets": ["re:.*"], "weights": {"num_bits": 4, "strategy": "channel"}})"),
      Config(R"({"targets": [7], "weights": {"num_bits": 4, "strategy": "channel"}})"),
      Config(R"({"targets": ["Linear"], "weights": {"num_bits": 3, "strategy": "channel"}})"),
      Config(R"({"targets": ["Linear"], "weights": {"num_bits": 4, "strategy": "block"}})"),
      Config(
          R"({"targets": ["Linear"], "weights": {"num_bits": 4, "strategy": "group", "group_size": -1}})"),
      Config(
          R"({"targets": ["Linear"], "weights": {"num_bits": 4, "strategy": "channel", "actorder": "group"}})"),
      Config(
          R"({"targets": ["Linear"], "weights": {"num_bits": 8, "type": "float", "strategy": "channel"}})"),
      Config(
          R"({"targets": ["Linear"], "format": "nvfp4-pack-quantized", "weights": {"num_bits": 4, "strategy": "channel"}})"),
      Config(
          R"({"targets": ["Linear"], "weights": {"num_bits": 8, "strategy": "channel"}, "input_activations": {"num_bits": 8, "strategy": "tensor", "dynamic": false}})"),
      Config(kGroup, R"(, "kv_cache_scheme": {"num_bits": 8})"),
  };
  for (const std::string& text : bad) {
    auto config = QuantizationConfig::Parse(text);
    EXPECT_EQ(ReasonOf(config.status()), "UNSUPPORTED_QUANTIZATION") << text;
  }
}

}  // namespace
}  // namespace swage
