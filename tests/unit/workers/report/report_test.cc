#include "workers/report/report.h"

#include <gtest/gtest.h>

#include <cmath>

#include <nlohmann/json.hpp>

namespace swage {
namespace {

using Json = nlohmann::json;

JobReport Sample() {
  JobReport report;
  report.model_digest = Sha256Of("model");
  report.action_digest = Sha256Of("action");
  report.architecture = "LlamaForCausalLM";
  report.recipe_json = R"({"steps": [{"method": "rtn"}]})";
  report.seed = 7;
  report.versions = {{"swage", "0.1.0"}, {"method.rtn", "1"}};
  report.numerics_class = "cpu/avx2/onednn-2.6/t2";
  report.data = {{"evaluate", "test.txt", Sha256Of("text"), 4}};
  report.original_bytes = {{"embedding", 100}, {"linears", 200}, {"files", 10}};
  report.artifact_bytes = {{"embedding", 100}, {"codes", 50}, {"scales", 5}, {"files", 10}};
  report.quantized_weights = 100;
  report.all_weights = 150;
  report.layers = {{"a.b", {10, 10}, "int4 symmetric, group of 8", "", 1.0, 400.0, 55}};
  report.stages = {{"load", 0.5, 1000}, {"block[0]", 1.5, 2000}};
  return report;
}

TEST(Report, HasEveryPartOfTheSchema) {
  JobReport report = Sample();
  report.quality =
      QualityReport{3.0, 3.5, 0.25, 0.9, 1.2, 1.4, 1000, 10, 100, 4000, true, "test.txt"};
  const Json json = Json::parse(ReportJson(report));
  EXPECT_EQ(json["schema"], 1);
  EXPECT_EQ(json["model"]["digest"], Sha256Of("model").Hex());
  EXPECT_EQ(json["recipe"]["steps"][0]["method"], "rtn");
  EXPECT_EQ(json["seed"], 7);
  EXPECT_EQ(json["versions"]["swage"], "0.1.0");
  EXPECT_EQ(json["numerics_class"], "cpu/avx2/onednn-2.6/t2");
  EXPECT_EQ(json["data"][0]["sha256"], Sha256Of("text").Hex());
  EXPECT_EQ(json["bytes"]["by_class"]["codes"], 50);
  EXPECT_EQ(json["bytes"]["original"], 310);
  EXPECT_EQ(json["bytes"]["artifact"], 165);
  EXPECT_DOUBLE_EQ(json["bits"]["effective"], 8.0 * 55 / 100);
  EXPECT_DOUBLE_EQ(json["bits"]["whole_model"], 8.0 * 155 / 150) << "files are no weights";
  EXPECT_DOUBLE_EQ(json["layers"][0]["relative_error"], 0.05);
  EXPECT_EQ(json["layers"][0]["shape"], Json::array({10, 10}));
  EXPECT_DOUBLE_EQ(json["quality"]["perplexity"]["original"], std::exp(3.0));
  EXPECT_DOUBLE_EQ(json["quality"]["perplexity"]["compressed"], std::exp(3.5));
  EXPECT_EQ(json["quality"]["perplexity"]["protocol"]["window"], 100);
  EXPECT_EQ(json["quality"]["perplexity"]["protocol"]["windows"], 10);
  EXPECT_DOUBLE_EQ(json["quality"]["kl"], 0.25);
  EXPECT_DOUBLE_EQ(json["quality"]["top1_agreement"], 0.9);
  ASSERT_EQ(json["stages"].size(), 2u);
  EXPECT_EQ(json["stages"][1]["name"], "block[0]");
  EXPECT_DOUBLE_EQ(json["stages"][1]["seconds"], 1.5);
  EXPECT_EQ(json["stages"][1]["peak_bytes"], 2000);
}

TEST(Report, WhatWasNotMeasuredIsNull) {
  const Json json = Json::parse(ReportJson(Sample()));
  EXPECT_TRUE(json["quality"]["perplexity"].is_null());
  EXPECT_TRUE(json["quality"]["kl"].is_null());
  EXPECT_NE(json["quality"]["note"].get<std::string>().find("not measured"), std::string::npos);
}

TEST(TensorClass, TellsCodesFromWeights) {
  const std::vector<std::string> quantized = {"l.0.up_proj"},
                                 linears = {"l.0.up_proj", "l.0.down_proj"};
  auto cls = [&](std::string_view name) {
    return TensorClass(name, quantized, linears, "model.embed", "lm_head");
  };
  EXPECT_EQ(cls("l.0.up_proj.weight"), "codes");
  EXPECT_EQ(cls("l.0.up_proj.weight_packed"), "codes");
  EXPECT_EQ(cls("l.0.up_proj.weight_scale"), "scales");
  EXPECT_EQ(cls("l.0.up_proj.weight_zero_point"), "zero_points");
  EXPECT_EQ(cls("l.0.up_proj.weight_shape"), "shapes");
  EXPECT_EQ(cls("l.0.up_proj.bias"), "biases");
  EXPECT_EQ(cls("l.0.down_proj.weight"), "linears");
  EXPECT_EQ(cls("model.embed.weight"), "embedding");
  EXPECT_EQ(cls("lm_head.weight"), "head");
  EXPECT_EQ(cls("l.0.input_layernorm.weight"), "norms");
  EXPECT_EQ(cls("rotary.inv_freq"), "other");
  EXPECT_EQ(cls("nodots"), "other");
}

}  // namespace
}  // namespace swage
