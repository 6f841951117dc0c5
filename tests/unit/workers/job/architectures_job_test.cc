// Quantize jobs on the tiny models of tests/golden/forward: fused, transposed and expert linears
// become artifacts that run.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include <nlohmann/json.hpp>

#include "tests/unit/workers/job/engine_fixture.h"
#include "workers/runtime/score.h"

namespace swage {
namespace {

using Json = nlohmann::json;

struct Family {
  const char* folder;
  const char* variant;
  size_t linears;  // that are quantized
};

constexpr Family kFamilies[] = {
    {"llama", "llama3", 14},    {"mistral", "sliding", 14}, {"qwen2", "sliding", 14},
    {"qwen3", "plain", 14},     {"gemma2", "plain", 14},    {"gemma3", "plain", 21},
    {"phi3", "longrope", 8},    {"gpt2", "plain", 8},       {"opt", "plain", 12},
    {"opt-350m", "plain", 12},  {"mixtral", "plain", 32},   {"qwen2-moe", "plain", 4 + 12 + 3 + 7},
    {"qwen3-moe", "plain", 44},
};

class ArchitectureJobTest : public EngineFixture, public testing::WithParamInterface<Family> {
 protected:
  void SetUp() override {
    root_ = Cat("tests/golden/forward/", GetParam().folder);
    model_ = JoinPath(dir_.path(), "model");
    ASSERT_TRUE(Env::Posix()->CreateDirs(model_).ok());
    Copy("model.safetensors", "model.safetensors");
    Copy(Cat(GetParam().variant, ".json"), "config.json");
    auto golden = OpenFileTensors(Cat(root_, "/", GetParam().variant, ".golden.safetensors"));
    ASSERT_TRUE(golden.ok()) << golden.status();
    golden_ = *golden;
  }
  void Copy(const std::string& from, const char* to) {
    auto bytes = ReadFile(Env::Posix(), JoinPath(root_, from), 64 << 20);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    ASSERT_TRUE(WriteFileAtomic(Env::Posix(), JoinPath(model_, to), *bytes).ok());
  }

  StatusOr<Json> Run(const std::string& recipe, const std::string& name) {
    EngineRequest request = Request(recipe, name);
    request.model_dir = model_;
    SWAGE_ASSIGN_OR_RETURN(const std::string report, RunRecipe(Env::Posix(), request, {}));
    return Json::parse(report);
  }

  // Root of the mean squared difference from the golden logits, as a share of their own.
  double Off(const std::string& artifact) {
    auto model = Model::Open(Env::Posix(), JoinPath(dir_.path(), artifact));
    EXPECT_TRUE(model.ok()) << model.status();
    if (!model.ok()) return INFINITY;
    const TensorView ids_view = *golden_->Find("ids"), logits = *golden_->Find("logits");
    std::vector<int32_t> ids(ids_view.bytes.size() / 4);
    std::memcpy(ids.data(), ids_view.bytes.data(), ids_view.bytes.size());
    std::vector<float> want(logits.bytes.size() / 4);
    std::memcpy(want.data(), logits.bytes.data(), logits.bytes.size());
    const std::unique_ptr<Ops> ops = NewCpuOps(1);
    double error = 0, norm = 0;
    size_t at = 0;
    const Status status = RunLogits(
        ops.get(), **model, ids, Compute::kF32, {}, [&](int64_t rows, const float* got) {
          for (int64_t i = 0; i < rows * (*model)->config().vocab; ++i, ++at) {
            error += std::pow(static_cast<double>(got[i]) - want[at], 2);
            norm += std::pow(static_cast<double>(want[at]), 2);
          }
          return absl::OkStatus();
        });
    EXPECT_TRUE(status.ok()) << status;
    return std::sqrt(error / norm);
  }

  std::string root_, model_;
  std::shared_ptr<TensorSource> golden_;
};

std::string Recipe8(const char* rest) {
  return Cat("steps:\n- {kind: quantize, method: rtn, format: int8, granularity: channel}\n", rest);
}

TEST_P(ArchitectureJobTest, TheArtifactRunsAndIsNearTheOriginal) {
  const bool conv1d = std::string(GetParam().folder) == "gpt2";
  const char* format = conv1d ? "export: dense\n" : "export: compressed-tensors\n";
  auto report = Run(Recipe8(format), "int8");
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ((*report)["layers"].size(), GetParam().linears);
  for (const Json& layer : (*report)["layers"]) EXPECT_LT(layer["relative_error"], 0.02) << layer;
  const std::string folder = GetParam().folder;
  const bool experts = EndsWith(folder, "moe") || folder == "mixtral";  // a router may turn
  EXPECT_LT(Off("int8"), experts ? 0.3 : 0.05);
  auto files = ModelFiles::Open(Env::Posix(), JoinPath(dir_.path(), "int8"));
  ASSERT_TRUE(files.ok()) << files.status();
  auto recipe = ParseRecipe(Recipe8(format));
  auto config = ParseModelConfig(*ReadFile(Env::Posix(), JoinPath(model_, "config.json"), 1 << 20));
  ASSERT_TRUE(recipe.ok() && config.ok());
  config->dtype = "bfloat16";  // what the tiny models are stored in
  auto plan = MakePlan(*recipe, *config);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->estimate.artifact_bytes, files->total_bytes());
}

// Linears that are stored transposed have no words in compressed-tensors: refused at submit.
TEST_P(ArchitectureJobTest, FourBitsInGroupsOrARefusal) {
  auto report = Run(
      "steps:\n- {kind: quantize, method: rtn, format: int4, granularity: group, group_size: 8, "
      "symmetric: false}\n",
      "int4");
  if (std::string(GetParam().folder) == "gpt2") {
    EXPECT_EQ(ReasonOf(report.status()), "EXPORT_CANNOT_EXPRESS");
    EXPECT_NE(NextStepOf(report.status()).find("dense"), std::string::npos);
    return;
  }
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_LT(Off("int4"), 1.0);
}

INSTANTIATE_TEST_SUITE_P(Families, ArchitectureJobTest, testing::ValuesIn(kFamilies),
                         [](const testing::TestParamInfo<Family>& info) {
                           std::string name = info.param.folder;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace swage
