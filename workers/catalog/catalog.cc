#include "workers/catalog/catalog.h"

namespace swage {

const std::vector<MethodRow>& Methods() {
  static const auto* rows = new std::vector<MethodRow>{
      {.id = "rtn",
       .kind = "quantize",
       .version = 1,
       .title = "Round to nearest",
       .paper = "The arithmetic of compressed-tensors' min-max observers: scale = absmax / "
                "((2^bits - 1) / 2) for symmetric "
                "integers, (max - min) / (2^bits - 1) with a zero point for asymmetric ones, "
                "absmax / 448 for fp8_e4m3; "
                "round half to even; computed in f32",
       .options = {},
       .formats = {"int4", "int8", "fp8_e4m3"},
       .granularities = {"tensor", "channel", "group"},
       .exports = {"compressed-tensors", "dense"},
       .needs_calibration = false},
  };
  return *rows;
}

const MethodRow* FindMethod(std::string_view id) {
  for (const MethodRow& row : Methods()) {
    if (row.id == id) return &row;
  }
  return nullptr;
}

}  // namespace swage
