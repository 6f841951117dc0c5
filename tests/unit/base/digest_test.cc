#include "base/digest.h"

#include <gtest/gtest.h>

#include <string>

namespace swage {
namespace {

TEST(Sha256, MatchesTheExamplesOfFips180) {
  EXPECT_EQ(Sha256Of("").Hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Of("abc").Hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq").Hex(),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Sha256Of(std::string(1000000, 'a')).Hex(),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, IsTheSameForEveryWayToCutTheInput) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>(i * 7);
  const Digest whole = Sha256Of(text);
  for (size_t cut = 0; cut <= text.size(); cut += 13) {
    Sha256 hash;
    hash.Update(std::string_view(text).substr(0, cut));
    hash.Update(std::string_view(text).substr(cut));
    EXPECT_EQ(hash.Finish(), whole) << cut;
  }
}

TEST(Digest, HexRoundTrips) {
  const Digest digest = Sha256Of("x");
  const auto parsed = Digest::FromHex(digest.Hex());
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(*parsed, digest);
}

TEST(Digest, RefusesEverythingButSixtyFourLowerCaseDigits) {
  const std::string good = Sha256Of("x").Hex();
  std::string upper = good;
  upper[3] = 'A';
  std::string other = good;
  other[63] = 'g';
  for (const std::string& bad : {std::string(), good.substr(1), good + "0", upper, other, std::string(1 << 20, '0')}) {
    const auto parsed = Digest::FromHex(bad);
    ASSERT_FALSE(parsed.ok());
    EXPECT_EQ(ReasonOf(parsed.status()), "BAD_DIGEST");
    EXPECT_LT(MessageOf(parsed.status()).size(), 200u);  // does not repeat the whole hostile text
  }
}

TEST(Digest, OrdersByBytes) {
  Digest low, high;
  high.bytes[0] = 0x80;
  EXPECT_LT(low, high);
  low.bytes[31] = 0xff;
  EXPECT_LT(low, high);
}

TEST(Xxh3, MatchesTheReferenceVectors) {
  // XXH3-128 of no bytes, seed 0 (xxhash's own sanity check).
  EXPECT_EQ(Xxh3_128("").low, 0x6001C324468D497Full);
  EXPECT_EQ(Xxh3_128("").high, 0x99AA06D3014798D8ull);
  EXPECT_FALSE(Xxh3_128("a") == Xxh3_128("b"));
}

}  // namespace
}  // namespace swage
