#include "tests/jobs/expectations.h"

#include "base/env.h"
#include "base/modelfile/safetensors.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace swage {
namespace {

using nlohmann::json;

std::string ShapeText(const TensorInfo& tensor) {
  std::string text;
  for (const int64_t size : tensor.shape) text += Cat(text.empty() ? "" : ", ", size);
  return Cat(DTypeName(tensor.dtype), " [", text, "]");
}

void CheckTensors(const JobExpectation& expect, const SafetensorsHeader& header,
                  std::string_view file) {
  for (const auto& [name, expected] : expect.tensors) {
    const TensorInfo* tensor = header.Find(name);
    ASSERT_NE(tensor, nullptr) << "no tensor " << name;
    const std::string shape = ShapeText(*tensor);
    const std::string digest =
        Sha256Of(file.substr(header.data_offset + tensor->begin, tensor->bytes())).Hex();
    const bool with_digest =
        expected.size() > 64 && EndsWith(expected.substr(0, expected.size() - 64), " ");
    EXPECT_EQ(expected, with_digest ? Cat(shape, " ", digest) : shape) << name;
  }
  for (const std::string& name : expect.no_tensors) EXPECT_EQ(header.Find(name), nullptr) << name;
}

}  // namespace

void CheckReport(const JobExpectation& expect, const Plan& plan, const std::string& text) {
  const json report = json::parse(text, nullptr, false);
  ASSERT_TRUE(report.is_object()) << text;
  EXPECT_EQ(report["recipe"].dump(), plan.recipe.ToJson())
      << "the report's recipe is not the one that was run";
  const json::json_pointer bits("/bits/effective"), kl("/quality/kl"),
      top1("/quality/top1_agreement");
  if (plan.recipe.export_format != "dense") {
    EXPECT_DOUBLE_EQ(report.value(bits, -1.0), plan.estimate.bits_per_weight);
  }
  if (expect.effective_bits) {
    EXPECT_NEAR(report.value(bits, -1.0), *expect.effective_bits, 1e-9);
  }
  ASSERT_EQ(report["layers"].size(), plan.quantized.size());
  for (const json& layer : report["layers"]) {
    const double error = layer.value("relative_error", -1.0);
    EXPECT_GT(error, 0) << layer;
    if (expect.relative_error_max) {
      EXPECT_LE(error, *expect.relative_error_max) << layer;
    }
  }
  if (plan.recipe.evaluate) {
    const double original = report.value("/quality/perplexity/original"_json_pointer, -1.0);
    const double compressed = report.value("/quality/perplexity/compressed"_json_pointer, -1.0);
    ASSERT_GT(original, 1);
    if (expect.perplexity_rise_max) {
      EXPECT_LE(compressed / original - 1, *expect.perplexity_rise_max);
    }
    EXPECT_GT(report.value(kl, -1.0), 0) << "a quantized model differs from its original";
    if (expect.kl_max) {
      EXPECT_LE(report.value(kl, 1e9), *expect.kl_max);
    }
    if (expect.top1_agreement_min) {
      EXPECT_GE(report.value(top1, -1.0), *expect.top1_agreement_min);
    }
  } else {
    EXPECT_TRUE(report.at(kl).is_null()) << "what was not measured must not be reported";
  }
  for (const std::string& stage : plan.stages) {
    if (stage == "stage_inputs" || stage == "upload" || stage == "commit" || stage == "encode")
      continue;
    bool found = false;
    for (const json& item : report["stages"])
      found = found || (item.value("name", "") == stage && item.value("seconds", -1.0) >= 0);
    EXPECT_TRUE(found) << stage << " is not in the report";
  }
}

void CheckArtifact(const JobExpectation& expect, const Plan& plan, const std::string& out_dir) {
  const StatusOr<std::string> config_text =
      ReadFile(Env::Posix(), JoinPath(out_dir, "config.json"), 1 << 24);
  ASSERT_TRUE(config_text.ok()) << config_text.status();
  const json config = json::parse(*config_text, nullptr, false);
  ASSERT_TRUE(config.is_object());
  const std::string format = config.contains("quantization_config")
                                 ? config["quantization_config"].value("format", "")
                                 : "none";
  EXPECT_EQ(format, expect.format);

  const StatusOr<MappedFile> file = MappedFile::Open(JoinPath(out_dir, "model.safetensors"));
  ASSERT_TRUE(file.ok()) << file.status();
  const auto header = ParseSafetensorsHeader(file->bytes(), file->bytes().size());
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(file->bytes().size() - header->data_offset, plan.estimate.artifact_bytes)
      << "the estimate must be exact";
  CheckTensors(expect, *header, file->bytes());
}

}  // namespace swage
