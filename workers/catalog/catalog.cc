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
      {.id = "gptq",
       .kind = "quantize",
       .version = 1,
       .title = "GPTQ",
       .paper = "Frantar, Ashkboos, Hoefler and Alistarh 2023, \"GPTQ: accurate post-training "
                "quantization for generative pre-trained transformers\"; the order of columns by "
                "falling activation is IST-DASLab's act-order with the groups and scales of the "
                "original columns, group-aware reordering GPTQModel's. Blocks are calibrated one "
                "after the other, each on what the compressed blocks before it give; the linears "
                "of a block on its original weights. All arithmetic of the method is f32",
       .options = {{.name = "act_order",
                    .type = OptionType::kChoice,
                    .default_value = "group",
                    .choices = {"group", "static", "none"},
                    .meaning = "order in which columns are rounded: groups by their largest mean "
                               "squared input, columns by it within their group; all columns by "
                               "it; as they lie. Nothing is permuted in the artifact"},
                   {.name = "damp",
                    .type = OptionType::kFloat,
                    .default_value = "0.01",
                    .min = 1e-6,
                    .max = 1,
                    .meaning = "added to the diagonal of the Hessian, relative to its mean; raised "
                               "tenfold while the factorization fails, which the report then says"},
                   {.name = "scale",
                    .type = OptionType::kChoice,
                    .default_value = "importance",
                    .choices = {"importance", "mse", "minmax"},
                    .meaning = "scales: the best of 80 shrunken ranges of the weights by squared "
                               "error weighted by mean squared input; the same not weighted; the "
                               "range itself, as llm-compressor does"},
                   {.name = "sequential",
                    .type = OptionType::kBool,
                    .default_value = "true",
                    .meaning = "each block is calibrated on what the compressed blocks before it "
                               "give; false: all on what the original model gives, whose "
                               "statistics jobs with other formats can share (compress --cache)"},
                   {.name = "compute",
                    .type = OptionType::kChoice,
                    .default_value = "bf16",
                    .choices = {"bf16", "f32"},
                    .meaning = "type of the factors in the products of the calibration run; sums "
                               "are f32"}},
       .formats = {"int2", "int3", "int4", "int5", "int6", "int7", "int8"},
       .granularities = {"channel", "group"},
       .exports = {"compressed-tensors", "dense"},
       .needs_calibration = true},
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
