#include "base/modelfile/dtype.h"

#include <gtest/gtest.h>

namespace swage {
namespace {

TEST(DType, NamesRoundTripAndWidthsAreRight) {
  const struct {
    DType dtype;
    const char* name;
    uint64_t bytes;
  } kRows[] = {{DType::kBool, "BOOL", 1},     {DType::kU8, "U8", 1},   {DType::kI8, "I8", 1},
               {DType::kF8E4M3, "F8_E4M3", 1}, {DType::kF8E5M2, "F8_E5M2", 1},
               {DType::kU16, "U16", 2},       {DType::kI16, "I16", 2}, {DType::kF16, "F16", 2},
               {DType::kBF16, "BF16", 2},     {DType::kU32, "U32", 4}, {DType::kI32, "I32", 4},
               {DType::kF32, "F32", 4},       {DType::kU64, "U64", 8}, {DType::kI64, "I64", 8},
               {DType::kF64, "F64", 8}};
  for (const auto& row : kRows) {
    EXPECT_EQ(DTypeName(row.dtype), row.name);
    EXPECT_EQ(DTypeFromName(row.name), row.dtype);
    EXPECT_EQ(DTypeBytes(row.dtype), row.bytes);
  }
  EXPECT_EQ(DTypeFromName("bf16"), std::nullopt);
  EXPECT_EQ(DTypeFromName(""), std::nullopt);
}

}  // namespace
}  // namespace swage
