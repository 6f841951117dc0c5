// The export of the sample model against what llm-compressor wrote for it (tests/golden/export,
// made by make_export.py): the same names, types, shapes and bytes.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include <nlohmann/json.hpp>

#include "base/digest.h"
#include "kernels/numeric/formats.h"
#include "workers/exports/compressed_tensors.h"
#include "workers/exports/exporter.h"
#include "workers/methods/registry.h"
#include "workers/recipe/scheme.h"
#include "workers/runtime/model.h"
#include "workers/runtime/quantized_reader.h"

namespace swage {
namespace {

using Json = nlohmann::json;

constexpr char kModel[] = "tests/data/models/classics-6m";

std::string FormatOf(const Json& args) {
  const int bits = args["num_bits"];
  const std::string scale = args.value("scale_dtype", "");
  if (args["type"] == "int") return Cat("int", bits);
  if (EndsWith(scale, "uint8")) return Cat("mxfp", bits);
  return bits == 4 ? "nvfp4" : "fp8_e4m3";
}

LinearPlan PlanOf(const std::string& module, const Json& golden) {
  const Json& weights = golden["weights"];
  LinearPlan plan;
  plan.module = module;
  plan.weights.format = FormatOf(weights);
  const std::string strategy = weights["strategy"];
  plan.weights.granularity = strategy == "tensor_group" ? "group" : strategy;
  plan.weights.group_size = weights.value("group_size", int64_t{0});
  if (strategy == "block") plan.weights.group_size = weights["block_structure"][0];
  plan.weights.symmetric = weights["symmetric"];
  const Json& inputs = golden["input_activations"];
  if (!inputs.is_null()) {
    plan.activations = ActivationScheme{FormatOf(inputs), inputs["strategy"], true,
                                        inputs.value("group_size", int64_t{0})};
  }
  return plan;
}

class GoldenExport : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    std::ifstream file(Cat("tests/golden/export/", GetParam(), ".json"));
    golden_ = Json::parse(file);
    auto model = Model::Open(Env::Posix(), kModel);
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = std::move(*model);
    ops_ = NewCpuOps(1);
  }

  StatusOr<std::vector<EncodedTensor>> Encode(const LinearPlan& plan, const LinearSpec& spec) {
    std::vector<float> weight(spec.out * spec.in);
    SWAGE_RETURN_IF_ERROR(
        model_->ReadWeight(ops_.get(), plan.module, spec, weight.data()));
    const std::map<std::string, std::string> options;
    LinearTask task{&plan, &options, spec.out, spec.in, weight.data()};
    if (plan.weights.format == "nvfp4") {
      SWAGE_ASSIGN_OR_RETURN(task.global_scale, FusedGlobal(spec.input_group));
    }
    SWAGE_ASSIGN_OR_RETURN(QuantizedLinear q,
                           FindMethodImplementation("rtn")->Quantize(ops_.get(), task));
    return FindExporter("compressed-tensors")->Encode(ops_.get(), plan, q);
  }

  StatusOr<float> FusedGlobal(int input_group) {
    float absmax = 0;
    for (const LinearSpec& spec : model_->linears(0)) {
      if (spec.input_group != input_group) continue;
      std::vector<float> weight(spec.out * spec.in);
      SWAGE_RETURN_IF_ERROR(model_->ReadWeight(ops_.get(), Cat("model.layers.0.", spec.module), spec,
                                               weight.data()));
      for (const float w : weight) absmax = std::max(absmax, std::fabs(w));
    }
    return GlobalScale(absmax, kFp4Max, kFp8Max);
  }

  Json golden_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Ops> ops_;
};

TEST_P(GoldenExport, TensorsAreByteEqual) {
  size_t compared = 0;
  for (const LinearSpec& spec : model_->linears(0)) {
    const std::string module = Cat("model.layers.0.", spec.module);
    if (!golden_["tensors"].contains(module + ".weight_scale")) continue;
    auto tensors = Encode(PlanOf(module, golden_), spec);
    ASSERT_TRUE(tensors.ok()) << tensors.status();
    for (const EncodedTensor& tensor : *tensors) {
      SCOPED_TRACE(tensor.name);
      ASSERT_TRUE(golden_["tensors"].contains(tensor.name));
      const Json& want = golden_["tensors"][tensor.name];
      EXPECT_EQ(DTypeName(tensor.dtype), want["dtype"].get<std::string>());
      EXPECT_EQ(tensor.shape, want["shape"].get<std::vector<int64_t>>());
      EXPECT_EQ(Sha256Of(tensor.bytes).Hex(), want["sha256"].get<std::string>());
      ++compared;
    }
  }
  EXPECT_EQ(compared, golden_["tensors"].size());
}

TEST_P(GoldenExport, ConfigSaysTheSameInFewerWords) {
  Plan plan;
  for (const std::string& module : LinearModules(model_->config()))
    plan.quantized.push_back(PlanOf(module, golden_));
  auto text = FindExporter("compressed-tensors")->ConfigJson(model_->config(), plan);
  ASSERT_TRUE(text.ok()) << text.status();
  const Json config = Json::parse(*text), original = Json::parse(model_->config().raw_json);
  for (const auto& [key, value] : original.items()) EXPECT_EQ(config[key], value) << key;
  const Json& section = config["quantization_config"];
  EXPECT_EQ(section["quant_method"], "compressed-tensors");
  EXPECT_EQ(section["quantization_status"], "compressed");
  EXPECT_EQ(section["format"], golden_["format"]);
  EXPECT_EQ(section["ignore"], golden_["ignore"]);
  ASSERT_EQ(section["config_groups"].size(), 1u);
  const Json& group = section["config_groups"]["group_0"];
  EXPECT_EQ(group["targets"], Json::array({"Linear"}));
  EXPECT_EQ(group["format"], golden_["format"]);
  for (const auto& [key, value] : golden_["weights"].items()) {
    EXPECT_EQ(group["weights"].value(key, Json()), value) << key;
  }
  EXPECT_EQ(group.value("input_activations", Json()), golden_["input_activations"]);
}

