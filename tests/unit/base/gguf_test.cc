#include "base/modelfile/gguf.h"

#include "base/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/base/gguf_bytes.h"

namespace swage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string FailureOf(const std::string& file) {
  const StatusOr<GgufFile> gguf = ParseGguf(file);
  EXPECT_FALSE(gguf.ok());
  if (gguf.ok()) return "";
  EXPECT_NE(NextStepOf(gguf.status()), "") << gguf.status();
  return Cat(ReasonOf(gguf.status()), " ", MessageOf(gguf.status()));
}

GgufBytes Small(uint32_t version) {
  GgufBytes bytes(version, 2, 4);
  bytes.Text("general.architecture").Put(8u).Text("llama");
  bytes.Text("llama.block_count").Put(4u).Put(2u);
  bytes.Text("tokens").Put(9u).Put(8u).Length(2).Text("a").Text("bc");
  bytes.Text("eps").Put(6u).Put(1e-5f);
  bytes.Tensor("w", {64, 3}, 2, 128).Tensor("norm", {4}, 0, 0);
  return bytes;
}

TEST(Gguf, ReadsEveryVersion) {
  for (const uint32_t version : {1u, 2u, 3u}) {
    const std::string file = Small(version).Data(128 + 6 * 18).get();
    const StatusOr<GgufFile> gguf = ParseGguf(file);
    ASSERT_TRUE(gguf.ok()) << gguf.status();
    EXPECT_EQ(gguf->version, version);
    EXPECT_EQ(*gguf->String("general.architecture"), "llama");
    EXPECT_EQ(gguf->Integer("llama.block_count"), 2);
    EXPECT_EQ(gguf->Float("llama.block_count"), 2.0);
    EXPECT_EQ(gguf->Float("eps"), static_cast<double>(1e-5f));
    EXPECT_FALSE(gguf->Integer("eps").has_value());
    EXPECT_EQ(gguf->String("eps"), nullptr);
    EXPECT_THAT(gguf->Array("tokens")->strings, ElementsAre("a", "bc"));
    const GgufTensor* w = gguf->Find("w");
    ASSERT_NE(w, nullptr);
    EXPECT_THAT(w->shape, ElementsAre(3, 64)) << "row-major: the reverse of the file's order";
    EXPECT_EQ(w->elements(), 192);
    EXPECT_EQ(gguf->Bytes(*w, file).size(), 6u * 18u);
    EXPECT_EQ(gguf->Bytes(*w, file).data() + 6 * 18, file.data() + file.size());
    EXPECT_EQ(gguf->Find("v"), nullptr);
  }
}

TEST(Gguf, ReadsAllTypesOfMetadata) {
  GgufBytes bytes(3, 0, 12);
  bytes.Text("u8").Put(0u).Put(uint8_t{255}).Text("i8").Put(1u).Put(int8_t{-1});
  bytes.Text("u16").Put(2u).Put(uint16_t{65535}).Text("i16").Put(3u).Put(int16_t{-2});
  bytes.Text("u32").Put(4u).Put(4294967295u).Text("i32").Put(5u).Put(-3);
  bytes.Text("yes").Put(7u).Put(uint8_t{1}).Text("u64").Put(10u).Put(uint64_t{1} << 62);
  bytes.Text("i64").Put(11u).Put(int64_t{-4}).Text("f64").Put(12u).Put(0.1);
  bytes.Text("floats").Put(9u).Put(6u).Length(2).Put(1.5f).Put(-2.0f);
  bytes.Text("bools").Put(9u).Put(7u).Length(2).Put(uint8_t{1}).Put(uint8_t{0});
  const StatusOr<GgufFile> gguf = ParseGguf(bytes.get());
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  EXPECT_EQ(gguf->Integer("u8"), 255);
  EXPECT_EQ(gguf->Integer("i8"), -1);
  EXPECT_EQ(gguf->Integer("u16"), 65535);
  EXPECT_EQ(gguf->Integer("i16"), -2);
  EXPECT_EQ(gguf->Integer("u32"), 4294967295);
  EXPECT_EQ(gguf->Integer("i32"), -3);
  EXPECT_EQ(gguf->Bool("yes"), true);
  EXPECT_EQ(gguf->Integer("u64"), int64_t{1} << 62);
  EXPECT_EQ(gguf->Integer("i64"), -4);
  EXPECT_EQ(gguf->Float("f64"), 0.1);
  EXPECT_THAT(gguf->Array("floats")->floats, ElementsAre(1.5, -2.0));
  EXPECT_THAT(gguf->Array("bools")->integers, ElementsAre(1, 0));
}

