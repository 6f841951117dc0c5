// The table of number formats, one row each: what a code is, how codes share scales, how both are
// stored. Encode, decode and pack live in one file per family: numeric/{int_quant, fp8_e4m3,
// fp8_e5m2, fp4_e2m1, codebook, scale_types, pack_stream}.h, joined by numeric/number_codec.h.
// Arithmetic is f32 whatever the dtype of the weights was.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "kernels/numeric/number_codec.h"
#include "kernels/numeric/pack_stream.h"

namespace swage {

struct FormatRow {
  std::string_view id;  // "int4", "fp8_e4m3", "nvfp4"
  CodeKind kind;
  int bits;
  float max_value;  // what absmax is divided by for absmax scales; 0: the caller's codebook says
  bool has_asymmetric;
  std::vector<std::string_view> granularities;  // of weights: "tensor", "channel", "group", "block"
  ScaleType scale_type = ScaleType::kF32;
  ScaleRule scale_rule = ScaleRule::kAbsMax;  // what ScaleRule::kFormat means
  int64_t fixed_group = 0;                    // > 0: the only group size
  CodePacking packing = CodePacking::kWords;  // the densest one
  double code_bits = 0;                       // bits a code takes in it: 4, 1.6

  bool is_integer() const { return kind == CodeKind::kInteger; }
};

const std::vector<FormatRow>& Formats();
// nullptr when no row has this id.
const FormatRow* FindFormat(std::string_view id);

// Codes of the format: signed integers lo..hi; other kinds are bit patterns 0 .. 2^bits - 1.
IntGrid GridOf(const FormatRow& row);
// The format's values in the order of its codes 0 .. 2^bits - 1 (integers: lo..hi), relative to the
// scale; empty for "codebook". NaN and infinities of fp8 are left out.
std::vector<float> ValuesOf(const FormatRow& row);

}  // namespace swage
