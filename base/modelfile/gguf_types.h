// The element types of GGUF files (ggml's type ids): how many weights a block has, and how many
// bytes. kernels/numeric/gguf_blocks.h decodes them.
#pragma once

#include <cstdint>
#include <string_view>

namespace swage {

enum class GgufType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kQ8_K = 15,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kI8 = 24,
  kI16 = 25,
  kI32 = 26,
  kI64 = 27,
  kF64 = 28,
  kIQ1_M = 29,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kMXFP4 = 39,
  kNVFP4 = 40,
  kQ1_0 = 41,
  kQ2_0 = 42,
};

struct GgufTypeRow {
  GgufType type;
  std::string_view name;
  uint32_t elements;  // of a block, along the fastest dimension
  uint32_t bytes;
};

inline constexpr GgufTypeRow kGgufTypes[] = {
    {GgufType::kF32, "F32", 1, 4},           {GgufType::kF16, "F16", 1, 2},
    {GgufType::kQ4_0, "Q4_0", 32, 18},       {GgufType::kQ4_1, "Q4_1", 32, 20},
    {GgufType::kQ5_0, "Q5_0", 32, 22},       {GgufType::kQ5_1, "Q5_1", 32, 24},
    {GgufType::kQ8_0, "Q8_0", 32, 34},       {GgufType::kQ2_K, "Q2_K", 256, 84},
    {GgufType::kQ3_K, "Q3_K", 256, 110},     {GgufType::kQ4_K, "Q4_K", 256, 144},
    {GgufType::kQ5_K, "Q5_K", 256, 176},     {GgufType::kQ6_K, "Q6_K", 256, 210},
    {GgufType::kQ8_K, "Q8_K", 256, 292},     {GgufType::kIQ2_XXS, "IQ2_XXS", 256, 66},
    {GgufType::kIQ2_XS, "IQ2_XS", 256, 74},  {GgufType::kIQ3_XXS, "IQ3_XXS", 256, 98},
    {GgufType::kIQ1_S, "IQ1_S", 256, 50},    {GgufType::kIQ4_NL, "IQ4_NL", 32, 18},
    {GgufType::kIQ3_S, "IQ3_S", 256, 110},   {GgufType::kIQ2_S, "IQ2_S", 256, 82},
    {GgufType::kIQ4_XS, "IQ4_XS", 256, 136}, {GgufType::kI8, "I8", 1, 1},
    {GgufType::kI16, "I16", 1, 2},           {GgufType::kI32, "I32", 1, 4},
    {GgufType::kI64, "I64", 1, 8},           {GgufType::kF64, "F64", 1, 8},
    {GgufType::kIQ1_M, "IQ1_M", 256, 56},    {GgufType::kBF16, "BF16", 1, 2},
    {GgufType::kTQ1_0, "TQ1_0", 256, 54},    {GgufType::kTQ2_0, "TQ2_0", 256, 66},
    {GgufType::kMXFP4, "MXFP4", 32, 17},     {GgufType::kNVFP4, "NVFP4", 64, 36},
    {GgufType::kQ1_0, "Q1_0", 128, 18},      {GgufType::kQ2_0, "Q2_0", 64, 18},
};

constexpr const GgufTypeRow* FindGgufType(uint32_t id) {  // nullptr: unknown
  for (const GgufTypeRow& row : kGgufTypes) {
    if (static_cast<uint32_t>(row.type) == id) return &row;
  }
  return nullptr;
}

}  // namespace swage
