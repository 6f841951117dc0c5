#include "kernels/numeric/formats.h"

#include <cmath>

namespace swage {
namespace {

using Words = std::vector<std::string_view>;

FormatRow Integer(std::string_view id, int bits) {
  return {id,
          CodeKind::kInteger,
          bits,
          static_cast<float>((1 << bits) - 1) / 2.0f,
          true,
          Words{"tensor", "channel", "group", "block"},
          ScaleType::kF32,
          ScaleRule::kAbsMax,
          0,
          CodePacking::kWords,
          static_cast<double>(bits)};
}

FormatRow Float(std::string_view id, CodeKind kind, int bits, float max, Words granularities,
                ScaleType scale = ScaleType::kF32, int64_t group = 0) {
  return {id,
          kind,
          bits,
          max,
          false,
          std::move(granularities),
          scale,
          ScaleRule::kAbsMax,
          group,
          CodePacking::kBits,
          static_cast<double>(bits)};
}

std::vector<FormatRow> MakeTable() {
  const Words any = {"tensor", "channel", "group", "block"}, group = {"group"};
  std::vector<FormatRow> rows = {
      Integer("int1", 1),
      Integer("int2", 2),
      Integer("int3", 3),
      Integer("int4", 4),
      Integer("int5", 5),
      Integer("int6", 6),
      Integer("int7", 7),
      Integer("int8", 8),
      {"ternary", CodeKind::kInteger, 2, 1.0f, false, any, ScaleType::kF32, ScaleRule::kAbsMean, 0,
       CodePacking::kTrits, 1.6},
      Float("fp8_e4m3", CodeKind::kFp8E4M3, 8, kFp8Max, any),
      Float("fp8_e5m2", CodeKind::kFp8E5M2, 8, kFp8E5M2Max, any),
      Float("mxfp8", CodeKind::kFp8E4M3, 8, kFp8Max, group, ScaleType::kE8M0, 32),
      Float("mxfp4", CodeKind::kFp4, 4, kFp4Max, group, ScaleType::kE8M0, 32),
      Float("nvfp4", CodeKind::kFp4, 4, kFp4Max, group, ScaleType::kE4M3, 16),
      Float("nvfp4_46", CodeKind::kFp4, 4, kFp4Max, group, ScaleType::kE4M3, 16),
      Float("fp4_ue5m3", CodeKind::kFp4, 4, kFp4Max, group, ScaleType::kUE5M3, 16),
      Float("nf4", CodeKind::kCodebook, 4, 1.0f, any),
      Float("codebook", CodeKind::kCodebook, 8, 0.0f, any),
  };
  for (FormatRow& row : rows) {
    if (row.id == "nvfp4_46") row.scale_rule = ScaleRule::kFourOverSix;
  }
  return rows;
}

float ValueOf(const FormatRow& row, int code) {
  switch (row.kind) {
    case CodeKind::kFp8E4M3:
      return DecodeFp8(static_cast<uint8_t>(code));
    case CodeKind::kFp8E5M2:
      return DecodeFp8E5M2(static_cast<uint8_t>(code));
    case CodeKind::kFp4:
      return DecodeFp4(static_cast<uint8_t>(code));
    default:
      return Nf4Value(code);
  }
}

}  // namespace

const std::vector<FormatRow>& Formats() {
  static const auto* const rows = new std::vector<FormatRow>(MakeTable());
  return *rows;
}

const FormatRow* FindFormat(std::string_view id) {
  for (const FormatRow& row : Formats()) {
    if (row.id == id) return &row;
  }
  return nullptr;
}

IntGrid GridOf(const FormatRow& row) {
  IntGrid grid = IntGridOf(row.bits);
  if (row.id == "ternary") grid.lo = -1.0f;
  return grid;
}

std::vector<float> ValuesOf(const FormatRow& row) {
  std::vector<float> values;
  if (row.is_integer()) {
    const IntGrid grid = GridOf(row);
    const float zero = row.bits == 1 ? -0.5f : 0.0f;
    for (float code = grid.lo; code <= grid.hi; ++code) values.push_back(code - zero);
  } else if (row.max_value > 0) {
    for (int code = 0; code < 1 << row.bits; ++code) {
      const float value = ValueOf(row, code);
      if (std::isfinite(value)) values.push_back(value);
    }
  }
  return values;
}

}  // namespace swage