TEST(Gguf, AlignmentMovesTheData) {
  GgufBytes bytes(3, 1, 1);
  bytes.Text("general.alignment").Put(4u).Put(64u).Tensor("w", {4}, 0, 64);
  const StatusOr<GgufFile> gguf = ParseGguf(bytes.Data(64 + 16, 64).get());
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  EXPECT_EQ(gguf->data_offset % 64, 0u);
  for (const uint32_t bad : {0u, 3u, 1u << 21}) {
    GgufBytes other(3, 0, 1);
    EXPECT_THAT(FailureOf(other.Text("general.alignment").Put(4u).Put(bad).get()),
                HasSubstr("general.alignment"));
  }
}

TEST(Gguf, EveryPrefixIsRefusedWithoutAFuss) {
  const std::string file = Small(3).Data(128 + 6 * 18).get();
  for (size_t n = 0; n < file.size(); ++n)
    EXPECT_FALSE(ParseGguf(std::string_view(file).substr(0, n)).ok()) << n;
}

TEST(Gguf, WhatIsWrongIsSaid) {
  EXPECT_THAT(FailureOf("PK\x03\x04"), HasSubstr("NOT_GGUF"));
  EXPECT_THAT(FailureOf(std::string("GGUF\0\0\0\3", 8)), HasSubstr("GGUF_BIG_ENDIAN"));
  EXPECT_THAT(FailureOf(GgufBytes(4, 0, 0).get()), HasSubstr("GGUF_VERSION"));
  EXPECT_THAT(FailureOf(GgufBytes(3, uint64_t{1} << 40, 0).get()), HasSubstr("GGUF_FIELD"));
  EXPECT_THAT(FailureOf(GgufBytes(3, 0, 1).Length(uint64_t{1} << 60).get()),
              HasSubstr("GGUF_TRUNCATED"));
  EXPECT_THAT(
      FailureOf(GgufBytes(3, 0, 1).Text("k").Put(9u).Put(0u).Length(uint64_t{1} << 60).get()),
      HasSubstr("k has 1152921504606846976 elements"));
  EXPECT_THAT(FailureOf(GgufBytes(3, 0, 1).Text("k").Put(9u).Put(9u).Length(0).get()),
              HasSubstr("an array of the value type 9"));
  EXPECT_THAT(FailureOf(GgufBytes(3, 0, 1).Text("k").Put(13u).get()), HasSubstr("value type 13"));
  EXPECT_THAT(FailureOf(GgufBytes(3, 0, 1).Text("k").Put(7u).Put(uint8_t{2}).get()),
              HasSubstr("no boolean"));
  EXPECT_THAT(FailureOf(GgufBytes(3, 0, 1).Text("k").Put(10u).Put(~uint64_t{0}).get()),
              HasSubstr("beyond 2^63"));
  EXPECT_THAT(
      FailureOf(GgufBytes(3, 0, 2).Text("k").Put(4u).Put(1u).Text("k").Put(4u).Put(1u).get()),
      HasSubstr("there twice"));
  const auto tensor = [](std::vector<uint64_t> ne, uint32_t type, uint64_t offset) {
    return FailureOf(GgufBytes(3, 1, 0).Tensor("w", ne, type, offset).Data(64).get());
  };
  EXPECT_THAT(tensor({4}, 4, 0), HasSubstr("GGUF_TYPE"));
  EXPECT_THAT(tensor({33}, 2, 0), HasSubstr("blocks of 32 (Q4_0)"));
  EXPECT_THAT(tensor({4}, 0, 8), HasSubstr("not aligned"));
  EXPECT_THAT(tensor({400}, 0, 0), HasSubstr("outside the file"));
  EXPECT_THAT(tensor({4}, 0, 64), HasSubstr("GGUF_TRUNCATED"));
  EXPECT_THAT(tensor({0}, 0, 0), HasSubstr("a dimension of 0"));
  EXPECT_THAT(tensor({uint64_t{1} << 40, uint64_t{1} << 40}, 0, 0), HasSubstr("a dimension of"));
  EXPECT_THAT(tensor({1, 1, 1, 1, 1}, 0, 0), HasSubstr("5 dimensions"));
  EXPECT_THAT(
      FailureOf(GgufBytes(3, 2, 0).Tensor("a", {16}, 0, 0).Tensor("b", {4}, 0, 32).Data(96).get()),
      HasSubstr("lie over each other"));
}

}  // namespace
}  // namespace swage
