#include <fstream>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/recipe/recipe.h"

namespace swage {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

Recipe Parsed(std::string_view yaml) {
  StatusOr<Recipe> recipe = ParseRecipe(yaml);
  EXPECT_TRUE(recipe.ok()) << recipe.status() << "\n" << yaml;
  return recipe.ok() ? *std::move(recipe) : Recipe{};
}

std::string ParseFailureOf(std::string_view yaml) {
  const StatusOr<Recipe> recipe = ParseRecipe(yaml);
  EXPECT_FALSE(recipe.ok()) << yaml;
  if (recipe.ok()) return "";
  EXPECT_EQ(recipe.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(NextStepOf(recipe.status()), "") << recipe.status();
  return Cat(ReasonOf(recipe.status()), " ", MessageOf(recipe.status()));
}

std::string Step(std::string_view keys) {
  return Cat("steps:\n- {kind: quantize, method: rtn, ", keys, "}\n");
}

TEST(ParseRecipe, FillsInDefaults) {
  const Recipe recipe = Parsed(Step("format: int4"));
  ASSERT_EQ(recipe.steps.size(), 1u);
  const RecipeStep& step = recipe.steps[0];
  EXPECT_EQ(step.weights, (QuantScheme{"int4", "group", 128, true}));
  EXPECT_FALSE(step.activations.has_value());
  EXPECT_THAT(step.targets, ElementsAre("*"));
  EXPECT_THAT(step.ignore, ElementsAre("lm_head"));
  EXPECT_EQ(recipe.export_format, "compressed-tensors");
  EXPECT_EQ(recipe.seed, 0u);
  EXPECT_EQ(Parsed(Step("format: int8")).steps[0].weights,
            (QuantScheme{"int8", "channel", 0, true}));
}

TEST(ParseRecipe, ReadsEveryKey) {
  const Recipe recipe = Parsed(R"(
steps:
- kind: quantize
  method: rtn
  format: int8
  granularity: group
  group_size: 64
  symmetric: false
  options: {}
  targets: ["*mlp*", "*.o_proj"]
  ignore: []
  overrides:
  - {match: "*.down_proj", format: int4, granularity: channel, symmetric: true}
  - {match: "*.o_proj", group_size: 32}
calibrate: {text: cal.txt, samples: 16, window: 256, shuffle: true}
evaluate: {text: "../t e x t.txt", window: 128, max_windows: 7}
export: compressed-tensors
seed: 18446744073709551615
)");
  const RecipeStep& step = recipe.steps.at(0);
  EXPECT_EQ(step.weights, (QuantScheme{"int8", "group", 64, false}));
  EXPECT_TRUE(step.ignore.empty());
  ASSERT_EQ(step.overrides.size(), 2u);
  EXPECT_EQ(step.overrides[0].scheme, (QuantScheme{"int4", "channel", 0, true}));
  EXPECT_EQ(step.overrides[1].scheme, (QuantScheme{"int8", "group", 32, false}))
      << "what is absent comes from the step";
  EXPECT_EQ(recipe.calibrate->samples, 16);
  EXPECT_TRUE(recipe.calibrate->shuffle);
  EXPECT_EQ(recipe.evaluate->text, "../t e x t.txt");
  EXPECT_EQ(recipe.evaluate->samples, 7);
  EXPECT_EQ(recipe.seed, 18446744073709551615u);
}

TEST(ParseRecipe, UnknownKeysNameLineNearestAndAllowed) {
  EXPECT_THAT(ParseFailureOf("steps:\n- kind: quantize\n  method: rtn\n  formt: int4\n"),
              AllOf(HasSubstr("RECIPE_UNKNOWN_KEY recipe, line 4: unknown key 'formt' in a step; "
                              "did you mean 'format'?"),
                    HasSubstr("group_size")));
  EXPECT_THAT(ParseFailureOf("step: []\n"),
              HasSubstr("line 1: unknown key 'step' in the recipe; did you mean 'steps'?"));
  EXPECT_THAT(ParseFailureOf(Step("format: int4") + "evaluate: {text: a, windows: 3}\n"),
              HasSubstr("'windows' in evaluate; did you mean 'window'?"));
  EXPECT_THAT(ParseFailureOf(Step("format: int4") + "calibrate: {text: a, max_windows: 3}\n"),
              HasSubstr("in calibrate"));
  EXPECT_THAT(ParseFailureOf(Step("format: int8, activations: {fromat: int8}")),
              HasSubstr("'fromat' in activations"));
  EXPECT_THAT(ParseFailureOf(Step("format: int8, overrides: [{match: x, ignore: y}]")),
              HasSubstr("'ignore' in an override"));
  EXPECT_THAT(ParseFailureOf(Step("format: int8, options: {damp: 1}")), HasSubstr("UNKNOWN_OPTION"));
}

TEST(ParseRecipe, UnknownWordsGetTheNearest) {
  EXPECT_THAT(ParseFailureOf(Step("format: int9")),
              AllOf(HasSubstr("RECIPE_UNKNOWN_VALUE"), HasSubstr("allowed: int2, int3, int4, int5")));
  EXPECT_THAT(ParseFailureOf("steps: [{kind: quantise, method: rtn}]"),
              HasSubstr("did you mean 'quantize'?"));
  EXPECT_THAT(ParseFailureOf("steps: [{kind: quantize, method: gptk, format: int4}]"),
              AllOf(HasSubstr("'method' in a step is 'gptk'; did you mean 'gptq'?"), HasSubstr("allowed: rtn, gptq")));
  EXPECT_THAT(ParseFailureOf(Step("format: int4, granularity: chanel")),
              HasSubstr("did you mean 'channel'?"));
  EXPECT_THAT(ParseFailureOf(Step("format: int4") + "export: gguf\n"),
              HasSubstr("allowed: compressed-tensors, dense"));
}

TEST(ParseRecipe, KindsWithoutMethodsSaySo) {
  for (const char* kind : {"prune", "kv_calibrate", "train", "evaluate"}) {
    EXPECT_THAT(
        ParseFailureOf(Cat("steps:\n- {kind: ", kind, ", method: x}\n")),
        AllOf(HasSubstr(Cat(
                  "KIND_NOT_AVAILABLE recipe, line 2: this version has no methods of the kind '",
                  kind, "' yet")),
              HasSubstr("quantize")));
  }
}

TEST(ParseRecipe, MissingKeysAndEmptySteps) {
  EXPECT_THAT(ParseFailureOf(""), HasSubstr("must be a map"));
  EXPECT_THAT(ParseFailureOf("seed: 1\n"), HasSubstr("RECIPE_MISSING_KEY"));
  EXPECT_THAT(ParseFailureOf("steps: []\n"), HasSubstr("a list of 1 to"));
  EXPECT_THAT(ParseFailureOf("steps:\n"), HasSubstr("a list of 1 to"));
  EXPECT_THAT(ParseFailureOf("steps: {a: b}\n"), HasSubstr("a list of 1 to"));
  EXPECT_THAT(ParseFailureOf("steps: [rtn]\n"), HasSubstr("a step must be a map"));
  EXPECT_THAT(ParseFailureOf("steps: [{kind: quantize}]\n"), HasSubstr("needs the key 'method'"));
  EXPECT_THAT(ParseFailureOf("steps: [{method: rtn}]\n"), HasSubstr("needs the key 'kind'"));
  EXPECT_THAT(ParseFailureOf("steps: [{kind: quantize, method: rtn}]\n"),
              HasSubstr("needs the key 'format'"));
  EXPECT_THAT(ParseFailureOf(Step("format: int4") + "evaluate: {window: 3}\n"),
              HasSubstr("evaluate needs the key 'text'"));
  EXPECT_THAT(ParseFailureOf(Step("format: int4") + "evaluate:\n"), HasSubstr("evaluate must be a map"));
  EXPECT_THAT(ParseFailureOf(Step("format: int4, targets: []")), HasSubstr("'targets' is empty"));
}

TEST(ParseRecipe, TypesAndRanges) {
  EXPECT_THAT(ParseFailureOf(Step("format: int4, group_size: 0")), HasSubstr("RECIPE_RANGE"));
  EXPECT_THAT(ParseFailureOf(Step("format: int4, group_size: -128")), HasSubstr("RECIPE_RANGE"));
  EXPECT_THAT(ParseFailureOf(Step("format: int4, group_size: \"128\"")), HasSubstr("RECIPE_TYPE"));
  EXPECT_THAT(ParseFailureOf(Step("format: int4, group_size: 1e2")), HasSubstr("RECIPE_TYPE"));
  EXPECT_THAT(ParseFailureOf(Step("format: int4, symmetric: yes")), HasSubstr("must be true or false"));
  EXPECT_THAT(ParseFailureOf(Step("format: [int4]")), HasSubstr("RECIPE_TYPE"));
  EXPECT_THAT(ParseFailureOf(Step("format: int4, targets: \"*\"")), HasSubstr("must be a list"));
  EXPECT_THAT(ParseFailureOf(Step("format: int4, ignore: [[a]]")), HasSubstr("a list of texts"));
  EXPECT_THAT(ParseFailureOf(Step("format: int4") + "seed: -1\n"), HasSubstr("RECIPE_TYPE"));
  EXPECT_THAT(ParseFailureOf(Step("format: int4") + "evaluate: {text: a, window: 1}\n"),
              HasSubstr("from 2 to"));
  EXPECT_THAT(ParseFailureOf(Step("format: int4") + "evaluate: {text: \"\"}\n"),
              HasSubstr("RECIPE_TYPE"));
  EXPECT_THAT(ParseFailureOf(Step("format: int4") + "evaluate: {text: \"a\\0b\"}\n"),
              HasSubstr("control characters"));
}

TEST(ParseRecipe, CombinationsThatDoNotExist) {
  EXPECT_THAT(ParseFailureOf(Step("format: int4, granularity: tensor")),
              HasSubstr("GRANULARITY_DOES_NOT_FIT recipe, line 2"));
  EXPECT_THAT(ParseFailureOf(Step("format: fp8_e4m3, granularity: group")),
              HasSubstr("GRANULARITY_DOES_NOT_FIT"));
  EXPECT_THAT(ParseFailureOf(Step("format: fp8_e4m3, symmetric: false")),
              HasSubstr("NO_ASYMMETRIC_FORMAT"));
  EXPECT_THAT(ParseFailureOf(Step("format: int8, group_size: 128")),
              HasSubstr("GROUP_SIZE_WITHOUT_GROUP"));
  EXPECT_THAT(ParseFailureOf(Step("format: mxfp4, activations: {format: fp8_e4m3}")),
              HasSubstr("ACTIVATIONS_DO_NOT_FIT"));
  EXPECT_THAT(ParseFailureOf(Step("format: nvfp4, activations: {format: int8}")),
              HasSubstr("have no activations to go with"));
  EXPECT_THAT(ParseFailureOf(Step("format: mxfp4, group_size: 16")),
              HasSubstr("GROUP_SIZE_DOES_NOT_FIT"));
  EXPECT_THAT(ParseFailureOf(Step("format: nvfp4, granularity: channel")),
              HasSubstr("GRANULARITY_DOES_NOT_FIT"));
  EXPECT_THAT(ParseFailureOf(Step("format: int4, granularity: block")),
              HasSubstr("GRANULARITY_DOES_NOT_FIT"));
  EXPECT_THAT(ParseFailureOf(Step("format: fp8_e4m3, activations: {format: fp8_e4m3, group_size: 128}")),
              HasSubstr("GROUP_SIZE_WITHOUT_GROUP"));
  EXPECT_THAT(ParseFailureOf(Step("format: fp8_e4m3, activations: {format: fp8_e4m3, granularity: "
                             "group, group_size: 64}")),
              HasSubstr("RECIPE_RANGE"));
  EXPECT_THAT(ParseFailureOf(Step("format: int8, activations: {format: int8, dynamic: false}")),
              HasSubstr("STATIC_ACTIVATIONS"));
  EXPECT_THAT(ParseFailureOf(Step("format: int8, activations: {format: int8}, overrides: [{match: "
                             "\"*\", format: fp8_e4m3}]")),
              HasSubstr("ACTIVATIONS_DO_NOT_FIT"));
  EXPECT_THAT(ParseFailureOf(Step("format: int4, overrides: [{match: \"*\", format: fp8_e4m3}]")),
              HasSubstr("GRANULARITY_DOES_NOT_FIT"));
}

TEST(ParseRecipe, FormatsBringTheirGroups) {
  const auto weights = [](const char* step) { return Parsed(Step(step)).steps[0].weights; };
  EXPECT_EQ(weights("format: nvfp4"), (QuantScheme{"nvfp4", "group", 16, true}));
  EXPECT_EQ(weights("format: mxfp4, group_size: 32"), (QuantScheme{"mxfp4", "group", 32, true}));
  EXPECT_EQ(weights("format: fp8_e4m3, granularity: block"),
            (QuantScheme{"fp8_e4m3", "block", 128, true}));
  EXPECT_EQ(weights("format: int3"), (QuantScheme{"int3", "group", 128, true}));
  EXPECT_EQ(weights("format: ternary"), (QuantScheme{"ternary", "channel", 0, true}));
  const Recipe mixed = Parsed(
      Step("format: nvfp4, overrides: [{match: a, format: int4}, {match: b, format: mxfp8}]"));
  EXPECT_EQ(mixed.steps[0].overrides[0].scheme, (QuantScheme{"int4", "group", 128, true}));
  EXPECT_EQ(mixed.steps[0].overrides[1].scheme, (QuantScheme{"mxfp8", "group", 32, true}));
  const auto inputs = [](const char* step) { return *Parsed(Step(step)).steps[0].activations; };
  EXPECT_EQ(inputs("format: mxfp4, activations: {format: mxfp4}"),
            (ActivationScheme{"mxfp4", "group", true, 32}));
  EXPECT_EQ(inputs("format: fp8_e4m3, granularity: block, activations: {format: fp8_e4m3, "
                   "granularity: group}"),
            (ActivationScheme{"fp8_e4m3", "group", true, 128}));
  EXPECT_EQ(inputs("format: int4, activations: {format: fp8_e4m3}"),
            (ActivationScheme{"fp8_e4m3", "token", true, 0}));
}

TEST(ParseRecipe, FormatsWithoutWordsInCompressedTensorsAreExportedDense) {
  EXPECT_THAT(ParseFailureOf(Step("format: nf4")), HasSubstr("EXPORT_CANNOT_EXPRESS"));
  EXPECT_THAT(ParseFailureOf(Step("format: int4, overrides: [{match: a, format: nf4}]")),
              HasSubstr("EXPORT_CANNOT_EXPRESS"));
  EXPECT_EQ(Parsed(Step("format: nf4") + "export: dense\n").steps[0].weights,
            (QuantScheme{"nf4", "group", 64, true}));
}

TEST(ParseRecipe, DenseExportsCannotRoundActivations) {
  EXPECT_EQ(Parsed(Step("format: int4") + "export: dense\n").export_format, "dense");
  EXPECT_THAT(ParseFailureOf(Step("format: int8, activations: {format: int8}") + "export: dense\n"),
              HasSubstr("EXPORT_CANNOT_EXPRESS"));
}

TEST(ParseRecipe, TooManyPatternsAreRefused) {
  std::string targets;
  for (int i = 0; i < 5000; ++i) targets += "\"*a\",";
  EXPECT_THAT(ParseFailureOf(Step(Cat("format: int4, targets: [", targets, "]"))),
              HasSubstr("patterns"));
}

std::vector<std::string> SampleRecipes() {
  std::vector<std::string> texts;
  for (const char* name : {"int4-g128", "int4-asym", "w8a8", "fp8-dynamic"}) {
    std::ifstream file(Cat("tests/data/recipes/", name, ".yaml"));
    std::stringstream text;
    text << file.rdbuf();
    texts.push_back(text.str());
  }
  texts.push_back(Step("format: int8, granularity: group, symmetric: false, ignore: [\"x\\\"ü\"], "
                       "overrides: [{match: a, format: int4}]") +
                  "calibrate: {text: a}\nseed: 18446744073709551615\n");
  texts.push_back(Step("format: mxfp4, activations: {format: mxfp4}, overrides: [{match: a, format: "
                       "mxfp4}]"));
  texts.push_back(Step("format: fp8_e4m3, granularity: block, activations: {format: fp8_e4m3, "
                       "granularity: group}"));
  return texts;
}

TEST(RecipeJson, RoundTripsToTheSameBytes) {
  for (const std::string& yaml : SampleRecipes()) {
    const std::string json = Parsed(yaml).ToJson();
    const StatusOr<Recipe> again = RecipeFromJson(json);
    ASSERT_TRUE(again.ok()) << again.status() << json;
    EXPECT_EQ(again->ToJson(), json);
    EXPECT_EQ(Parsed(json).ToJson(), json) << "JSON is YAML too";
  }
}

TEST(RecipeJson, EqualRecipesGiveEqualBytesHoweverTheyAreWritten) {
  EXPECT_EQ(Parsed("steps:\n- kind: quantize\n  method: rtn\n  format: int4\n").ToJson(),
            Parsed("{seed: 0, export: compressed-tensors, steps: [{group_size: 128, granularity: "
                   "group, symmetric: true, format: "
                   "int4, ignore: [lm_head], targets: ['*'], method: rtn, kind: quantize, options: "
                   "{}, overrides: []}]}")
                .ToJson());
}

TEST(RecipeJson, IsAsStrictAsYaml) {
  EXPECT_FALSE(RecipeFromJson("").ok());
  EXPECT_FALSE(RecipeFromJson("[]").ok());
  EXPECT_FALSE(
      RecipeFromJson(R"({"steps":[{"kind":"quantize","method":"rtn","format":"int4","x":1}]})")
          .ok());
  EXPECT_FALSE(
      RecipeFromJson(
          R"({"steps":[{"kind":"quantize","method":"rtn","format":"int4","group_size":"128"}]})")
          .ok());
  EXPECT_TRUE(
      RecipeFromJson(
          R"({"steps":[{"kind":"quantize","method":"rtn","format":"int4","group_size":128}]})")
          .ok());
}

TEST(ActionDigest, DependsOnRecipeModelAndData) {
  const Recipe a = Parsed(Step("format: int4")), b = Parsed(Step("format: int8"));
  const Digest m = Sha256Of("m"), n = Sha256Of("n");
  EXPECT_EQ(ActionDigest(a, m, {n}), ActionDigest(a, m, {n}));
  EXPECT_NE(ActionDigest(a, m, {n}), ActionDigest(b, m, {n}));
  EXPECT_NE(ActionDigest(a, m, {n}), ActionDigest(a, n, {n}));
  EXPECT_NE(ActionDigest(a, m, {n}), ActionDigest(a, m, {}));
  EXPECT_NE(ActionDigest(a, m, {n, m}), ActionDigest(a, m, {m, n}));
}

}  // namespace
}  // namespace swage
