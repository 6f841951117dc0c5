#include "kernels/numeric/formats.h"

namespace swage {

const std::vector<FormatRow>& Formats() {
  static const auto* const rows = new std::vector<FormatRow>{
      {"int2", FormatKind::kInteger, 2, 1.0f, true, {"tensor", "channel", "group"}},
      {"int3", FormatKind::kInteger, 3, 3.0f, true, {"tensor", "channel", "group"}},
      {"int4", FormatKind::kInteger, 4, 7.0f, true, {"tensor", "channel", "group"}},
      {"int5", FormatKind::kInteger, 5, 15.0f, true, {"tensor", "channel", "group"}},
      {"int6", FormatKind::kInteger, 6, 31.0f, true, {"tensor", "channel", "group"}},
      {"int7", FormatKind::kInteger, 7, 63.0f, true, {"tensor", "channel", "group"}},
      {"int8", FormatKind::kInteger, 8, 127.0f, true, {"tensor", "channel", "group"}},
      {"fp8_e4m3", FormatKind::kFloat, 8, 448.0f, false, {"tensor", "channel"}},
  };
  return *rows;
}

const FormatRow* FindFormat(std::string_view id) {
  for (const FormatRow& row : Formats()) {
    if (row.id == id) return &row;
  }
  return nullptr;
}

}  // namespace swage
