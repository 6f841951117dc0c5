#include "workers/runtime/tokenizer_regex.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swage {
namespace {

std::vector<std::string> Matches(std::string_view pattern, std::string_view text) {
  const StatusOr<Regex> regex = Regex::Compile(pattern);
  EXPECT_TRUE(regex.ok()) << regex.status();
  std::vector<std::string> found;
  if (!regex.ok()) return found;
  Regex::Scratch scratch;
  size_t begin = 0, end = 0;
  for (size_t from = 0; from < text.size() && regex->Find(text, from, &scratch, &begin, &end);
       from = end) {
    if (end == begin) break;
    found.emplace_back(text.substr(begin, end - begin));
  }
  return found;
}

TEST(Regex, KnowsCodePointsThatUnicodeAddedLater) {
  EXPECT_THAT(Matches(R"(\p{L}+)", "a\u1c89\u1c8ab"), testing::ElementsAre("a\u1c89\u1c8ab"));
  EXPECT_THAT(Matches(R"([^\p{L}]+)", "a\u1c89b-"), testing::ElementsAre("-"));
  EXPECT_THAT(Matches(R"(\P{L}+)", "a\u1c89b-"), testing::ElementsAre("-"));
  EXPECT_THAT(Matches(R"(\w+)", "e\u0301\u1c89_1-"), testing::ElementsAre("e\u0301\u1c89_1"));
}

TEST(Regex, WhiteSpaceIsUnicodes) {
  EXPECT_THAT(Matches(R"(\s+)", "a \u00a0\u0085\u3000\u180e"),
              testing::ElementsAre(" \u00a0\u0085\u3000"))
      << "U+180E is none since Unicode 6.3";
  EXPECT_THAT(Matches(R"(\S+)", " \u180e\u00a0"), testing::ElementsAre("\u180e"));
}

TEST(Regex, AnchorsMatchAtEveryLine) {
  EXPECT_THAT(Matches(R"(^.|.$)", "ab\ncd"), testing::ElementsAre("a", "b", "c", "d"));
}

TEST(Regex, RefusesWhatTheTwoSyntaxesReadDifferently) {
  for (const char* pattern : {"[a[b]]", "[a&&b]", "a{1,3}+", "a{,3}", R"(\bword)", "(?m:.)",
                              "(?i)a", "(*UCP)a", R"(\p{Greek})", R"(\pL)", R"(\x41)", R"(\h)",
                              R"([^\S\n])", R"(\1)", "[]a]", "[a", "a\\", R"(\u12)"}) {
    const StatusOr<Regex> regex = Regex::Compile(pattern);
    ASSERT_FALSE(regex.ok()) << pattern;
    EXPECT_EQ(ReasonOf(regex.status()), "UNSUPPORTED_TOKENIZER") << pattern;
  }
}

TEST(Regex, RefusesWhatDoesNotCompile) {
  for (const char* pattern : {"(", "a)", "*", "(?<=a+)b"}) {
    const StatusOr<Regex> regex = Regex::Compile(pattern);
    ASSERT_FALSE(regex.ok()) << pattern;
    EXPECT_EQ(ReasonOf(regex.status()), "TOKENIZER_REGEX") << pattern;
  }
  EXPECT_FALSE(Regex::Compile(std::string(1 << 20, 'a')).ok());
  EXPECT_FALSE(Regex::Compile(std::string(10000, '(')).ok());
}

TEST(Regex, ACatastrophicPatternEndsWithoutAMatch) {
  const StatusOr<Regex> regex = Regex::Compile("(a+)+b");
  ASSERT_TRUE(regex.ok());
  Regex::Scratch scratch;
  size_t begin = 0, end = 0;
  EXPECT_FALSE(regex->Find(std::string(60, 'a'), 0, &scratch, &begin, &end));
}

}  // namespace
}  // namespace swage
