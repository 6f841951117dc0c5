#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/recipe/recipe.h"

namespace swage {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

ModelConfig Config(bool tied = true) {
  const StatusOr<ModelConfig> config = ParseModelConfig(Cat(
      R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 96, "intermediate_size": 160,
          "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 100,
          "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "hidden_act": "silu", "dtype": "bfloat16", "tie_word_embeddings": )",
      tied ? "true}" : "false}"));
  EXPECT_TRUE(config.ok()) << config.status();
  return *config;
}

StatusOr<Plan> PlanOf(std::string_view keys, const ModelConfig& config,
                      std::string_view rest = "") {
  SWAGE_ASSIGN_OR_RETURN(
      const Recipe recipe,
      ParseRecipe(Cat("steps:\n- {kind: quantize, method: rtn, ", keys, "}\n", rest)));
  return MakePlan(recipe, config);
}

std::string FailureOf(const StatusOr<Plan>& plan) {
  EXPECT_FALSE(plan.ok());
  if (plan.ok()) return "";
  EXPECT_EQ(plan.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(NextStepOf(plan.status()), "");
  return Cat(ReasonOf(plan.status()), " ", MessageOf(plan.status()));
}

TEST(MakePlan, TakesAllLinearsButTheHead) {
  for (const bool tied : {true, false}) {
    const StatusOr<Plan> plan = PlanOf("format: int8", Config(tied));
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_EQ(plan->quantized.size(), 14u);
    EXPECT_EQ(plan->quantized.front().module, "model.layers.0.self_attn.q_proj");
    EXPECT_EQ(plan->quantized.back().module, "model.layers.1.mlp.down_proj");
    if (tied) {
      EXPECT_THAT(plan->kept_dense, IsEmpty());
    } else {
      EXPECT_THAT(plan->kept_dense, ElementsAre("lm_head"));
    }
  }
}

TEST(MakePlan, TheHeadCanBeQuantizedWhenItIsNotTied) {
  const StatusOr<Plan> plan = PlanOf("format: int8, ignore: []", Config(false));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->quantized.back().module, "lm_head");
  EXPECT_THAT(FailureOf(PlanOf("format: int8, targets: [lm_head], ignore: []", Config(true))),
              HasSubstr("NOTHING_TO_QUANTIZE"));
}

TEST(MakePlan, TheLastOverrideThatMatchesWins) {
  const StatusOr<Plan> plan = PlanOf(
      "format: int4, group_size: 32, overrides: [{match: '*.down_proj', format: int8}, {match: "
      "'*.1.*down*', granularity: channel}]",
      Config());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->quantized[6].weights, (QuantScheme{"int8", "group", 32, true}));
  EXPECT_EQ(plan->quantized[13].weights, (QuantScheme{"int4", "channel", 0, true}));
}

TEST(MakePlan, SeveralStepsShareTheModel) {
  const StatusOr<Recipe> recipe = ParseRecipe(
      "steps:\n- {kind: quantize, method: rtn, format: int4, group_size: 32, targets: ['*mlp*']}\n"
      "- {kind: quantize, method: rtn, format: int8, targets: ['*self_attn*'], activations: "
      "{format: int8}}\n");
  ASSERT_TRUE(recipe.ok()) << recipe.status();
  const StatusOr<Plan> plan = MakePlan(*recipe, Config());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->quantized[0].weights.format, "int8");
  EXPECT_TRUE(plan->quantized[0].activations.has_value());
  EXPECT_EQ(plan->quantized[4].weights.format, "int4");
  EXPECT_FALSE(plan->quantized[4].activations.has_value());
  Recipe twice = *recipe;
  twice.steps[1].targets = {"*"};
  EXPECT_THAT(FailureOf(MakePlan(twice, Config())), HasSubstr("STEPS_OVERLAP"));
}

