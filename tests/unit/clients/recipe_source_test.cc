#include "clients/cli/recipe_source.h"

#include <gtest/gtest.h>

namespace swage {
namespace {

class RecipeSourceTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = JoinPath(dir_.path(), name);
    EXPECT_TRUE(WriteFileAtomic(env_, path, content).ok());
    return path;
  }
  Env* env_ = Env::Posix();
  TempDir dir_{"recipe_source"};
};

constexpr char kRecipe[] = R"(
steps:
- kind: quantize
  method: rtn
  format: int4
  granularity: group
  group_size: 128
evaluate: {text: words.txt, window: 64}
)";

TEST_F(RecipeSourceTest, TextsAreFoundBesideTheRecipe) {
  const std::string text = Write("words.txt", "some words");
  const auto source = ReadRecipe(env_, Write("recipe.yaml", kRecipe));
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ(source->texts, (std::map<std::string, std::string>{{"words.txt", text}}));
}

TEST_F(RecipeSourceTest, AMissingTextIsToldBeforeAnythingIsSent) {
  const auto source = ReadRecipe(env_, Write("recipe.yaml", kRecipe));
  EXPECT_EQ(source.status().code(), StatusCode::kNotFound);
  EXPECT_NE(MessageOf(source.status()).find("words.txt"), std::string::npos);
}

TEST_F(RecipeSourceTest, AnEmptyTextIsRefused) {
  Write("words.txt", "");
  EXPECT_EQ(ReasonOf(ReadRecipe(env_, Write("recipe.yaml", kRecipe)).status()), "TEXT_EMPTY");
}

TEST_F(RecipeSourceTest, AnErrorInARecipeNamesItsFile) {
  const auto source = ReadRecipe(env_, Write("recipe.yaml", "steps: 7\n"));
  EXPECT_EQ(source.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(MessageOf(source.status()).find("recipe.yaml"), std::string::npos);
}

TEST_F(RecipeSourceTest, FlagsMakeTheSameRecipeAsAFile) {
  const std::string text = Write("words.txt", "some words");
  const auto from_file = ReadRecipe(env_, Write("recipe.yaml", kRecipe));
  QuantizeFlags flags;
  flags.format = "int4";
  flags.group_size = 128;
  flags.evaluate = text;
  flags.window = 64;
  const auto from_flags = RecipeFromFlags(env_, flags);
  ASSERT_TRUE(from_file.ok()) << from_file.status();
  ASSERT_TRUE(from_flags.ok()) << from_flags.status();
  EXPECT_EQ(from_flags->recipe.ToJson(), from_file->recipe.ToJson());
  EXPECT_EQ(from_flags->texts, from_file->texts);
}

TEST_F(RecipeSourceTest, FlagsWithActivationsAndChannels) {
  QuantizeFlags flags;
  flags.format = "int8";
  flags.activations = "int8";
  flags.ignore = {"*.down_proj"};
  const auto source = RecipeFromFlags(env_, flags);
  ASSERT_TRUE(source.ok()) << source.status();
  const RecipeStep& step = source->recipe.steps.at(0);
  EXPECT_EQ(step.weights.granularity, "channel");
  ASSERT_TRUE(step.activations.has_value());
  EXPECT_EQ(step.activations->format, "int8");
  EXPECT_EQ(step.ignore, std::vector<std::string>{"*.down_proj"});
}

TEST_F(RecipeSourceTest, AFlagCannotSmuggleYaml) {
  QuantizeFlags flags;
  flags.format = "int8\n  granularity: tensor";
  EXPECT_EQ(RecipeFromFlags(env_, flags).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(RecipeSourceTest, ATextOutsideTheRecipesFolderIsSentUnderAPlainName) {
  const std::string text = Write("words.txt", "some words");
  ASSERT_TRUE(env_->CreateDirs(JoinPath(dir_.path(), "recipes")).ok());
  std::string yaml = kRecipe;
  yaml.replace(yaml.find("words.txt"), 9, "../words.txt");
  const auto source = ReadRecipe(env_, Write("recipes/recipe.yaml", yaml));
  ASSERT_TRUE(source.ok()) << source.status();
  ASSERT_EQ(source->texts.size(), 1u);
  EXPECT_EQ(source->texts.begin()->first, "words.txt");
  EXPECT_EQ(*ReadFile(env_, source->texts.begin()->second, 100), "some words");
  const auto sent = ParseRecipe(source->yaml);
  ASSERT_TRUE(sent.ok()) << sent.status();
  EXPECT_EQ(sent->evaluate->text, "words.txt");
  EXPECT_EQ(sent->ToJson(), source->recipe.ToJson());
}

TEST_F(RecipeSourceTest, TwoTextsOfOneBaseNameStayTwo) {
  ASSERT_TRUE(env_->CreateDirs(JoinPath(dir_.path(), "a")).ok());
  QuantizeFlags flags;
  flags.format = "int8";
  flags.calibrate = Write("words.txt", "for calibration");
  flags.evaluate = Write("a/words.txt", "for evaluation");
  const auto source = RecipeFromFlags(env_, flags);
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ(source->texts.size(), 2u);
  EXPECT_EQ(source->texts.at(source->recipe.calibrate->text), flags.calibrate);
  EXPECT_EQ(source->texts.at(source->recipe.evaluate->text), flags.evaluate);
}

TEST_F(RecipeSourceTest, OptionsWithoutAValueAreRefused) {
  QuantizeFlags flags;
  flags.options = {"novalue"};
  EXPECT_EQ(ReasonOf(RecipeFromFlags(env_, flags).status()), "BAD_OPTION");
}

}  // namespace
}  // namespace swage
