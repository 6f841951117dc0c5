#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/runtime/tokenizer_split.h"

namespace swage {
namespace {

using testing::ElementsAre;

SplitStep Step(std::string_view pattern, SplitBehavior behavior, bool invert = false) {
  SplitStep step;
  StatusOr<Regex> regex = Regex::Compile(pattern);
  EXPECT_TRUE(regex.ok()) << regex.status();
  step.regex.emplace(*std::move(regex));
  step.behavior = behavior;
  step.invert = invert;
  return step;
}

std::vector<std::string> Words(std::vector<SplitStep> steps, std::string_view text) {
  const PreTokenizer words(std::move(steps));
  Regex::Scratch scratch;
  std::vector<std::string> out;
  words.Run(text, /*first=*/true, &scratch, [&](std::string_view word) { out.emplace_back(word); });
  return out;
}

std::vector<std::string> Words(SplitStep step, std::string_view text) {
  std::vector<SplitStep> steps;
  steps.push_back(std::move(step));
  return Words(std::move(steps), text);
}

TEST(PreTokenizer, Gpt2PatternKeepsTheLastSpaceForTheWord) {
  EXPECT_THAT(Words(Step(kGpt2Pattern, SplitBehavior::kIsolated), "I've  seen 42 cats!\n\n"),
              ElementsAre("I", "'ve", " ", " seen", " 42", " cats", "!", "\n\n"));
}

TEST(PreTokenizer, BehaviorsPlaceTheMatches) {
  const char* text = "the-final--day";
  EXPECT_THAT(Words(Step("-", SplitBehavior::kIsolated), text),
              ElementsAre("the", "-", "final", "-", "-", "day"));
  EXPECT_THAT(Words(Step("-", SplitBehavior::kRemoved), text), ElementsAre("the", "final", "day"));
  EXPECT_THAT(Words(Step("-", SplitBehavior::kMergedWithPrevious), text),
              ElementsAre("the-", "final-", "-", "day"));
  EXPECT_THAT(Words(Step("-", SplitBehavior::kMergedWithNext), text),
              ElementsAre("the", "-final", "-", "-day"));
  EXPECT_THAT(Words(Step("-", SplitBehavior::kContiguous), text),
              ElementsAre("the", "-", "final", "--", "day"));
  EXPECT_THAT(Words(Step("[a-z]+", SplitBehavior::kRemoved, /*invert=*/true), text),
              ElementsAre("the", "final", "day"));
}

TEST(PreTokenizer, LaterStepsSplitEachPieceByItself) {
  std::vector<SplitStep> steps;
  steps.push_back(Step("[0-9]", SplitBehavior::kIsolated));
  steps.push_back(Step("^.", SplitBehavior::kIsolated));
  EXPECT_THAT(Words(std::move(steps), "ab1cd"), ElementsAre("a", "b", "1", "c", "d"));
}

TEST(PreTokenizer, APrefixSpaceIsAddedToEachPieceThatHasNone) {
  SplitStep step;
  step.add_prefix_space = true;
  EXPECT_THAT(Words(std::move(step), "ab"), ElementsAre(" ab"));
  SplitStep again;
  again.add_prefix_space = true;
  EXPECT_THAT(Words(std::move(again), " ab"), ElementsAre(" ab"));
}

TEST(PreTokenizer, EmptyTextsHaveNoWords) {
  EXPECT_THAT(Words(Step(kGpt2Pattern, SplitBehavior::kIsolated), ""), ElementsAre());
}

}  // namespace
}  // namespace swage
