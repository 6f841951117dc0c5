// What stands for the weight of a linear while gradients are taken, and the rules by which its
// gradients follow from that of the effective weight E in y = x E^T + b:
//   dense           E = W                   dW = dE
//   masked          E = W * mask            dW = dE * mask
//   LoRA            E = W + scale B A       dA = scale B^T dE, dB = scale dE A^T, dW = dE
//                   (Hu et al. 2021, arXiv 2106.09685; never through dE: by x A^T and dy B)
//   fake-quantized  E = round(clamp(W))     dW = dE where W is within the clip range, else 0
//                   (straight-through, Bengio et al. 2013, arXiv 1308.3432; scales are constants)
// The effective weight replaces the linear's, so that forward and backward run as for a dense one.
//   LinearParameters parameters;
//   parameters["model.layers.0.mlp.up_proj"] = MaskedParameter{mask};
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "workers/runtime/model.h"

namespace swage {

struct DenseParameter {};
struct MaskedParameter {
  std::vector<uint8_t> mask;  // [out, in], 1: kept
};
struct LoraParameter {
  int64_t rank = 0;
  float scale = 1;
  std::vector<float> a;  // [rank, in]
  std::vector<float> b;  // [out, rank]
};
struct FakeQuantizedParameter {
  std::string format;  // kernels/numeric id
  int64_t group = 0;   // columns that share a scale; 0: a whole row
  bool symmetric = true;
  float clip = 1;  // the range of a group is this times its absmax (or its min and max)
};
using LinearParameter =
    std::variant<DenseParameter, MaskedParameter, LoraParameter, FakeQuantizedParameter>;
using LinearParameters = std::map<std::string, LinearParameter, std::less<>>;  // by full module

// A parameter whose effective weight is in place. It points to the parameter, which must outlive
// it.
struct AppliedParameter {
  const LinearParameter* parameter = nullptr;
  std::vector<uint8_t> passes;  // fake-quantized: where the gradient goes through
};
using AppliedParameters = std::map<std::string, AppliedParameter, std::less<>>;  // by full module

// `linear` has its f32 weight. Errors: INVALID_ARGUMENT (PARAMETER_SHAPE), those of Ops::Quantize.
StatusOr<AppliedParameter> ApplyParameter(Ops* ops, std::string_view module,
                                          const LinearParameter& parameter, Linear* linear);
// All of a block's, by BlockPrefix + module.
Status ApplyParameters(Ops* ops, const LinearParameters& parameters, std::string_view prefix,
                       Block* block, AppliedParameters* applied);

// Rows [begin, begin + count) of one weight [out, in], from `rows` rows of inputs and of gradients
// of outputs. bf16 forms, when both are given, are what the product for d_weight reads.
struct LinearGradientArgs {
  int64_t rows = 0, begin = 0, count = 0, in = 0;
  const float* x = nullptr;   // [rows, in]
  const float* dy = nullptr;  // [rows, count]
  const uint16_t* x_bf16 = nullptr;
  const uint16_t* dy_bf16 = nullptr;
  // All of them are added to; null: not wanted.
  float* d_weight = nullptr;  // [out, in]
  float* d_lora_a = nullptr;  // [rank, in]
  float* d_lora_b = nullptr;  // [out, rank]
};
// `applied` null: dense.
Status AddLinearGradients(Ops* ops, const AppliedParameter* applied,
                          const LinearGradientArgs& args);

}  // namespace swage
