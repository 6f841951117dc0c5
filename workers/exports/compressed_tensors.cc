#include "workers/exports/compressed_tensors.h"

#include <set>

#include "base/modelfile/architecture.h"
#include "kernels/numeric/formats.h"
#include "workers/exports/config_json.h"
#include "workers/recipe/scheme.h"

namespace swage {
namespace {

using Json = nlohmann::ordered_json;

template <typename T>
std::string BytesOf(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

int64_t Words(int64_t values, int bits) { return (values * bits + 31) / 32; }

bool IsNvfp4(std::string_view format) { return StartsWith(format, "nvfp4"); }

// What the configuration says of one format. Ternary codes are stored as 2-bit integers, whose
// arithmetic they share.
Json FormatJson(const std::string& format) {
  const FormatRow* row = FindFormat(format);
  SWAGE_CHECK(row != nullptr, format);
  Json args;
  args["num_bits"] = row->bits;
  args["type"] = row->is_integer() ? "int" : "float";
  args["symmetric"] = true;
  if (row->scale_type == ScaleType::kE8M0) args["scale_dtype"] = "torch.uint8";
  if (row->scale_type == ScaleType::kE4M3) args["scale_dtype"] = "torch.float8_e4m3fn";
  return args;
}

Json WeightsJson(const QuantScheme& scheme) {
  Json args = FormatJson(scheme.format);
  args["symmetric"] = scheme.symmetric;
  args["strategy"] = IsNvfp4(scheme.format) ? "tensor_group" : scheme.granularity;
  if (scheme.granularity == "group") args["group_size"] = scheme.group_size;
  if (scheme.granularity == "block")
    args["block_structure"] = Json::array({scheme.group_size, scheme.group_size});
  return args;
}

// One config group; `targets` are filled in by the caller.
Json GroupJson(const LinearPlan& plan) {
  Json group;
  group["targets"] = Json::array();
  group["weights"] = WeightsJson(plan.weights);
  if (plan.activations) {
    Json& inputs = group["input_activations"] = FormatJson(plan.activations->format);
    inputs["strategy"] = plan.activations->granularity;
    if (plan.activations->group_size > 0) inputs["group_size"] = plan.activations->group_size;
    inputs["dynamic"] = plan.activations->dynamic;
  }
  group["format"] = CompressedTensorsFormat(plan);
  return group;
}

EncodedTensor ScaleTensor(const std::string& module, const QuantizedLinear& q) {
  EncodedTensor tensor{module + ".weight_scale", DType::kF32, q.scale_shape(), BytesOf(q.scales)};
  const ScaleType type = FindFormat(q.format)->scale_type;
  if (type != ScaleType::kE8M0 && type != ScaleType::kE4M3) return tensor;
  tensor.dtype = type == ScaleType::kE8M0 ? DType::kU8 : DType::kF8E4M3;
  tensor.bytes.resize(q.scales.size());
  for (size_t i = 0; i < q.scales.size(); ++i) {
    tensor.bytes[i] = static_cast<char>(type == ScaleType::kE8M0 ? E8M0Byte(q.scales[i])
                                                                 : EncodeFp8(q.scales[i]));
  }
  return tensor;
}

StatusOr<std::vector<EncodedTensor>> CodeTensors(Ops* ops, const LinearPlan& plan,
                                                 const QuantizedLinear& q) {
  const std::string& m = plan.module;
  const FormatRow* row = FindFormat(q.format);
  std::vector<EncodedTensor> tensors;
  if (IsPackedIntoWords(plan)) {
    const int64_t words = Words(q.in, row->bits);
    std::vector<int32_t> packed(q.out * words);
    SWAGE_RETURN_IF_ERROR(ops->PackRows(q.out, q.in, row->bits, q.codes.data(), packed.data()));
    tensors.push_back({m + ".weight_packed", DType::kI32, {q.out, words}, BytesOf(packed)});
    tensors.push_back(
        {m + ".weight_shape", DType::kI64, {2}, BytesOf(std::vector<int64_t>{q.out, q.in})});
  } else if (row->kind == CodeKind::kFp4) {
    const int64_t width = PackedRowBytes(CodePacking::kBits, 4, q.in);
    std::vector<uint8_t> packed(q.out * width);
    SWAGE_RETURN_IF_ERROR(
        ops->PackCodes({q.out, q.in, CodePacking::kBits, 4}, q.codes.data(), packed.data()));
    tensors.push_back({m + ".weight_packed", DType::kU8, {q.out, width}, BytesOf(packed)});
  } else {
    const DType dtype = row->is_integer() ? DType::kI8 : DType::kF8E4M3;
    tensors.push_back({m + ".weight", dtype, {q.out, q.in}, BytesOf(q.codes)});
  }
  return tensors;
}

// Zero points packed along the rows: word [w, g] holds rows w*32/bits onwards of group g.
StatusOr<std::string> PackZeros(Ops* ops, const QuantizedLinear& q, int bits) {
  const int64_t groups = q.groups(), words = Words(q.out, bits);
  std::vector<int8_t> turned(q.zeros.size());
  for (int64_t r = 0; r < q.out; ++r) {
    for (int64_t g = 0; g < groups; ++g) turned[g * q.out + r] = q.zeros[r * groups + g];
  }
  std::vector<int32_t> packed(groups * words), back(groups * words);
  SWAGE_RETURN_IF_ERROR(ops->PackRows(groups, q.out, bits, turned.data(), packed.data()));
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t w = 0; w < words; ++w) back[w * groups + g] = packed[g * words + w];
  }
  return BytesOf(back);
}

class CompressedTensors : public Exporter {
 public:
  std::string_view id() const override { return "compressed-tensors"; }
  bool lossless() const override { return true; }

