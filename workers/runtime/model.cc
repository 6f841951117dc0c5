#include "workers/runtime/model.h"

#include "base/limits.h"
#include "workers/runtime/gguf_model.h"
#include "workers/runtime/quantized_reader.h"

namespace swage {

StatusOr<std::unique_ptr<Model>> Model::Open(Env* env, const std::string& dir) {
  SWAGE_ASSIGN_OR_RETURN(const std::optional<std::string> gguf_path, FindGguf(env, dir));
  if (gguf_path) {
    SWAGE_ASSIGN_OR_RETURN(GgufModel gguf, OpenGguf(*gguf_path));
    auto config = ParseModelConfig(gguf.config_json);
    if (!config.ok()) return Annotate(config.status(), *gguf_path);
    return FromParts(std::move(config).value(), std::move(gguf.tensors));
  }
  const std::string path = JoinPath(dir, "config.json");
  SWAGE_ASSIGN_OR_RETURN(std::string text, ReadFile(env, path, limits::kConfigJsonBytes));
  auto config = ParseModelConfig(text);
  if (!config.ok()) return Annotate(config.status(), path);
  SWAGE_ASSIGN_OR_RETURN(std::shared_ptr<TensorSource> tensors, OpenFolderTensors(env, dir));
  return FromParts(std::move(config).value(), std::move(tensors));
}

StatusOr<std::unique_ptr<Model>> Model::FromParts(ModelConfig config,
                                                  std::shared_ptr<TensorSource> tensors) {
  std::unique_ptr<Model> model(new Model());
  model->architecture_ = FindArchitecture(config.architecture);
  if (model->architecture_ == nullptr) {
    return InvalidInput("UNKNOWN_ARCHITECTURE",
                        Cat("architecture ", config.architecture, " is not known"));
  }
  SWAGE_ASSIGN_OR_RETURN(model->quantization_, QuantizationConfig::Parse(config.quantization_json));
  if (model->quantization_.empty()) {
    SWAGE_RETURN_IF_ERROR(ValidateModel(config, [&](std::string_view name) {
      return tensors->Info(name);
    }));
  }
  model->linears_ = model->architecture_->linears(config);
  model->config_ = std::move(config);
  model->tensors_ = std::move(tensors);
  return model;
}

LinearSpec Model::head_spec() const {
  LinearSpec spec;
  spec.module = config_.tie_embeddings ? architecture_->embedding : architecture_->lm_head;
  spec.out = config_.vocab;
  spec.in = config_.hidden;
  return spec;
}

Status Model::ReadWeight(Ops* ops, const std::string& module, int64_t out, int64_t in,
                         float* w) const {
  if (const LinearScheme* scheme = quantization_.SchemeOf(module); scheme != nullptr) {
    SWAGE_ASSIGN_OR_RETURN(QuantizedLinear q,
                           ReadQuantizedLinear(ops, *tensors_, module, *scheme, out, in));
    return ops->Dequantize(q.Args(), w);
  }
  SWAGE_ASSIGN_OR_RETURN(TensorView view, FindTensor(*tensors_, module + ".weight", {out, in}));
  return ReadF32(ops, view, 0, out * in, w);
}

StatusOr<Buffer<float>> Model::LoadVector(Ops* ops, const std::string& name, int64_t size) const {
  SWAGE_ASSIGN_OR_RETURN(TensorView view, FindTensor(*tensors_, name, {size}));
  Buffer<float> values(size);
  SWAGE_RETURN_IF_ERROR(ReadF32(ops, view, 0, size, values.data()));
  return values;
}

StatusOr<Linear> Model::LoadLinear(Ops* ops, const std::string& module, const LinearSpec& spec,
                                   Compute compute) const {
  Linear linear;
  linear.out = spec.out;
  linear.in = spec.in;
  // A tied head is the embedding: never quantized as a linear.
  const bool embedding = module == architecture_->embedding;
  const LinearScheme* scheme = embedding ? nullptr : quantization_.SchemeOf(module);
  if (scheme != nullptr) linear.activations = scheme->activations;
  linear.f32.Resize(spec.out * spec.in);
  if (embedding) {
    SWAGE_ASSIGN_OR_RETURN(TensorView view,
                           FindTensor(*tensors_, module + ".weight", {spec.out, spec.in}));
    SWAGE_RETURN_IF_ERROR(ReadF32(ops, view, 0, spec.out * spec.in, linear.f32.data()));
  } else {
    SWAGE_RETURN_IF_ERROR(ReadWeight(ops, module, spec.out, spec.in, linear.f32.data()));
  }
  if (compute == Compute::kBF16) {
    linear.bf16.Resize(spec.out * spec.in);
    SWAGE_RETURN_IF_ERROR(
        ops->CastFromF32(spec.out * spec.in, linear.f32.data(), DType::kBF16, linear.bf16.data()));
    linear.f32 = Buffer<float>();
  }
  if (spec.bias) {
    SWAGE_ASSIGN_OR_RETURN(linear.bias, LoadVector(ops, module + ".bias", spec.out));
  }
  return linear;
}

StatusOr<Block> Model::LoadBlock(Ops* ops, int64_t layer, Compute compute) const {
  Block block;
  const std::string prefix = BlockPrefix(config_, layer);
  for (const LinearSpec& spec : linears_) {
    SWAGE_ASSIGN_OR_RETURN(block.linears[spec.module],
                           LoadLinear(ops, prefix + spec.module, spec, compute));
  }
  for (std::string_view norm : architecture_->norms) {
    SWAGE_ASSIGN_OR_RETURN(block.norms[std::string(norm)],
                           LoadVector(ops, Cat(prefix, norm, ".weight"), config_.hidden));
  }
  return block;
}

StatusOr<Head> Model::LoadHead(Ops* ops, Compute compute) const {
  Head head;
  SWAGE_ASSIGN_OR_RETURN(
      head.norm, LoadVector(ops, Cat(architecture_->final_norm, ".weight"), config_.hidden));
  const LinearSpec spec = head_spec();
  SWAGE_ASSIGN_OR_RETURN(head.linear, LoadLinear(ops, spec.module, spec, compute));
  return head;
}

Status Model::Embed(Ops* ops, int64_t rows, const int32_t* ids, float* y) const {
  const std::string name = Cat(architecture_->embedding, ".weight");
  SWAGE_ASSIGN_OR_RETURN(TensorView table,
                         FindTensor(*tensors_, name, {config_.vocab, config_.hidden}));
  for (int64_t r = 0; r < rows; ++r) {
    if (ids[r] < 0 || ids[r] >= config_.vocab) {
      return InvalidInput(
          "TOKEN_OUT_OF_RANGE",
          Cat("token ", ids[r], " of the text, but the model knows ", config_.vocab, " tokens"),
          "check that tokenizer.json belongs to this model");
    }
  }
  const DType type = table.info->dtype;
  const bool aligned = reinterpret_cast<uintptr_t>(table.bytes.data()) % DTypeBytes(type) == 0;
  if (aligned && (type == DType::kF32 || type == DType::kBF16)) {
    return ops->Embed(rows, config_.hidden, config_.vocab, ids, table.bytes.data(), type, y);
  }
  for (int64_t r = 0; r < rows; ++r) {
    SWAGE_RETURN_IF_ERROR(
        ReadF32(ops, table, ids[r] * config_.hidden, config_.hidden, y + r * config_.hidden));
  }
  return absl::OkStatus();
}

void Model::ReleaseBlock(int64_t layer) const {
  const std::string prefix = BlockPrefix(config_, layer);
  for (const LinearSpec& spec : linears_) {
    for (const char* suffix : {".weight", ".weight_packed", ".weight_scale"}) {
      tensors_->DontNeed(Cat(prefix, spec.module, suffix));
    }
  }
}

}  // namespace swage
