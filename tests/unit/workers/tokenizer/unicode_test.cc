#include "workers/runtime/tokenizer_unicode.h"

#include <set>

#include "gtest/gtest.h"

namespace swage {
namespace {

TEST(Utf8, EveryScalarValueRoundTrips) {
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    AppendUtf8(c, &text);
    ASSERT_EQ(Utf8SequenceAt(text, 0), text.size()) << c;
    ASSERT_EQ(DecodeUtf8At(text, 0), c);
  }
}

// Expected values from Python's errors="replace".
TEST(Utf8, MaximalIllFormedPartsBecomeOneReplacementEach) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(ReplaceInvalidUtf8("a\x80z"), "a" + r + "z");
  EXPECT_EQ(ReplaceInvalidUtf8("\xC0\x80"), r + r);                  // overlong
  EXPECT_EQ(ReplaceInvalidUtf8("\xE0\x80\x80"), r + r + r);          // overlong
  EXPECT_EQ(ReplaceInvalidUtf8("\xED\xA0\x80"), r + r + r);          // a surrogate
  EXPECT_EQ(ReplaceInvalidUtf8("\xF4\x90\x80\x80"), r + r + r + r);  // beyond U+10FFFF
  EXPECT_EQ(ReplaceInvalidUtf8("\xF0\x9F\x91"
                               "x"),
            r + "x");  // cut short: one part
  EXPECT_EQ(ReplaceInvalidUtf8("\xE4\xBD\xE4\xBD\xA0"), r + "\xE4\xBD\xA0");
  EXPECT_EQ(ReplaceInvalidUtf8("\xF0\x9F"), r);
  EXPECT_EQ(ReplaceInvalidUtf8("\xFF\xFE"), r + r);
  EXPECT_TRUE(IsValidUtf8("\xF0\x9F\x91\x8D"));
  EXPECT_FALSE(IsValidUtf8("\xF0\x9F\x91"));
}

TEST(ByteAlphabet, IsOneToOne) {
  std::set<std::string> seen;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string& character = ByteAlphabet()[byte];
    EXPECT_TRUE(seen.insert(character).second);
    EXPECT_EQ(ByteOfCharacter(DecodeUtf8At(character, 0)), byte);
  }
  EXPECT_EQ(ByteAlphabet()[' '], "\u0120");
  EXPECT_EQ(ByteAlphabet()['\n'], "\u010a");
  EXPECT_EQ(ByteAlphabet()['a'], "a");
  EXPECT_EQ(ByteAlphabet()[0xAD], "\u0143");
  EXPECT_FALSE(ByteOfCharacter(' ').has_value());
  EXPECT_FALSE(ByteOfCharacter(0x144).has_value());
  EXPECT_EQ(BytesOfToken("\u0120the"), " the");
  EXPECT_FALSE(BytesOfToken("a b").has_value());
}

}  // namespace
}  // namespace swage
