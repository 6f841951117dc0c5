#include "workers/recipe/estimate.h"

#include "base/env.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swage {
namespace {

ModelConfig Classics() {
  const StatusOr<std::string> text =
      ReadFile(Env::Posix(), "tests/data/models/classics-6m/config.json", 1 << 20);
  EXPECT_TRUE(text.ok());
  const StatusOr<ModelConfig> config = ParseModelConfig(*text);
  EXPECT_TRUE(config.ok()) << config.status();
  return *config;
}

Estimate Of(std::string_view keys, std::string_view rest = "") {
  const StatusOr<Recipe> recipe =
      ParseRecipe(Cat("steps:\n- {kind: quantize, method: rtn, ", keys, "}\n", rest));
  EXPECT_TRUE(recipe.ok()) << recipe.status();
  const StatusOr<Plan> plan = MakePlan(*recipe, Classics());
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan->estimate;
}

// classics-6m: 6 blocks of q, o [256, 256], k, v [128, 256], gate, up [768, 256], down [256, 768];
// 786,432 weights a block.
constexpr double kBlockWeights = 2 * 256 * 256 + 2 * 128 * 256 + 3 * 768 * 256;
constexpr uint64_t kDenseBytes = 2 * (4096 * 256 + 13 * 256);  // bf16 embedding and norms

TEST(Estimate, BytesAndBitsAreExact) {
  const Estimate int4 = Of("format: int4");
  const double weights = 6 * kBlockWeights;
  EXPECT_EQ(int4.artifact_bytes,
            kDenseBytes + static_cast<uint64_t>(weights * 4 / 8 + weights / 128 * 4) + 6 * 7 * 16);
  EXPECT_DOUBLE_EQ(int4.bits_per_weight, 4.25);
  const Estimate int8 = Of("format: int8, activations: {format: int8}");
  const uint64_t rows = 6 * (2 * 256 + 2 * 128 + 2 * 768 + 256);
  EXPECT_EQ(int8.artifact_bytes, kDenseBytes + static_cast<uint64_t>(weights) + rows * 4);
  const Estimate tensor = Of("format: fp8_e4m3, granularity: tensor");
  EXPECT_EQ(tensor.artifact_bytes, kDenseBytes + static_cast<uint64_t>(weights) + 6 * 7 * 4);
}

TEST(Estimate, DenseLinearsKeepTheirBytes) {
  const std::string scheme = "format: int8, activations: {format: int8}";
  const uint64_t all = Of(scheme).artifact_bytes;
  const uint64_t down = 256 * 768, down_scales = 256 * 4;
  EXPECT_EQ(Of(scheme + ", ignore: ['model.layers.0.mlp.down_proj']").artifact_bytes,
            all - down - down_scales + 2 * down);
}

TEST(Estimate, EvaluationCostsTimeAndMemory) {
  const Estimate without = Of("format: int4");
  const Estimate few = Of("format: int4", "evaluate: {text: a, window: 512, max_windows: 10}\n");
  const Estimate many = Of("format: int4", "evaluate: {text: a, window: 512, max_windows: 100}\n");
  EXPECT_LT(without.seconds, few.seconds);
  EXPECT_LT(few.seconds, many.seconds);
  EXPECT_LT(without.peak_host_bytes, few.peak_host_bytes);
  EXPECT_LE(few.peak_host_bytes, many.peak_host_bytes);
}

}  // namespace
}  // namespace swage
