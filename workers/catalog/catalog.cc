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
                "powers of two for mxfp4 and mxfp8, e4m3 scales under one global scale (shared by "
                "fused linears) for nvfp4; mean magnitude for ternary (BitNet b1.58); round half "
                "to even; computed in f32",
       .options = {},
       .formats = {"int2", "int3", "int4", "int5", "int6", "int7", "int8", "ternary", "fp8_e4m3",
                   "mxfp8", "mxfp4", "nvfp4", "nvfp4_46", "fp8_e5m2", "fp4_ue5m3", "nf4"},
       .granularities = {"tensor", "channel", "group", "block"},
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
