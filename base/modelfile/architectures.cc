// The table of architectures and what follows from a row.
#include "base/modelfile/model_config.h"
#include "base/text.h"

namespace swage {
namespace {

std::vector<LinearSpec> LlamaLinears(const ModelConfig& c) {
  const int64_t query = c.heads * c.head_dim, key = c.kv_heads * c.head_dim;
  return {
      {"self_attn.q_proj", query, c.hidden, c.attention_bias, 0},
      {"self_attn.k_proj", key, c.hidden, c.attention_bias, 0},
      {"self_attn.v_proj", key, c.hidden, c.attention_bias, 0},
      {"self_attn.o_proj", c.hidden, query, c.attention_bias, 1},
      {"mlp.gate_proj", c.ffn, c.hidden, c.mlp_bias, 2},
      {"mlp.up_proj", c.ffn, c.hidden, c.mlp_bias, 2},
      {"mlp.down_proj", c.hidden, c.ffn, c.mlp_bias, 3},
  };
}

const Architecture& RowOf(const ModelConfig& config) {
  const Architecture* row = FindArchitecture(config.architecture);
  SWAGE_CHECK(row != nullptr, "ParseModelConfig let '", config.architecture, "' through");
  return *row;
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += Cat(i > 0 ? ", " : "", shape[i]);
  return text + "]";
}

bool IsFloating(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

Status CheckTensor(const TensorLookup& lookup, const std::string& name, const std::vector<int64_t>& shape) {
  const TensorInfo* info = lookup(name);
  if (info == nullptr) {
    return InvalidInput("TENSOR_MISSING", Cat("the model has no tensor '", name, "'; config.json implies one of shape ",
                                              ShapeText(shape)),
                        "check that config.json belongs to these weights and that no shard is missing");
  }
  if (info->shape != shape) {
    return InvalidInput("TENSOR_SHAPE", Cat("tensor '", name, "' has the shape ", ShapeText(info->shape),
                                            "; config.json implies ", ShapeText(shape)),
                        "check that config.json belongs to these weights");
  }
  if (!IsFloating(info->dtype)) {
    return InvalidInput("TENSOR_DTYPE", Cat("tensor '", name, "' is ", DTypeName(info->dtype),
                                            "; a weight is F32, F16 or BF16"),
                        "give the model as it was before quantization");
  }
  return absl::OkStatus();
}

}  // namespace

const std::vector<Architecture>& Architectures() {
  static const auto* rows = new std::vector<Architecture>{
      {.name = "LlamaForCausalLM",
       .block_prefix = "model.layers.",
       .embedding = "model.embed_tokens",
       .final_norm = "model.norm",
       .lm_head = "lm_head",
       .linears = LlamaLinears,
       .norms = {"input_layernorm", "post_attention_layernorm"}},
  };
  return *rows;
}

const Architecture* FindArchitecture(std::string_view name) {
  for (const Architecture& row : Architectures()) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

std::vector<std::string> LinearModules(const ModelConfig& config) {
  const Architecture& row = RowOf(config);
  const std::vector<LinearSpec> linears = row.linears(config);
  std::vector<std::string> modules;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string prefix = BlockPrefix(config, layer);
    for (const LinearSpec& linear : linears) modules.push_back(prefix + linear.module);
  }
  if (!config.tie_embeddings) modules.emplace_back(row.lm_head);
  return modules;
}

std::string BlockPrefix(const ModelConfig& config, int64_t layer) {
  return Cat(RowOf(config).block_prefix, layer, ".");
}

Status ValidateModel(const ModelConfig& config, const TensorLookup& lookup) {
  const Architecture& row = RowOf(config);
  SWAGE_RETURN_IF_ERROR(CheckTensor(lookup, Cat(row.embedding, ".weight"), {config.vocab, config.hidden}));
  const std::vector<LinearSpec> linears = row.linears(config);
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string prefix = BlockPrefix(config, layer);
    for (const std::string_view norm : row.norms) {
      SWAGE_RETURN_IF_ERROR(CheckTensor(lookup, Cat(prefix, norm, ".weight"), {config.hidden}));
    }
    for (const LinearSpec& linear : linears) {
      SWAGE_RETURN_IF_ERROR(CheckTensor(lookup, Cat(prefix, linear.module, ".weight"), {linear.out, linear.in}));
      if (!linear.bias) continue;
      SWAGE_RETURN_IF_ERROR(CheckTensor(lookup, Cat(prefix, linear.module, ".bias"), {linear.out}));
    }
  }
  SWAGE_RETURN_IF_ERROR(CheckTensor(lookup, Cat(row.final_norm, ".weight"), {config.hidden}));
  if (!config.tie_embeddings) {
    SWAGE_RETURN_IF_ERROR(CheckTensor(lookup, Cat(row.lm_head, ".weight"), {config.vocab, config.hidden}));
  }
  const std::string beyond = Cat(BlockPrefix(config, config.layers), row.norms.front(), ".weight");
  if (lookup(beyond) != nullptr) {
    return InvalidInput("CONFIG_CONTRADICTS", Cat("the model has '", beyond, "', but config.json says num_hidden_layers ",
                                                  config.layers),
                        "check that config.json belongs to these weights");
  }
  return absl::OkStatus();
}

}  // namespace swage
