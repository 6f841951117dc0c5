// The table of number formats, one row each. Encode, decode and pack live in one file per family:
// numeric/int_quant.h, numeric/fp8_e4m3.h. Arithmetic is f32 whatever the dtype of the weights was.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace swage {

enum class FormatKind { kInteger, kFloat };

struct FormatRow {
  std::string_view id;  // "int4", "int8", "fp8_e4m3"
  FormatKind kind;
  int bits;
  float max_value;  // of the code grid: 7 (int4), 127, 448
  bool has_asymmetric;
  std::vector<std::string_view> granularities;  // of weights: "tensor", "channel", "group"
};

const std::vector<FormatRow>& Formats();
// nullptr when no row has this id.
const FormatRow* FindFormat(std::string_view id);

}  // namespace swage
