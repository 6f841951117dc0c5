#include "base/text.h"

#include <gtest/gtest.h>

#include <chrono>

namespace swage {
namespace {

TEST(Text, CatTakesBothKindsOfView) {
  EXPECT_EQ(Cat("a", std::string("b"), std::string_view("c"), absl::string_view("d"), 1, 2.5, 'e', true), "abcd12.5etrue");
  EXPECT_EQ(Cat(), "");
  const std::string_view part = std::string_view("hello").substr(1, 2);  // not ended by NUL
  EXPECT_EQ(Cat(part, "!"), "el!");
}

TEST(Text, SplitAndJoinAreInverse) {
  for (const std::string text : {"", "a", "a,b", ",", "a,,b", ",a,"}) EXPECT_EQ(Join(Split(text, ','), ","), text);
  EXPECT_EQ(Split("", ',').size(), 1u);
  EXPECT_EQ(Split("a,,b", ',').size(), 3u);
}

TEST(Text, TrimTakesWhiteSpaceOfBothEnds) {
  EXPECT_EQ(Trim(" \t\r\n a b \v\f"), "a b");
  EXPECT_EQ(Trim("   "), "");
  EXPECT_EQ(Trim(""), "");
}

TEST(Text, GlobMatchesWholeNames) {
  EXPECT_TRUE(GlobMatch("*", ""));
  EXPECT_TRUE(GlobMatch("*.down_proj", "model.layers.3.mlp.down_proj"));
  EXPECT_FALSE(GlobMatch("*.down_proj", "model.layers.3.mlp.down_proj.weight"));
  EXPECT_TRUE(GlobMatch("model.layers.?.mlp.*", "model.layers.3.mlp.up_proj"));
  EXPECT_FALSE(GlobMatch("model.layers.?.mlp.*", "model.layers.13.mlp.up_proj"));
  EXPECT_TRUE(GlobMatch("a*b*c", "a-b-b-c"));
  EXPECT_FALSE(GlobMatch("a*b*c", "a-b-b"));
  EXPECT_FALSE(GlobMatch("a.b", "axb"));  // a dot is a dot
  EXPECT_FALSE(GlobMatch("", "a"));
  EXPECT_TRUE(GlobMatch("", ""));
}

TEST(Text, GlobOfManyStarsIsNotExponential) {
  std::string pattern, name(20000, 'a');
  for (int i = 0; i < 30; ++i) pattern += "a*";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(GlobMatch(pattern + "b", name));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

TEST(Text, NearestFindsTypingMistakesOnly) {
  const std::vector<std::string> words = {"gptq", "awq", "round_to_nearest", "smoothquant"};
  EXPECT_EQ(Nearest("gtpq", words), "gptq");
  EXPECT_EQ(Nearest("round-to-nearest", words), "round_to_nearest");
  EXPECT_EQ(Nearest("something_else", words), "");
  EXPECT_EQ(Nearest(std::string(1 << 20, 'x'), words), "");
  EXPECT_EQ(Nearest("xyz", words), "");  // three changes of three letters is another word
}

TEST(Text, HexIsLowerCaseAndTwoDigitsAByte) {
  const unsigned char bytes[] = {0x00, 0x0f, 0xa5, 0xff};
  EXPECT_EQ(HexLower(bytes, 4), "000fa5ff");
}

TEST(Text, BytesInDecimalUnits) {
  EXPECT_EQ(HumanBytes(0), "0 B");
  EXPECT_EQ(HumanBytes(999), "999 B");
  EXPECT_EQ(HumanBytes(1000), "1.0 kB");
  EXPECT_EQ(HumanBytes(11547040), "11.5 MB");
  EXPECT_EQ(HumanBytes(999960), "1.0 MB");  // never "1000.0 kB"
}

TEST(Text, SecondsForPeople) {
  EXPECT_EQ(HumanSeconds(0.85), "850 ms");
  EXPECT_EQ(HumanSeconds(12.34), "12.3 s");
  EXPECT_EQ(HumanSeconds(59.97), "1 min 00 s");
  EXPECT_EQ(HumanSeconds(245), "4 min 05 s");
  EXPECT_EQ(HumanSeconds(7500), "2 h 05 min");
  EXPECT_EQ(HumanSeconds(-1), "?");
}

}  // namespace
}  // namespace swage
