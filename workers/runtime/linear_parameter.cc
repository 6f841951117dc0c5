#include "workers/runtime/linear_parameter.h"

#include <algorithm>
#include <cmath>

namespace swage {
namespace {

Status WrongShape(std::string_view module, std::string_view what, size_t size, int64_t wanted) {
  return InvalidInput("PARAMETER_SHAPE",
                      Cat(what, " of ", module, " has ", size, " values instead of ", wanted));
}

Status AddLora(Ops* ops, std::string_view module, const LoraParameter& lora, Linear* linear) {
  if (lora.rank < 1 || lora.rank > std::min(linear->out, linear->in)) {
    return InvalidInput("PARAMETER_SHAPE", Cat("a LoRA of rank ", lora.rank, " for ", module));
  }
  const int64_t a_size = lora.rank * linear->in, b_size = linear->out * lora.rank;
  if (static_cast<int64_t>(lora.a.size()) != a_size) {
    return WrongShape(module, "lora_A", lora.a.size(), a_size);
  }
  if (static_cast<int64_t>(lora.b.size()) != b_size) {
    return WrongShape(module, "lora_B", lora.b.size(), b_size);
  }
  std::vector<float> scaled = lora.b;
  SWAGE_RETURN_IF_ERROR(ops->Scale(b_size, lora.scale, scaled.data()));
  GemmArgs gemm;
  gemm.m = linear->out;
  gemm.n = linear->in;
  gemm.k = lora.rank;
  gemm.layout = GemmLayout::kNN;
  gemm.accumulate = true;
  gemm.a = scaled.data();
  gemm.b = lora.a.data();
  gemm.c = linear->f32.data();
  return ops->Gemm(gemm);
}

// Clamps every group to its share of its range; `passes` is where that changed nothing.
void ClampGroups(const FakeQuantizedParameter& fake, int64_t size, int64_t group, float* w,
                 std::vector<uint8_t>* passes) {
  passes->resize(size);
  for (int64_t begin = 0; begin < size; begin += group) {
    const auto [low, high] = std::minmax_element(w + begin, w + begin + group);
    float least = std::min(*low, 0.0f), most = std::max(*high, 0.0f);
    if (fake.symmetric) {
      most = std::max(most, -least);
      least = -most;
    }
    for (int64_t i = begin; i < begin + group; ++i) {
      const float clamped = std::clamp(w[i], fake.clip * least, fake.clip * most);
      (*passes)[i] = clamped == w[i] ? 1 : 0;
      w[i] = clamped;
    }
  }
}

Status RoundWeight(Ops* ops, std::string_view module, const FakeQuantizedParameter& fake,
                   Linear* linear, std::vector<uint8_t>* passes) {
  const int64_t group = fake.group == 0 ? linear->in : fake.group;
  if (group < 1 || linear->in % group != 0 || !(fake.clip > 0 && fake.clip <= 1)) {
    return InvalidInput("PARAMETER_SHAPE",
                        Cat("groups of ", fake.group, " columns and a clip of ", fake.clip, " for ",
                            module, ", which has ", linear->in, " columns"));
  }
  const int64_t size = linear->out * linear->in;
  float* w = linear->f32.data();
  ClampGroups(fake, size, group, w, passes);
  std::vector<int8_t> codes(size), zeros(fake.symmetric ? 0 : size / group);
  std::vector<float> scales(size / group);
  QuantizeArgs quantize;
  quantize.out = linear->out;
  quantize.in = linear->in;
  quantize.group = group;
  quantize.format = fake.format;
  quantize.symmetric = fake.symmetric;
  quantize.w = w;
  quantize.codes = codes.data();
  quantize.scales = scales.data();
  quantize.zeros = fake.symmetric ? nullptr : zeros.data();
  float global_scale = 0;  // of formats with two levels of scales
  quantize.global_scale = &global_scale;
  SWAGE_RETURN_IF_ERROR(ops->Quantize(quantize));
  return ops->Dequantize(quantize, w);
}

Status AddLoraGradients(Ops* ops, const LoraParameter& lora, const LinearGradientArgs& args) {
  Buffer<float> narrow(args.rows * lora.rank), out_side(args.rows * lora.rank);
  if (args.d_lora_b != nullptr) {  // dB += scale dy^T (x A^T)
    GemmArgs inner;
    inner.m = args.rows;
    inner.n = lora.rank;
    inner.k = args.in;
    inner.a = args.x;
    inner.b = lora.a.data();
    inner.c = narrow.data();
    SWAGE_RETURN_IF_ERROR(ops->Gemm(inner));
    SWAGE_RETURN_IF_ERROR(ops->Scale(args.rows * lora.rank, lora.scale, narrow.data()));
    GemmArgs outer;
    outer.m = args.count;
    outer.n = lora.rank;
    outer.k = args.rows;
    outer.layout = GemmLayout::kTN;
    outer.accumulate = true;
    outer.a = args.dy;
    outer.b = narrow.data();
    outer.c = args.d_lora_b + args.begin * lora.rank;
    SWAGE_RETURN_IF_ERROR(ops->Gemm(outer));
  }
  if (args.d_lora_a == nullptr) return absl::OkStatus();
  GemmArgs inner;  // dA += scale (dy B)^T x
  inner.m = args.rows;
  inner.n = lora.rank;
  inner.k = args.count;
  inner.layout = GemmLayout::kNN;
  inner.a = args.dy;
  inner.b = lora.b.data() + args.begin * lora.rank;
  inner.c = out_side.data();
  SWAGE_RETURN_IF_ERROR(ops->Gemm(inner));
  SWAGE_RETURN_IF_ERROR(ops->Scale(args.rows * lora.rank, lora.scale, out_side.data()));
  GemmArgs outer;
  outer.m = lora.rank;
  outer.n = args.in;
  outer.k = args.rows;
  outer.layout = GemmLayout::kTN;
  outer.accumulate = true;
  outer.a = out_side.data();
  outer.b = args.x;
  outer.c = args.d_lora_a;
  return ops->Gemm(outer);
}

}  // namespace

StatusOr<AppliedParameter> ApplyParameter(Ops* ops, std::string_view module,
                                          const LinearParameter& parameter, Linear* linear) {
  SWAGE_CHECK(linear->f32.size() == linear->out * linear->in, module, " has no f32 weight");
  AppliedParameter applied;
  applied.parameter = &parameter;
  const int64_t size = linear->out * linear->in;
  if (const auto* masked = std::get_if<MaskedParameter>(&parameter)) {
    if (static_cast<int64_t>(masked->mask.size()) != size) {
      return WrongShape(module, "the mask", masked->mask.size(), size);
    }
    SWAGE_RETURN_IF_ERROR(ops->select().ApplyMask(size, masked->mask.data(), linear->f32.data()));
  } else if (const auto* lora = std::get_if<LoraParameter>(&parameter)) {
    SWAGE_RETURN_IF_ERROR(AddLora(ops, module, *lora, linear));
  } else if (const auto* fake = std::get_if<FakeQuantizedParameter>(&parameter)) {
    SWAGE_RETURN_IF_ERROR(RoundWeight(ops, module, *fake, linear, &applied.passes));
  }
  return applied;
}

Status ApplyParameters(Ops* ops, const LinearParameters& parameters, std::string_view prefix,
                       Block* block, AppliedParameters* applied) {
  for (auto& [module, linear] : block->linears) {
    const std::string name = Cat(prefix, module);
    const auto found = parameters.find(name);
    if (found == parameters.end()) continue;
    SWAGE_ASSIGN_OR_RETURN((*applied)[name], ApplyParameter(ops, name, found->second, &linear));
  }
  return absl::OkStatus();
}

Status AddLinearGradients(Ops* ops, const AppliedParameter* applied,
                          const LinearGradientArgs& args) {
  if (args.rows == 0) return absl::OkStatus();
  const LinearParameter* parameter = applied == nullptr ? nullptr : applied->parameter;
  if (const auto* lora = std::get_if<LoraParameter>(parameter)) {
    SWAGE_RETURN_IF_ERROR(AddLoraGradients(ops, *lora, args));
  }
  if (args.d_weight == nullptr) return absl::OkStatus();
  const bool narrow = args.x_bf16 != nullptr && args.dy_bf16 != nullptr;
  float* sum = args.d_weight + args.begin * args.in;
  GemmArgs gemm;
  gemm.m = args.count;
  gemm.n = args.in;
  gemm.k = args.rows;
  gemm.layout = GemmLayout::kTN;
  gemm.accumulate = true;
  gemm.a = narrow ? static_cast<const void*>(args.dy_bf16) : args.dy;
  gemm.b = narrow ? static_cast<const void*>(args.x_bf16) : args.x;
  gemm.a_type = gemm.b_type = narrow ? DType::kBF16 : DType::kF32;
  gemm.c = sum;
  SWAGE_RETURN_IF_ERROR(ops->Gemm(gemm));
  // What is masked in every addend is masked in the sum.
  const uint8_t* mask = nullptr;
  if (const auto* masked = std::get_if<MaskedParameter>(parameter)) mask = masked->mask.data();
  if (std::get_if<FakeQuantizedParameter>(parameter) != nullptr) mask = applied->passes.data();
  if (mask == nullptr) return absl::OkStatus();
  return ops->select().ApplyMask(args.count * args.in, mask + args.begin * args.in, sum);
}

}  // namespace swage
