#include "workers/exports/exporter.h"

#include <gtest/gtest.h>

#include <limits>

#include <nlohmann/json.hpp>

#include "workers/exports/config_json.h"
#include "workers/exports/model_folder.h"
#include "workers/runtime/model.h"

namespace swage {
namespace {

using Json = nlohmann::json;

ModelConfig Config() {
  auto text = ReadFile(Env::Posix(), "tests/data/models/classics-6m/config.json", 1 << 20);
  return *ParseModelConfig(*text);
}

LinearPlan PlanFor(const std::string& module, const std::string& format,
                  const std::string& granularity) {
  return {module, {format, granularity, granularity == "group" ? 64 : 0, true}, std::nullopt};
}

TEST(CompressedTensors, SeveralSchemesBecomeGroupsWithTheirModules) {
  Plan plan;
  plan.quantized = {PlanFor("model.layers.0.mlp.up_proj", "int4", "group"),
                    PlanFor("model.layers.0.mlp.down_proj", "fp8_e4m3", "channel"),
                    PlanFor("model.layers.1.mlp.up_proj", "int4", "group")};
  plan.kept_dense = {"model.layers.1.mlp.down_proj"};
  auto text = FindExporter("compressed-tensors")->ConfigJson(Config(), plan);
  ASSERT_TRUE(text.ok()) << text.status();
  const Json section = Json::parse(*text)["quantization_config"];
  EXPECT_EQ(section["format"], "mixed-precision");
  EXPECT_EQ(section["config_groups"].size(), 2u);
  EXPECT_EQ(section["config_groups"]["group_0"]["targets"],
            Json::array({"model.layers.0.mlp.up_proj", "model.layers.1.mlp.up_proj"}));
  EXPECT_EQ(section["config_groups"]["group_0"]["format"], "pack-quantized");
  EXPECT_EQ(section["config_groups"]["group_1"]["format"], "float-quantized");
  EXPECT_EQ(section["ignore"], Json::array({"model.layers.1.mlp.down_proj", "lm_head"}));
}

TEST(ConfigJson, AnOldSectionIsReplacedAndEverythingElseStaysInOrder) {
  auto text = ReplaceQuantizationConfig(
      R"({"z": 1e-05, "quantization_config": {"old": 1}, "a": [1, null]})",
      nlohmann::ordered_json());
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(nlohmann::ordered_json::parse(*text).dump(), R"({"z":1e-05,"a":[1,null]})");
  EXPECT_EQ(ReasonOf(ReplaceQuantizationConfig("[]", {}).status()), "CONFIG_NOT_JSON");
}

TEST(Dense, CannotSayThatInputsAreRounded) {
  Plan plan;
  plan.quantized = {PlanFor("model.layers.0.mlp.up_proj", "int8", "channel")};
  EXPECT_TRUE(FindExporter("dense")->ConfigJson(Config(), plan).ok());
  plan.quantized[0].activations = ActivationScheme{"int8", "token", true};
  EXPECT_EQ(ReasonOf(FindExporter("dense")->ConfigJson(Config(), plan).status()),
            "EXPORT_CANNOT_EXPRESS");
}

TEST(Degenerate, NamesTheTensor) {
  auto q = *MakeQuantizedLinear("int8", "channel", 0, true, 2, 4);
  q.scales = {0.5f, 0.5f};
  q.codes = {1, 2, 3, 4, 5, 6, 7, 8};
  std::vector<float> values = {1, 1, 1, 1, 1, 1, 1, 1};
  EXPECT_TRUE(CheckNotDegenerate("m", q, values.data()).ok());

  auto zeroed = values;
  std::fill(zeroed.begin(), zeroed.end(), 0.0f);
  auto nan = values;
  nan[5] = std::numeric_limits<float>::quiet_NaN();
  auto constant = q;
  std::fill(constant.codes.begin(), constant.codes.end(), static_cast<int8_t>(3));
  auto bad_scale = q;
  bad_scale.scales[1] = std::numeric_limits<float>::infinity();
  for (const Status& status :
       {CheckNotDegenerate("m", q, zeroed.data()), CheckNotDegenerate("m", q, nan.data()),
        CheckNotDegenerate("m", constant, values.data()),
        CheckNotDegenerate("m", bad_scale, values.data())}) {
    EXPECT_EQ(ReasonOf(status), "DEGENERATE_RESULT");
    EXPECT_NE(MessageOf(status).find("m.weight"), std::string::npos);
  }
}

class ModelFolder : public testing::Test {
 protected:
  void Put(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomic(Env::Posix(), JoinPath(from_.path(), name), text).ok());
  }
  TempDir from_, to_;
};

TEST_F(ModelFolder, CopiesWhatIsNoWeight) {
  for (const char* name :
       {"tokenizer.json", "generation_config.json", "LICENSE.txt", "chat_template.jinja"})
    Put(name, name);
  for (const char* name :
       {"config.json", "report.json", "pytorch_model.bin", "model-00001-of-00002.safetensors",
        "model.safetensors.index.json", "x.gguf", ".hidden", "y.tmp"}) {
    Put(name, name);
  }
  auto bytes = CopySideFiles(Env::Posix(), from_.path(), to_.path());
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  auto entries = *Env::Posix()->ListDir(to_.path());
  std::vector<std::string> names;
  for (const DirEntry& entry : entries) names.push_back(entry.name);
  EXPECT_EQ(names, (std::vector<std::string>{"LICENSE.txt", "chat_template.jinja",
                                             "generation_config.json", "tokenizer.json"}));
  EXPECT_EQ(*bytes, 11u + 19u + 22u + 14u);
}

TEST_F(ModelFolder, ReadingBackFindsOneChangedBit) {
  auto source = OpenFolderTensors(Env::Posix(), "tests/data/models/classics-6m");
  ASSERT_TRUE(source.ok());
  const std::vector<std::string> names = {"model.norm.weight",
                                          "model.layers.0.input_layernorm.weight"};
  const std::string path = JoinPath(to_.path(), "model.safetensors");
  ASSERT_TRUE(WriteModelFile(Env::Posix(), path, **source, names, nullptr).ok());
  EXPECT_TRUE(VerifyModelFile(Env::Posix(), to_.path(), **source, names, nullptr).ok());
  EXPECT_EQ(ReasonOf(VerifyModelFile(Env::Posix(), to_.path(), **source, {names[0]}, nullptr)),
            "READBACK_DIFFERS");

  std::string bytes = *ReadFile(Env::Posix(), path, 1 << 20);
  bytes.back() ^= 1;
  ASSERT_TRUE(WriteFileAtomic(Env::Posix(), path, bytes).ok());
  const Status status = VerifyModelFile(Env::Posix(), to_.path(), **source, names, nullptr);
  EXPECT_EQ(ReasonOf(status), "READBACK_DIFFERS");
  EXPECT_NE(MessageOf(status).find("model.norm.weight"), std::string::npos) << status;
}

}  // namespace
}  // namespace swage
