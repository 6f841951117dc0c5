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

TEST(QuantizationConfig, FloatFormatsWithSharedScales) {
  struct Expected {
    const char* group;
    LinearScheme scheme;
  };
  const Expected cases[] = {
      {R"({"targets": ["Linear"], "format": "nvfp4-pack-quantized", "weights": {"num_bits": 4, "type": "float",
           "strategy": "tensor_group", "group_size": 16, "scale_dtype": "torch.float8_e4m3fn"}})",
       {"nvfp4-pack-quantized", "nvfp4", 4, "group", 16, true, ""}},
      {R"({"targets": ["Linear"], "format": "mxfp4-pack-quantized", "weights": {"num_bits": 4, "type": "float",
           "strategy": "group", "group_size": 32, "scale_dtype": "torch.uint8"}, "input_activations": {"num_bits": 4,
           "type": "float", "strategy": "group", "group_size": 32, "scale_dtype": "torch.uint8", "dynamic": true}})",
       {"mxfp4-pack-quantized", "mxfp4", 4, "group", 32, true, "mxfp4"}},
      {R"({"targets": ["Linear"], "format": "mxfp8-quantized", "weights": {"num_bits": 8, "type": "float",
           "strategy": "group", "group_size": 32, "scale_dtype": "torch.uint8"}})",
       {"mxfp8-quantized", "mxfp8", 8, "group", 32, true, ""}},
      {R"({"targets": ["Linear"], "format": "float-quantized", "weights": {"num_bits": 8, "type": "float",
           "strategy": "block", "block_structure": [128, 128]}, "input_activations": {"num_bits": 8, "type": "float",
           "strategy": "group", "group_size": 128, "dynamic": true}})",
       {"float-quantized", "fp8_e4m3", 8, "block", 128, true, "fp8_e4m3/128"}},
      {R"({"targets": ["Linear"], "weights": {"num_bits": 3, "strategy": "group", "group_size": 64}})",
       {"pack-quantized", "int3", 3, "group", 64, true, ""}}};
  for (const Expected& expected : cases) {
    auto config = QuantizationConfig::Parse(Config(expected.group));
    ASSERT_TRUE(config.ok()) << config.status();
    const LinearScheme* got = config->SchemeOf("m");
    ASSERT_NE(got, nullptr);
    EXPECT_EQ(got->storage, expected.scheme.storage);
    EXPECT_EQ(got->format, expected.scheme.format);
    EXPECT_EQ(got->bits, expected.scheme.bits);
    EXPECT_EQ(got->granularity, expected.scheme.granularity);
    EXPECT_EQ(got->group_size, expected.scheme.group_size);
    EXPECT_EQ(got->activations, expected.scheme.activations);
  }
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
      Config(R"({"targets": ["Linear"], "weights": {"num_bits": 9, "strategy": "channel"}})"),
      Config(
          R"({"targets": ["Linear"], "format": "nvfp4-pack-quantized", "weights": {"num_bits": 4, "type": "float", "strategy": "group", "group_size": 16}})"),
      Config(
          R"({"targets": ["Linear"], "format": "mxfp4-pack-quantized", "weights": {"num_bits": 4, "type": "float", "strategy": "group", "group_size": 64}})"),
      Config(
          R"({"targets": ["Linear"], "format": "float-quantized", "weights": {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [128, 64]}})"),
      Config(
          R"({"targets": ["Linear"], "format": "float-quantized", "weights": {"num_bits": 8, "type": "float", "strategy": "block"}})"),
      Config(
          R"({"targets": ["Linear"], "format": "float-quantized", "weights": {"num_bits": 8, "type": "float", "strategy": "group", "group_size": 128}})"),
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
