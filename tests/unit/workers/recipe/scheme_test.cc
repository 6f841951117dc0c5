#include "workers/recipe/scheme.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/catalog/catalog.h"

namespace swage {
namespace {

TEST(SchemeRules, CoverTheCatalog) {
  for (const MethodRow& row : Methods()) {
    for (const std::string_view format : row.formats)
      EXPECT_NE(FindSchemeRules(format), nullptr) << row.id << " " << format;
  }
}

LinearPlan Linear(std::string format, std::string granularity, int64_t group_size = 0,
                  bool symmetric = true) {
  return {"m", {std::move(format), std::move(granularity), group_size, symmetric}, std::nullopt};
}

// The peer's tensors of classics-6m's layer 0 down projection, [256, 768] (peers/examples).
TEST(StoredSize, CountsTheTensorsThatThePeerWrites) {
  // weight_packed I32 [256, 96], weight_scale F32 [256, 6], weight_shape I64 [2]
  EXPECT_EQ(StoredSizeOf(Linear("int4", "group", 128), "compressed-tensors", 256, 768).bytes,
            256u * 96 * 4 + 256 * 6 * 4 + 16);
  // ... and weight_zero_point I32 [32, 6]
  EXPECT_EQ(StoredSizeOf(Linear("int4", "group", 128, false), "compressed-tensors", 256, 768).bytes,
            256u * 96 * 4 + 256 * 6 * 4 + 16 + 32 * 6 * 4);
  // W8A8: weight I8 [256, 768], weight_scale F32 [256, 1]
  LinearPlan w8a8 = Linear("int8", "channel");
  w8a8.activations = ActivationScheme{"int8", "token", true};
  EXPECT_EQ(StoredSizeOf(w8a8, "compressed-tensors", 256, 768).bytes, 256u * 768 + 256 * 4);
  // FP8: weight F8_E4M3 [256, 768], weight_scale F32 [1] or [256, 1]
  EXPECT_EQ(StoredSizeOf(Linear("fp8_e4m3", "tensor"), "compressed-tensors", 256, 768).bytes,
            256u * 768 + 4);
  EXPECT_EQ(StoredSizeOf(Linear("fp8_e4m3", "channel"), "compressed-tensors", 256, 768).bytes,
            256u * 768 + 256 * 4);
  // W4A8: weight I8 [256, 768], weight_scale F32 [256, 6]
  LinearPlan w4a8 = Linear("int4", "group", 128);
  w4a8.activations = ActivationScheme{"int8", "token", true};
  EXPECT_EQ(StoredSizeOf(w4a8, "compressed-tensors", 256, 768).bytes, 256u * 768 + 256 * 6 * 4);
}

TEST(StoredSize, CountsFloatFormatsWithSharedScales) {
  const auto bytes = [](const LinearPlan& linear) {
    return StoredSizeOf(linear, "compressed-tensors", 256, 768).bytes;
  };
  // FP8_BLOCK: weight F8_E4M3, weight_scale F32 [2, 6]
  EXPECT_EQ(bytes(Linear("fp8_e4m3", "block", 128)), 256u * 768 + 12 * 4);
  // weight_packed U8 [256, 384], weight_scale U8 [256, 24] or F8_E4M3 [256, 48] and a global one
  EXPECT_EQ(bytes(Linear("mxfp4", "group", 32)), 256u * 384 + 256 * 24);
  EXPECT_EQ(bytes(Linear("nvfp4", "group", 16)), 256u * 384 + 256 * 48 + 4);
  EXPECT_EQ(bytes(Linear("mxfp8", "group", 32)), 256u * 768 + 256 * 24);
  // weight_packed I32 [256, 48], weight_scale F32 [256, 6], weight_shape
  EXPECT_EQ(bytes(Linear("int2", "group", 128)), 256u * 48 * 4 + 256 * 6 * 4 + 16);
  EXPECT_EQ(bytes(Linear("ternary", "channel")), 256u * 48 * 4 + 256 * 4 + 16);
}

TEST(StoredSize, RoundsPackedRowsUpToWords) {
  // 9 codes of 4 bits take 2 words; 3 zero points down a column take 1.
  EXPECT_EQ(StoredSizeOf(Linear("int4", "channel", 0, false), "compressed-tensors", 3, 9).bytes,
            3u * 2 * 4 + 3 * 4 + 16 + 4);
}

TEST(StoredSize, DenseExportsTakeTwoBytesAWeight) {
  EXPECT_EQ(StoredSizeOf(Linear("int4", "channel"), "dense", 3, 9).bytes, 3u * 9 * 2);
}

}  // namespace
}  // namespace swage
