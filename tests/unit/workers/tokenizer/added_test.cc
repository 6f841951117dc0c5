#include "workers/runtime/tokenizer_added.h"

#include "base/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swage {
namespace {

using testing::ElementsAre;

std::vector<std::string> Pieces(std::vector<AddedToken> tokens, std::string_view text) {
  std::vector<std::string> out;
  AddedTokenMatcher(std::move(tokens))
      .Split(text, [&](std::string_view piece, std::optional<int32_t> id) {
        out.push_back(id ? Cat(*id, ":", piece) : std::string(piece));
      });
  return out;
}

AddedToken Token(std::string content, int32_t id) {
  AddedToken token;
  token.content = std::move(content);
  token.id = id;
  return token;
}

TEST(AddedTokens, TheLongestAtTheLeftmostPlaceWins) {
  EXPECT_THAT(Pieces({Token("<a", 1), Token("<a><b>", 2), Token("<a>", 3)}, "x<a><a><b><ay"),
              ElementsAre("x", "3:<a>", "2:<a><b>", "1:<a", "y"));
  EXPECT_THAT(Pieces({}, "abc"), ElementsAre("abc"));
  EXPECT_THAT(Pieces({Token("ab", 1)}, ""), ElementsAre());
  EXPECT_THAT(Pieces({Token("aab", 1)}, "aaab"), ElementsAre("a", "1:aab"));
}

TEST(AddedTokens, StripTakesTheWhiteSpaceBesideThem) {
  AddedToken left = Token("<l>", 1), right = Token("<r>", 2);
  left.lstrip = right.rstrip = true;
  EXPECT_THAT(Pieces({left, right}, "a \u00a0<l> b <r>\n\u3000c"),
              ElementsAre("a", "1: \u00a0<l>", " b ", "2:<r>\n\u3000", "c"));
  EXPECT_THAT(Pieces({left, right}, "<r> <l>"), ElementsAre("2:<r> ", "1:<l>"))
      << "white space that is taken is not taken again";
}

TEST(AddedTokens, SingleWordsNeedAnEdgeOnBothSides) {
  AddedToken word = Token("cat", 1);
  word.single_word = true;
  EXPECT_THAT(Pieces({word}, "cat, concat cats \u00e9cat cat"),
              ElementsAre("1:cat", ", concat cats \u00e9cat ", "1:cat"));
  EXPECT_THAT(Pieces({word}, "cat\u0301 cat_ cat-"), ElementsAre("cat\u0301 cat_ ", "1:cat", "-"));
}

}  // namespace
}  // namespace swage