INSTANTIATE_TEST_SUITE_P(Schemes, GoldenExport,
                         testing::Values("W2A16", "W3A16", "W4A16", "W4A16_ASYM", "W8A16", "W8A8",
                                         "W4A8", "W4AFP8", "FP8_DYNAMIC", "FP8_BLOCK", "MXFP8A16",
                                         "MXFP4A16", "MXFP4", "NVFP4A16"),
                         [](const auto& info) { return std::string(info.param); });

// Every scheme is decoded by the reader to exactly the values of its codes, zero points and odd
// widths included.
TEST(RoundTrip, TheReaderGetsWhatWasEncoded) {
  const std::unique_ptr<Ops> ops = NewCpuOps(1);
  for (const QuantScheme& scheme : std::vector<QuantScheme>{{"int4", "group", 8, false},
                                                            {"int4", "channel", 0, false},
                                                            {"int8", "group", 8, false},
                                                            {"int8", "channel", 0, true},
                                                            {"fp8_e4m3", "tensor", 0, true},
                                                            {"fp8_e4m3", "block", 16, true},
                                                            {"int3", "group", 16, false},
                                                            {"int2", "channel", 0, true},
                                                            {"ternary", "channel", 0, true},
                                                            {"mxfp8", "group", 32, true},
                                                            {"mxfp4", "group", 32, true},
                                                            {"nvfp4", "group", 16, true},
                                                            {"nvfp4_46", "group", 16, true}}) {
    for (const bool rounded : {false, true}) {
      LinearPlan plan{"m", scheme, std::nullopt};
      const SchemeRules* rules = FindSchemeRules(scheme.format);
      if (rounded && rules->activations.empty()) continue;
      if (rounded) plan.activations = ActivationScheme{rules->activations[0], "token", true};
      SCOPED_TRACE(Cat(scheme.format, " ", scheme.granularity, " ", rounded));
      // Rows and columns that fill no whole words or blocks, where the format lets them.
      const int64_t out = 77, in = rules->fixed_group ? 96 : scheme.format == "int3" ? 48 : 40;
      auto q = MakeQuantizedLinear(scheme.format, scheme.granularity, scheme.group_size,
                                   scheme.symmetric, out, in);
      ASSERT_TRUE(q.ok());
      std::vector<float> weight(out * in);
      for (size_t i = 0; i < weight.size(); ++i)
        weight[i] = std::sin(static_cast<float>(i * i)) + 0.2f;
      QuantizeArgs args = q->Args();
      args.w = weight.data();
      ASSERT_TRUE(ops->Quantize(args).ok());
      auto tensors = FindExporter("compressed-tensors")->Encode(ops.get(), plan, *q);
      ASSERT_TRUE(tensors.ok()) << tensors.status();

      TempDir dir;
      std::vector<SafetensorsWriter::Declared> declared;
      for (const auto& t : *tensors) declared.push_back({t.name, t.dtype, t.shape});
      const std::string path = JoinPath(dir.path(), "x.safetensors");
      auto writer = SafetensorsWriter::Create(Env::Posix(), path, declared, {});
      ASSERT_TRUE(writer.ok());
      for (const auto& t : *tensors) ASSERT_TRUE(writer->Append(t.bytes).ok());
      ASSERT_TRUE(writer->Finish().ok());
      auto source = OpenFileTensors(path);
      ASSERT_TRUE(source.ok()) << source.status();

      LinearScheme stored;
      stored.storage = CompressedTensorsFormat(plan);
      stored.format = scheme.format == "ternary"    ? "int2"
                      : scheme.format == "nvfp4_46" ? "nvfp4"
                                                    : scheme.format;
      stored.bits = rules->bits;
      stored.granularity = scheme.granularity;
      stored.group_size = scheme.group_size;
      stored.symmetric = scheme.symmetric;
      auto read = ReadQuantizedRows(ops.get(), **source, "m", stored, out, in, 0, out);
      ASSERT_TRUE(read.ok()) << read.status();
      EXPECT_EQ(read->codes, q->codes);
      EXPECT_EQ(read->scales, q->scales);
      EXPECT_EQ(read->zeros, q->zeros);
      EXPECT_EQ(read->global_scale, q->global_scale);
      std::vector<float> values(weight.size()), decoded(weight.size());
      ASSERT_TRUE(ops->Dequantize(q->Args(), values.data()).ok());
      ASSERT_TRUE(ops->Dequantize(read->Args(), decoded.data()).ok());
      EXPECT_EQ(values, decoded);
      // A slice of rows at a time, too.
      const int64_t step = QuantizedRowStep(stored);
      for (int64_t begin = 0; begin < out; begin += step) {
        const int64_t rows = std::min(step, out - begin);
        auto slice = ReadQuantizedRows(ops.get(), **source, "m", stored, out, in, begin, rows);
        ASSERT_TRUE(slice.ok()) << slice.status();
        std::vector<float> part(rows * in);
        ASSERT_TRUE(ops->Dequantize(slice->Args(), part.data()).ok());
        EXPECT_TRUE(std::equal(part.begin(), part.end(), values.begin() + begin * in)) << begin;
      }
      EXPECT_FALSE(ReadQuantizedRows(ops.get(), **source, "m", stored, out + 1, in, 0, out + 1).ok());
    }
  }
}

}  // namespace
}  // namespace swage
