#include "base/modelfile/safetensors.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/limits.h"
#include "base/text.h"
#include "tests/unit/base/safetensors_bytes.h"

namespace swage {
namespace {

std::string ReasonFor(const std::string& json, size_t data_size) {
  const std::string file = SafetensorsBytes(json, data_size);
  const auto header = ParseSafetensorsHeader(file, file.size());
  return header.ok() ? "OK" : ReasonOf(header.status());
}

std::string Entry(std::string_view name, std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return Cat("\"", name, "\":{\"dtype\":\"", dtype, "\",\"shape\":", shape, ",\"data_offsets\":", offsets, "}");
}

TEST(SafetensorsHeader, GivesTensorsInOrderOfTheData) {
  const std::string file = SafetensorsBytes(
      "{" + Entry("z", "F32", "[2,1]", "[0,8]") + "," + Entry("a", "I8", "[3]", "[8,11]") + "," +
          Entry("scalar", "F64", "[]", "[11,19]") + R"(,"__metadata__":{"format":"pt","x":""}}   )",
      19);
  const auto header = ParseSafetensorsHeader(file, file.size());
  ASSERT_TRUE(header.ok()) << header.status();
  ASSERT_EQ(header->tensors.size(), 3u);
  EXPECT_EQ(header->tensors[0].name, "z");
  EXPECT_EQ(header->tensors[1].name, "a");
  EXPECT_EQ(header->tensors[1].dtype, DType::kI8);
  EXPECT_EQ(header->tensors[2].elements(), 1);
  EXPECT_EQ(header->tensors[0].elements(), 2);
  EXPECT_EQ(header->tensors[0].shape, (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(header->data_offset + 19, file.size());
  EXPECT_EQ(header->metadata.at("format"), "pt");
  ASSERT_NE(header->Find("a"), nullptr);
  EXPECT_EQ(header->Find("a")->begin, 8u);
  EXPECT_EQ(header->Find("b"), nullptr);
  EXPECT_EQ(header->Find(""), nullptr);
}

TEST(SafetensorsHeader, AcceptsEmptyTensorsAndEmptyFiles) {
  EXPECT_EQ(ReasonFor("{}", 0), "OK");
  EXPECT_EQ(ReasonFor("{" + Entry("a", "F32", "[0,5]", "[0,0]") + "}", 0), "OK");
  EXPECT_EQ(ReasonFor("{" + Entry("a", "F32", "[1]", "[0,4]") + "," + Entry("e", "F32", "[0]", "[4,4]") + "}", 4), "OK");
  EXPECT_EQ(ReasonFor("{" + Entry("a", "F32", "[1]", "[0,4]") + "," + Entry("e", "F32", "[0]", "[0,0]") + "}", 4), "OK");
  EXPECT_EQ(ReasonFor(R"({"__metadata__":{}})", 0), "OK");
}

struct Hostile {
  const char* what;
  std::string json;
  size_t data_size;
  const char* reason;
};

std::vector<Hostile> HostileHeaders() {
  const std::string a = Entry("a", "F32", "[1]", "[0,4]");
  std::string nested = "{\"a\":";
  for (int i = 0; i < 1000000; ++i) nested += "[";
  std::string long_shape = "[1,1,1,1,1,1,1,1,1]";
  return {
      {"no JSON", "hello", 0, "HEADER_NOT_JSON"},
      {"space first", " {}", 0, "HEADER_NOT_JSON"},
      {"list", "[]", 0, "HEADER_NOT_JSON"},
      {"cut", "{\"a\":{", 0, "HEADER_NOT_JSON"},
      {"two values", "{}{}", 0, "HEADER_NOT_JSON"},
      {"not UTF-8", "{\"\xff\":{}}", 0, "HEADER_NOT_JSON"},
      {"a million brackets", nested, 0, "HEADER_MALFORMED"},
      {"a tensor that is a number", "{\"a\":1}", 0, "HEADER_MALFORMED"},
      {"a tensor that is null", "{\"a\":null}", 0, "HEADER_MALFORMED"},
      {"a tensor that is a list", "{\"a\":[]}", 0, "HEADER_MALFORMED"},
      {"a field is missing", R"({"a":{"dtype":"F32","shape":[1]}})", 4, "HEADER_MALFORMED"},
      {"an empty entry", R"({"a":{}})", 0, "HEADER_MALFORMED"},
      {"an unknown field", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", 4, "HEADER_MALFORMED"},
      {"a field twice", R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4, "HEADER_MALFORMED"},
      {"one offset", Cat("{", Entry("a", "F32", "[1]", "[0]"), "}"), 4, "HEADER_MALFORMED"},
      {"three offsets", Cat("{", Entry("a", "F32", "[1]", "[0,4,4]"), "}"), 4, "HEADER_MALFORMED"},
      {"a negative offset", Cat("{", Entry("a", "F32", "[1]", "[-4,0]"), "}"), 4, "HEADER_MALFORMED"},
      {"a fractional offset", Cat("{", Entry("a", "F32", "[1]", "[0,4.0]"), "}"), 4, "HEADER_MALFORMED"},
      {"an offset beyond 64 bits", Cat("{", Entry("a", "F32", "[1]", "[0,18446744073709551620]"), "}"), 4,
       "HEADER_MALFORMED"},
      {"an empty name", Cat("{", Entry("", "F32", "[1]", "[0,4]"), "}"), 4, "HEADER_MALFORMED"},
      {"a control character", Cat("{", Entry("a\\u0000b", "F32", "[1]", "[0,4]"), "}"), 4, "HEADER_MALFORMED"},
      {"a very long name", Cat("{", Entry(std::string(2000, 'n'), "F32", "[1]", "[0,4]"), "}"), 4, "HEADER_MALFORMED"},
      {"metadata of numbers", R"({"__metadata__":{"a":1}})", 0, "HEADER_MALFORMED"},
      {"metadata of objects", R"({"__metadata__":{"a":{}}})", 0, "HEADER_MALFORMED"},
      {"metadata twice", R"({"__metadata__":{},"__metadata__":{}})", 0, "HEADER_MALFORMED"},
      {"a metadata name twice", R"({"__metadata__":{"a":"","a":""}})", 0, "HEADER_MALFORMED"},
      {"an unknown dtype", Cat("{", Entry("a", "F33", "[1]", "[0,4]"), "}"), 4, "BAD_DTYPE"},
      {"a dtype in lower case", Cat("{", Entry("a", "f32", "[1]", "[0,4]"), "}"), 4, "BAD_DTYPE"},
      {"too many dimensions", Cat("{", Entry("a", "F32", long_shape, "[0,4]"), "}"), 4, "BAD_SHAPE"},
      {"a negative dimension", Cat("{", Entry("a", "F32", "[-1]", "[0,4]"), "}"), 4, "BAD_SHAPE"},
      {"a dimension of 2^63", Cat("{", Entry("a", "U8", "[9223372036854775808]", "[0,4]"), "}"), 4, "BAD_SHAPE"},
      {"a text in the shape", Cat("{", Entry("a", "U8", "[\"1\"]", "[0,4]"), "}"), 4, "BAD_SHAPE"},
      {"a product beyond 2^64", Cat("{", Entry("a", "U8", "[4294967296,4294967296]", "[0,0]"), "}"), 0, "BAD_SHAPE"},
      {"a product that wraps to 4", Cat("{", Entry("a", "F32", "[4611686018427387905]", "[0,4]"), "}"), 4, "BAD_SHAPE"},
      {"an overflow hidden by a zero", Cat("{", Entry("a", "U8", "[0,4294967296,4294967296]", "[0,0]"), "}"), 0,
       "BAD_SHAPE"},
      {"a size that is not the shape's", Cat("{", Entry("a", "F32", "[2]", "[0,4]"), "}"), 4, "SIZE_MISMATCH"},
      {"2^63 bytes", Cat("{", Entry("a", "U8", "[9223372036854775807]", "[0,9223372036854775807]"), "}"), 4,
       "TENSOR_OUT_OF_BOUNDS"},
      {"offsets beyond the file", Cat("{", a, "}"), 3, "TENSOR_OUT_OF_BOUNDS"},
      {"begin after end", Cat("{", Entry("a", "F32", "[1]", "[4,0]"), "}"), 4, "TENSOR_OUT_OF_BOUNDS"},
      {"overlap", Cat("{", a, ",", Entry("b", "F32", "[1]", "[2,6]"), "}"), 6, "TENSORS_OVERLAP"},
      {"the same bytes twice", Cat("{", a, ",", Entry("b", "F32", "[1]", "[0,4]"), "}"), 4, "TENSORS_OVERLAP"},
      {"an empty tensor inside another", Cat("{", a, ",", Entry("b", "F32", "[0]", "[2,2]"), "}"), 4, "TENSORS_OVERLAP"},
      {"a hole in front", Cat("{", Entry("a", "F32", "[1]", "[4,8]"), "}"), 8, "TENSORS_HAVE_HOLE"},
      {"a hole between", Cat("{", a, ",", Entry("b", "F32", "[1]", "[8,12]"), "}"), 12, "TENSORS_HAVE_HOLE"},
      {"bytes behind the last", Cat("{", a, "}"), 5, "TENSORS_HAVE_HOLE"},
      {"data without tensors", "{}", 1, "TENSORS_HAVE_HOLE"},
      {"a name twice", Cat("{", a, ",", Entry("a", "F32", "[1]", "[4,8]"), "}"), 8, "DUPLICATE_TENSOR"},
      {"a name twice, once escaped", Cat("{", a, ",", Entry("\\u0061", "F32", "[1]", "[4,8]"), "}"), 8,
       "DUPLICATE_TENSOR"},
  };
}

TEST(SafetensorsHeader, HostileHeadersHaveTheirReason) {
  for (const Hostile& hostile : HostileHeaders()) {
    EXPECT_EQ(ReasonFor(hostile.json, hostile.data_size), hostile.reason) << hostile.what;
  }
}

TEST(SafetensorsHeader, TheLengthIsCheckedBeforeAnythingIsRead) {
  const auto with_length = [](uint64_t length, uint64_t file_size) {
    std::string first8;
    for (int i = 0; i < 8; ++i) first8 += static_cast<char>(length >> (8 * i) & 0xff);
    return ReasonOf(SafetensorsDataOffset(first8, file_size).status());
  };
  EXPECT_EQ(with_length(uint64_t{1} << 63, ~uint64_t{0}), "HEADER_TOO_LARGE");
  EXPECT_EQ(with_length(~uint64_t{0}, 100), "HEADER_TOO_LARGE");
  EXPECT_EQ(with_length(200u << 20, uint64_t{1} << 30), "HEADER_TOO_LARGE");
  EXPECT_EQ(with_length(limits::kSafetensorsHeaderBytes + 1, uint64_t{1} << 30), "HEADER_TOO_LARGE");
  EXPECT_EQ(with_length(limits::kSafetensorsHeaderBytes, uint64_t{1} << 30), "");
  EXPECT_EQ(with_length(93, 100), "HEADER_TRUNCATED");
  EXPECT_EQ(with_length(92, 100), "");
  EXPECT_EQ(ReasonOf(SafetensorsDataOffset("1234567", 7).status()), "HEADER_TRUNCATED");
  EXPECT_EQ(ReasonOf(SafetensorsDataOffset("", 0).status()), "HEADER_TRUNCATED");
}

TEST(SafetensorsHeader, AShortPrefixSaysHowMuchIsNeeded) {
  const std::string file = SafetensorsBytes("{" + Entry("a", "F32", "[1]", "[0,4]") + "}", 4);
  const size_t needed = file.size() - 4;
  for (size_t size = 0; size < needed; ++size) {
    const auto header = ParseSafetensorsHeader(std::string_view(file).substr(0, size), file.size());
    ASSERT_EQ(header.status().code(), StatusCode::kOutOfRange) << size;
    ASSERT_EQ(ReasonOf(header.status()), "HEADER_TRUNCATED");
    if (size < 8) continue;  // the length is not known yet
    ASSERT_NE(MessageOf(header.status()).find(Cat(needed)), std::string::npos);
  }
  EXPECT_TRUE(ParseSafetensorsHeader(std::string_view(file).substr(0, needed), file.size()).ok());
}

TEST(SafetensorsHeader, CountOfTensorsIsBounded) {
  std::string json = "{";
  for (uint64_t i = 0; i <= limits::kTensorsPerFile; ++i) {
    json += Cat(i > 0 ? "," : "", "\"", i, "\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}");
  }
  EXPECT_EQ(ReasonFor(json + "}", 0), "TOO_MANY_TENSORS");
}

TEST(SafetensorsHeader, EveryPrefixOfARealHeaderIsRefusedCleanly) {
  std::ifstream in("tests/data/models/classics-6m/model.safetensors", std::ios::binary);
  std::stringstream all;
  all << in.rdbuf();
  const std::string file = all.str();
  const auto header = ParseSafetensorsHeader(file, file.size());
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->tensors.size(), 56u);
  for (size_t size = 0; size < file.size(); size = size < 9000 ? size + 97 : size * 2) {
    EXPECT_FALSE(ParseSafetensorsHeader(std::string_view(file).substr(0, size), size).ok()) << size;
  }
}

}  // namespace
}  // namespace swage