TEST(MakePlan, PatternsThatMatchNothingAreRefused) {
  EXPECT_THAT(FailureOf(PlanOf("format: int8, targets: ['*.qproj']", Config())),
              HasSubstr("PATTERN_MATCHES_NOTHING the pattern '*.qproj' of 'targets'"));
  EXPECT_THAT(FailureOf(PlanOf("format: int8, ignore: ['model.layers.0.mlp.dwn_proj']", Config())),
              HasSubstr("of 'ignore' matches no linear of the model; did you mean "
                        "'model.layers.0.mlp.down_proj'?"));
  EXPECT_THAT(FailureOf(PlanOf(
                  "format: int8, ignore: ['*.1.*'], overrides: [{match: '*.1.*', format: int4}]",
                  Config())),
              HasSubstr("of 'overrides'"));
  EXPECT_TRUE(PlanOf("format: int8, ignore: [lm_head]", Config()).ok())
      << "a tied head may be ignored by name";
}

TEST(MakePlan, GroupsMustDivideTheInputs) {
  EXPECT_THAT(FailureOf(PlanOf("format: int4, group_size: 128", Config())),
              AllOf(HasSubstr("GROUP_DOES_NOT_DIVIDE the group size 128 does not divide the 96 "
                              "inputs of model.layers.0.self_attn.q_proj")));
  const StatusOr<Plan> plan = PlanOf("format: int4, group_size: 128", Config());
  EXPECT_THAT(NextStepOf(plan.status()), HasSubstr("32, 16"));
  EXPECT_TRUE(PlanOf("format: int4, group_size: 32", Config()).ok());
  EXPECT_TRUE(PlanOf("format: mxfp4, activations: {format: mxfp4}", Config()).ok());
  EXPECT_TRUE(PlanOf("format: fp8_e4m3, granularity: block", Config()).ok())
      << "blocks at the edge may be smaller";
  EXPECT_THAT(FailureOf(PlanOf("format: fp8_e4m3, granularity: block, activations: {format: "
                               "fp8_e4m3, granularity: group}",
                               Config())),
              HasSubstr("GROUP_DOES_NOT_DIVIDE activations in groups of 128"));
}

TEST(MakePlan, FusedShardsMustAgree) {
  EXPECT_THAT(
      FailureOf(PlanOf("format: int8, overrides: [{match: '*.v_proj', format: int4}]", Config())),
      AllOf(HasSubstr("FUSED_SHARDS_DIFFER"), HasSubstr("q_proj"), HasSubstr("v_proj")));
  EXPECT_THAT(FailureOf(PlanOf("format: int8, ignore: ['*.gate_proj']", Config())),
              HasSubstr("(dense)"));
  EXPECT_TRUE(PlanOf("format: int8, ignore: ['*.gate_proj', '*.up_proj']", Config()).ok());
  EXPECT_TRUE(PlanOf("format: int8, ignore: ['model.layers.0.*']", Config()).ok())
      << "blocks may differ";
}

TEST(MakePlan, WindowsMustFitThePositions) {
  EXPECT_THAT(FailureOf(PlanOf("format: int8", Config(), "evaluate: {text: a, window: 257}\n")),
              HasSubstr("WINDOW_TOO_LONG"));
  EXPECT_TRUE(PlanOf("format: int8", Config(), "evaluate: {text: a, window: 256}\n").ok());
  EXPECT_THAT(FailureOf(PlanOf("format: int8", Config(), "calibrate: {text: a}\n")),
              HasSubstr("WINDOW_TOO_LONG"));
}

TEST(MakePlan, QuantizedModelsAreRefused) {
  ModelConfig config = Config();
  config.quantization_json = "{}";
  EXPECT_THAT(FailureOf(PlanOf("format: int8", config)), HasSubstr("ALREADY_QUANTIZED"));
}

TEST(MakePlan, NamesTheStages) {
  EXPECT_THAT(PlanOf("format: int8", Config(), "evaluate: {text: a, window: 64}\n")->stages,
              ElementsAre("stage_inputs", "load", "block[0]", "block[1]", "evaluate", "encode",
                          "upload", "commit"));
  EXPECT_THAT(PlanOf("format: int8", Config())->stages, testing::Not(Contains("evaluate")));
}

}  // namespace
}  // namespace swage
