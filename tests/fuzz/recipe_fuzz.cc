// A recipe that is accepted has a canonical JSON that reads back to itself, and a plan or an error
// with a reason.
#include <cstdint>
#include <string_view>

#include "workers/recipe/recipe.h"

namespace {

swage::ModelConfig SmallConfig() {
  swage::ModelConfig config;
  config.architecture = "LlamaForCausalLM";
  config.hidden = 64;
  config.ffn = 128;
  config.layers = 2;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 16;
  config.vocab = 100;
  config.max_positions = 1024;
  return config;
}

void CheckReason(const swage::Status& status) {
  SWAGE_CHECK(!swage::ReasonOf(status).empty(), "an error without a reason: ", status.ToString());
  SWAGE_CHECK(status.code() == swage::StatusCode::kInvalidArgument, status.ToString());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto recipe = swage::ParseRecipe(text);
  if (!recipe.ok()) {
    CheckReason(recipe.status());
    return 0;
  }
  const std::string json = recipe->ToJson();
  const auto again = swage::RecipeFromJson(json);
  SWAGE_CHECK(again.ok(), again.status().ToString(), "\n", json);
  SWAGE_CHECK(again->ToJson() == json, json);
  static const swage::ModelConfig config = SmallConfig();
  const auto plan = swage::MakePlan(*recipe, config);
  if (!plan.ok()) {
    CheckReason(plan.status());
    return 0;
  }
  SWAGE_CHECK(!plan->quantized.empty() && plan->estimate.artifact_bytes > 0, json);
  return 0;
}
