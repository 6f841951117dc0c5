#include "base/modelfile/json.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace swage {
namespace {

TEST(JsonTree, ParsesWhatIsValid) {
  const auto tree = ParseJsonTree(R"({"a": [1, -2, 3.5, null, true, "x"], "b": {"a": 1}})", "BAD", "it");
  ASSERT_TRUE(tree.ok());
  EXPECT_EQ((*tree)["a"].size(), 6u);
}

TEST(JsonTree, RefusesNamesThatAppearTwice) {
  const auto tree = ParseJsonTree(R"({"a": {"b": 1, "b": 2}})", "BAD", "it");
  EXPECT_EQ(ReasonOf(tree.status()), "BAD");
  EXPECT_NE(MessageOf(tree.status()).find("twice"), std::string::npos);
  EXPECT_TRUE(ParseJsonTree(R"([{"a": 1}, {"a": 2}])", "BAD", "it").ok());
}

TEST(JsonTree, DeepNestingIsAnErrorNotACrash) {
  for (const char* open : {"[", "{\"a\":"}) {
    std::string text;
    for (int i = 0; i < 2000000; ++i) text += open;
    EXPECT_EQ(ReasonOf(ParseJsonTree(text, "BAD", "it").status()), "BAD");
  }
}

TEST(JsonTree, ErrorsSayWhereAndDoNotRepeatTheText) {
  for (const std::string& text : {std::string(), std::string("{"), "{\"a\": \"" + std::string(1 << 20, 'x'),
                                  std::string("{} {}"), std::string("\xef\xbb\xbf"), std::string("\"\xff\"")}) {
    const auto tree = ParseJsonTree(text, "BAD", "it");
    ASSERT_EQ(ReasonOf(tree.status()), "BAD") << text.substr(0, 20);
    EXPECT_LT(MessageOf(tree.status()).size(), 200u);
    EXPECT_NE(MessageOf(tree.status()).find("byte"), std::string::npos);
  }
}

TEST(JsonString, EscapesOnlyWhatItMust) {
  std::string out;
  using namespace std::string_view_literals;
  AppendJsonString("a\"\\/\b\f\n\r\t\x01\x1f\x7f\0é€😀"sv, &out);
  EXPECT_EQ(out, "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\\u0000é€😀\"");
}

TEST(JsonString, NlohmannWritesTheSameBytes) {
  std::string all;
  for (int c = 0; c < 128; ++c) all += static_cast<char>(c);
  std::string out;
  AppendJsonString(all, &out);
  EXPECT_EQ(out, nlohmann::json(all).dump());
}

TEST(Utf8, AcceptsExactlyTheWellFormed) {
  for (const char* good : {"", "a", "é", "€", "😀", "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf", "\xc2\x80"}) {
    EXPECT_TRUE(IsUtf8(good)) << good;
  }
  for (const char* bad : {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
                          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xe2\x82", "a\xc3"}) {
    EXPECT_FALSE(IsUtf8(bad)) << HexLower(bad, std::string_view(bad).size());
  }
}

}  // namespace
}  // namespace swage