  StatusOr<std::vector<EncodedTensor>> Encode(Ops* ops, const LinearPlan& plan,
                                              const QuantizedLinear& q) const override {
    SWAGE_ASSIGN_OR_RETURN(std::vector<EncodedTensor> tensors, CodeTensors(ops, plan, q));
    tensors.push_back(ScaleTensor(plan.module, q));
    if (q.two_level()) {
      tensors.push_back({plan.module + ".weight_global_scale",
                         DType::kF32,
                         {1},
                         BytesOf(std::vector<float>{q.global_scale})});
    }
    if (!q.symmetric) {
      EncodedTensor zeros{plan.module + ".weight_zero_point", DType::kI8, q.scale_shape(),
                          BytesOf(q.zeros)};
      if (IsPackedIntoWords(plan) && !q.per_tensor) {
        const int bits = FindFormat(q.format)->bits;
        zeros.dtype = DType::kI32;
        zeros.shape = {Words(q.out, bits), q.groups()};
        SWAGE_ASSIGN_OR_RETURN(zeros.bytes, PackZeros(ops, q, bits));
      }
      tensors.push_back(std::move(zeros));
    }
    return tensors;
  }

  StatusOr<std::string> ConfigJson(const ModelConfig& config, const Plan& plan) const override {
    for (const LinearPlan& linear : plan.quantized) {
      if (FindSchemeRules(linear.weights.format)->compressed_tensors) continue;
      return InvalidInput(
          "EXPORT_CANNOT_EXPRESS",
          Cat("compressed-tensors has no words for weights in ", linear.weights.format),
          "write export: dense, or choose another format");
    }
    std::vector<Json> groups;
    std::vector<std::vector<std::string>> members;
    std::set<std::string_view> formats;
    for (const LinearPlan& linear : plan.quantized) {
      const Json group = GroupJson(linear);
      size_t at = 0;
      while (at < groups.size() && groups[at] != group) ++at;
      if (at == groups.size()) {
        groups.push_back(group);
        members.emplace_back();
      }
      members[at].push_back(linear.module);
      formats.insert(CompressedTensorsFormat(linear));
    }
    Json section;
    section["quant_method"] = "compressed-tensors";
    section["quantization_status"] = "compressed";
    section["format"] =
        formats.size() == 1 ? *formats.begin() : std::string_view("mixed-precision");
    section["config_groups"] = Json::object();
    for (size_t i = 0; i < groups.size(); ++i) {
      // One scheme for all: the class of the modules is enough. Several: every module by its name.
      groups[i]["targets"] = groups.size() == 1 ? std::vector<std::string>{"Linear"} : members[i];
      section["config_groups"][Cat("group_", i)] = groups[i];
    }
    std::vector<std::string> ignore = plan.kept_dense;
    if (config.tie_embeddings) {  // the head is a Linear that "Linear" would match, though no
                                  // tensor is stored for it
      const std::string head(FindArchitecture(config.architecture)->lm_head);
      if (std::find(ignore.begin(), ignore.end(), head) == ignore.end()) ignore.push_back(head);
    }
    section["ignore"] = ignore;
    return ReplaceQuantizationConfig(config.raw_json, plan.quantized.empty() ? Json() : section);
  }
};

}  // namespace

std::string_view CompressedTensorsFormat(const LinearPlan& plan) {
  const std::string& format = plan.weights.format;
  if (format == "fp8_e4m3") return "float-quantized";
  if (format == "mxfp8") return "mxfp8-quantized";
  if (format == "mxfp4") return "mxfp4-pack-quantized";
  if (IsNvfp4(format)) return "nvfp4-pack-quantized";
  return IsPackedIntoWords(plan) ? "pack-quantized" : "int-quantized";
}

const Exporter* CompressedTensorsExporter() {
  static const auto* exporter = new CompressedTensors();
  return exporter;
}

}  // namespace swage
