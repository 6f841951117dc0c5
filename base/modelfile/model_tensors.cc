// Which tensors a model has, as follows from its row and its configuration.
#include <utility>

#include "base/modelfile/architecture.h"
#include "base/text.h"

namespace swage {
namespace {

// Appends linears, numbering the inputs that they read.
class Linears {
 public:
  explicit Linears(bool transposed) : transposed_(transposed) {}
  // The linears that follow read one input.
  void NewInput() { ++group_; }
  LinearSpec& Add(std::string module, int64_t out, int64_t in, bool bias) {
    LinearSpec spec{std::move(module), out, in, bias, group_, transposed_};
    specs_.push_back(std::move(spec));
    return specs_.back();
  }
  void AddFixed(std::string module, int64_t out, int64_t in) {
    NewInput();  // its own number: serving engines fuse it with nothing
    Add(std::move(module), out, in, false).fixed = true;
  }
  std::vector<LinearSpec> Take() { return std::move(specs_); }

 private:
  const bool transposed_;
  int group_ = -1;
  std::vector<LinearSpec> specs_;
};

void AddAttention(const Architecture& row, const ModelConfig& c, Linears* linears) {
  const int64_t query = c.heads * c.head_dim, key = c.kv_heads * c.head_dim;
  linears->NewInput();
  if (!row.qkv.empty()) {
    linears->Add(std::string(row.qkv), query + 2 * key, c.hidden, c.qkv_bias);
  } else {
    linears->Add(std::string(row.q), query, c.hidden, c.qkv_bias);
    linears->Add(std::string(row.k), key, c.hidden, c.qkv_bias);
    linears->Add(std::string(row.v), key, c.hidden, c.qkv_bias);
  }
  linears->NewInput();
  linears->Add(std::string(row.o), c.hidden, query, c.o_bias);
}

void AddFeedForward(const Architecture& row, const ModelConfig& c, Linears* linears) {
  linears->NewInput();
  if (!row.gate_up.empty()) {
    linears->Add(std::string(row.gate_up), 2 * c.ffn, c.hidden, c.mlp_bias);
  } else {
    if (!row.gate.empty()) linears->Add(std::string(row.gate), c.ffn, c.hidden, c.mlp_bias);
    linears->Add(std::string(row.up), c.ffn, c.hidden, c.mlp_bias);
  }
  linears->NewInput();
  linears->Add(std::string(row.down), c.hidden, c.ffn, c.mlp_bias);
}

void AddExpert(const Architecture& row, const std::string& prefix, int64_t hidden, int64_t ffn,
               double share, Linears* linears) {
  linears->NewInput();
  linears->Add(Cat(prefix, row.expert_gate), ffn, hidden, false).share = share;
  linears->Add(Cat(prefix, row.expert_up), ffn, hidden, false).share = share;
  linears->NewInput();
  linears->Add(Cat(prefix, row.expert_down), hidden, ffn, false).share = share;
}

void AddExperts(const Architecture& row, const ModelConfig& c, Linears* linears) {
  const ExpertsConfig& experts = c.experts;
  linears->AddFixed(std::string(row.router), experts.count, c.hidden);
  const double share =
      static_cast<double>(experts.per_token) / static_cast<double>(experts.count);
  for (int64_t e = 0; e < experts.count; ++e) {
    AddExpert(row, Cat(row.experts, e, "."), c.hidden, experts.ffn, share, linears);
  }
  if (experts.shared_ffn == 0) return;
  AddExpert(row, std::string(row.shared_expert), c.hidden, experts.shared_ffn, 1, linears);
  linears->AddFixed(std::string(row.shared_gate), 1, c.hidden);
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += Cat(i > 0 ? ", " : "", shape[i]);
  return text + "]";
}

bool IsFloating(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

Status CheckTensor(const TensorLookup& lookup, const std::string& name,
                   const std::vector<int64_t>& shape) {
  const TensorInfo* info = lookup(name);
  if (info == nullptr) {
    return InvalidInput(
        "TENSOR_MISSING",
        Cat("the model has no tensor '", name, "'; config.json implies one of shape ",
            ShapeText(shape)),
        "check that config.json belongs to these weights and that no shard is missing");
  }
  if (info->shape != shape) {
    return InvalidInput("TENSOR_SHAPE",
                        Cat("tensor '", name, "' has the shape ", ShapeText(info->shape),
                            "; config.json implies ", ShapeText(shape)),
                        "check that config.json belongs to these weights");
  }
  if (!IsFloating(info->dtype)) {
    return InvalidInput("TENSOR_DTYPE",
                        Cat("tensor '", name, "' is ", DTypeName(info->dtype),
                            "; a weight is F32, F16 or BF16"),
                        "give the model as it was before quantization");
  }
  return absl::OkStatus();
}

Status CheckLinear(const TensorLookup& lookup, const std::string& module, const LinearSpec& spec) {
  std::vector<int64_t> shape = {spec.out, spec.in};
  if (spec.transposed) std::swap(shape[0], shape[1]);
  SWAGE_RETURN_IF_ERROR(CheckTensor(lookup, module + ".weight", shape));
  return spec.bias ? CheckTensor(lookup, module + ".bias", {spec.out}) : absl::OkStatus();
}

void AddNorm(const Architecture& row, const ModelConfig& c, const std::string& name, int64_t width,
             std::vector<TensorShape>* tensors) {
  if (!c.norm_affine) return;
  tensors->push_back({name + ".weight", {width}});
  if (row.norm == NormKind::kLayer) tensors->push_back({name + ".bias", {width}});
}

}  // namespace

std::vector<LinearSpec> BlockLinears(const ModelConfig& config, int64_t layer) {
  const Architecture& row = ArchitectureOf(config);
  Linears linears(row.conv1d);
  AddAttention(row, config, &linears);
  if (config.HasExperts(layer)) {
    AddExperts(row, config, &linears);
  } else {
    AddFeedForward(row, config, &linears);
  }
  return linears.Take();
}

std::vector<LinearSpec> OuterLinears(const ModelConfig& config) {
  if (config.embedding_width == config.hidden) return {};
  const Architecture& row = ArchitectureOf(config);
  Linears linears(false);
  linears.AddFixed(TensorName(config, row.project_in), config.hidden, config.embedding_width);
  linears.AddFixed(TensorName(config, row.project_out), config.embedding_width, config.hidden);
  return linears.Take();
}

LinearSpec HeadSpec(const ModelConfig& config) {
  const Architecture& row = ArchitectureOf(config);
  LinearSpec spec;
  spec.module =
      config.tie_embeddings ? TensorName(config, row.embedding) : std::string(row.lm_head);
  spec.out = config.vocab;
  spec.in = config.embedding_width;
  return spec;
}

std::vector<std::string> LinearModules(const ModelConfig& config) {
  std::vector<std::string> modules;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string prefix = BlockPrefix(config, layer);
    for (const LinearSpec& linear : BlockLinears(config, layer)) {
      modules.push_back(prefix + linear.module);
    }
  }
  for (const LinearSpec& linear : OuterLinears(config)) modules.push_back(linear.module);
  if (!config.tie_embeddings) modules.emplace_back(ArchitectureOf(config).lm_head);
  return modules;
}

std::string TensorName(const ModelConfig& config, std::string_view name) {
  const std::string_view prefix = ArchitectureOf(config).optional_prefix;
  if (config.bare_names && StartsWith(name, prefix)) name.remove_prefix(prefix.size());
  return std::string(name);
}

std::string BlockPrefix(const ModelConfig& config, int64_t layer) {
  return Cat(TensorName(config, ArchitectureOf(config).block_prefix), layer, ".");
}

std::optional<int64_t> LayerOf(const ModelConfig& config, std::string_view name) {
  const std::string prefix = TensorName(config, ArchitectureOf(config).block_prefix);
  if (!StartsWith(name, prefix)) return std::nullopt;
  int64_t layer = 0;
  size_t at = prefix.size();
  for (; at < name.size() && name[at] >= '0' && name[at] <= '9'; ++at) {
    layer = layer * 10 + (name[at] - '0');
    if (layer >= config.layers) return std::nullopt;
  }
  const bool numbered = at > prefix.size() && at < name.size() && name[at] == '.';
  return numbered && layer < config.layers ? std::optional(layer) : std::nullopt;
}

std::vector<TensorShape> BlockNorms(const ModelConfig& config, int64_t layer) {
  const Architecture& row = ArchitectureOf(config);
  const std::string prefix = BlockPrefix(config, layer);
  std::vector<TensorShape> tensors;
  for (const std::string_view norm :
       {row.attention_norm, row.attention_post_norm, row.ffn_norm, row.ffn_post_norm}) {
    if (!norm.empty()) AddNorm(row, config, Cat(prefix, norm), config.hidden, &tensors);
  }
  for (const std::string_view norm : {row.q_norm, row.k_norm}) {
    if (!norm.empty()) AddNorm(row, config, Cat(prefix, norm), config.head_dim, &tensors);
  }
  return tensors;
}

std::vector<TensorShape> OuterTensors(const ModelConfig& config) {
  const Architecture& row = ArchitectureOf(config);
  std::vector<TensorShape> tensors = {{Cat(TensorName(config, row.embedding), ".weight"),
                                       {config.vocab, config.embedding_width}}};
  if (!row.positions.empty()) {
    tensors.push_back({Cat(TensorName(config, row.positions), ".weight"),
                       {config.max_positions + row.position_offset, config.hidden}});
  }
  if (config.final_norm) {
    AddNorm(row, config, TensorName(config, row.final_norm), config.hidden, &tensors);
  }
  return tensors;
}

void AdaptNames(const TensorLookup& lookup, ModelConfig* config) {
  const Architecture& row = ArchitectureOf(*config);
  if (row.optional_prefix.empty()) return;
  config->bare_names = false;
  const bool there = lookup(Cat(row.embedding, ".weight")) != nullptr;
  const std::string_view bare = row.embedding.substr(row.optional_prefix.size());
  config->bare_names = !there && lookup(Cat(bare, ".weight")) != nullptr;
}

Status ValidateModel(const ModelConfig& config, const TensorLookup& lookup) {
  for (const TensorShape& tensor : OuterTensors(config)) {
    SWAGE_RETURN_IF_ERROR(CheckTensor(lookup, tensor.name, tensor.shape));
  }
  for (const LinearSpec& linear : OuterLinears(config)) {
    SWAGE_RETURN_IF_ERROR(CheckLinear(lookup, linear.module, linear));
  }
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string prefix = BlockPrefix(config, layer);
    for (const TensorShape& norm : BlockNorms(config, layer)) {
      SWAGE_RETURN_IF_ERROR(CheckTensor(lookup, norm.name, norm.shape));
    }
    for (const LinearSpec& linear : BlockLinears(config, layer)) {
      SWAGE_RETURN_IF_ERROR(CheckLinear(lookup, prefix + linear.module, linear));
    }
  }
  if (!config.tie_embeddings) {
    const LinearSpec head = HeadSpec(config);
    SWAGE_RETURN_IF_ERROR(CheckLinear(lookup, head.module, head));
  }
  const Architecture& row = ArchitectureOf(config);
  const std::string beyond = Cat(BlockPrefix(config, config.layers), row.o, ".weight");
  if (lookup(beyond) != nullptr) {
    return InvalidInput("CONFIG_CONTRADICTS",
                        Cat("the model has '", beyond, "', but config.json says ",
                            row.config.layers, " ", config.layers),
                        "check that config.json belongs to these weights");
  }
  return absl::OkStatus();
}

}  // namespace swage
