#include "workers/exports/compressed_tensors.h"

#include <set>

#include "base/modelfile/architecture.h"
#include "workers/exports/config_json.h"

namespace swage {
namespace {

using Json = nlohmann::ordered_json;

template <typename T>
std::string BytesOf(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

int Bits(const std::string& format) { return format == "int4" ? 4 : 8; }
int64_t Words(int64_t values, int bits) { return (values * bits + 31) / 32; }

Json ArgumentsJson(const std::string& format, const std::string& strategy, bool symmetric) {
  Json args;
  args["num_bits"] = Bits(format);
  args["type"] = format == "fp8_e4m3" ? "float" : "int";
  args["symmetric"] = symmetric;
  args["strategy"] = strategy;
  return args;
}

// One config group; `targets` are filled in by the caller.
Json GroupJson(const LinearPlan& plan) {
  Json group;
  group["targets"] = Json::array();
  group["weights"] =
      ArgumentsJson(plan.weights.format, plan.weights.granularity, plan.weights.symmetric);
  if (plan.weights.granularity == "group") group["weights"]["group_size"] = plan.weights.group_size;
  if (plan.activations) {
    Json& inputs = group["input_activations"] =
        ArgumentsJson(plan.activations->format, plan.activations->granularity, true);
    inputs["dynamic"] = plan.activations->dynamic;
  }
  group["format"] = CompressedTensorsFormat(plan);
  return group;
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
    const std::string& m = plan.module;
    const int bits = Bits(q.format);
    const std::vector<int64_t> grid =
        q.per_tensor ? std::vector<int64_t>{1} : std::vector<int64_t>{q.out, q.groups()};
    std::vector<EncodedTensor> tensors;
    tensors.push_back({m + ".weight_scale", DType::kF32, grid, BytesOf(q.scales)});
    const std::string_view format = CompressedTensorsFormat(plan);
    if (format != "pack-quantized") {
      const DType dtype = format == "float-quantized" ? DType::kF8E4M3 : DType::kI8;
      tensors.push_back({m + ".weight", dtype, {q.out, q.in}, BytesOf(q.codes)});
    } else {
      const int64_t words = Words(q.in, bits);
      std::vector<int32_t> packed(q.out * words);
      SWAGE_RETURN_IF_ERROR(ops->PackRows(q.out, q.in, bits, q.codes.data(), packed.data()));
      tensors.push_back({m + ".weight_packed", DType::kI32, {q.out, words}, BytesOf(packed)});
      tensors.push_back(
          {m + ".weight_shape", DType::kI64, {2}, BytesOf(std::vector<int64_t>{q.out, q.in})});
    }
    if (!q.symmetric) {
      EncodedTensor zeros{m + ".weight_zero_point", DType::kI8, grid, BytesOf(q.zeros)};
      if (format == "pack-quantized" && !q.per_tensor) {
        zeros.dtype = DType::kI32;
        zeros.shape = {Words(q.out, bits), q.groups()};
        SWAGE_ASSIGN_OR_RETURN(zeros.bytes, PackZeros(ops, q, bits));
      }
      tensors.push_back(std::move(zeros));
    }
    return tensors;
  }

  StatusOr<std::string> ConfigJson(const ModelConfig& config, const Plan& plan) const override {
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
  if (plan.weights.format == "fp8_e4m3") return "float-quantized";
  return plan.activations ? "int-quantized" : "pack-quantized";
}

const Exporter* CompressedTensorsExporter() {
  static const auto* exporter = new CompressedTensors();
  return exporter;
}

}  // namespace swage
