#include "workers/runtime/model.h"

#include <algorithm>

#include "base/limits.h"
#include "workers/runtime/gguf_model.h"
#include "workers/runtime/quantized_reader.h"

namespace swage {
namespace {

// y[columns, rows] of x[rows, columns], by tiles that stay in the cache.
void Transpose(int64_t rows, int64_t columns, const float* x, float* y) {
  constexpr int64_t kTile = 32;
  for (int64_t r = 0; r < rows; r += kTile) {
    for (int64_t c = 0; c < columns; c += kTile) {
      for (int64_t i = r; i < std::min(rows, r + kTile); ++i) {
        for (int64_t j = c; j < std::min(columns, c + kTile); ++j) {
          y[j * rows + i] = x[i * columns + j];
        }
      }
    }
  }
}

}  // namespace

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
  const TensorLookup lookup = [&](std::string_view name) { return tensors->Info(name); };
  AdaptNames(lookup, &config);
  if (model->quantization_.empty()) SWAGE_RETURN_IF_ERROR(ValidateModel(config, lookup));
  model->config_ = std::move(config);
  model->tensors_ = std::move(tensors);
  return model;
}

Status Model::ReadWeight(Ops* ops, const std::string& module, const LinearSpec& spec,
                         float* w) const {
  const int64_t out = spec.out, in = spec.in;
  if (const LinearScheme* scheme = quantization_.SchemeOf(module);
      scheme != nullptr && !spec.fixed) {
    SWAGE_ASSIGN_OR_RETURN(QuantizedLinear q,
                           ReadQuantizedLinear(ops, *tensors_, module, *scheme, out, in));
    return ops->Dequantize(q.Args(), w);
  }
  const std::string name = module + ".weight";
  if (!spec.transposed) {
    SWAGE_ASSIGN_OR_RETURN(TensorView view, FindTensor(*tensors_, name, {out, in}));
    return ReadF32(ops, view, 0, out * in, w);
  }
  SWAGE_ASSIGN_OR_RETURN(TensorView view, FindTensor(*tensors_, name, {in, out}));
  Buffer<float> stored(out * in);
  SWAGE_RETURN_IF_ERROR(ReadF32(ops, view, 0, out * in, stored.data()));
  Transpose(in, out, stored.data(), w);
  return absl::OkStatus();
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
  const bool embedding = module == TensorName(config_, architecture_->embedding);
  const LinearScheme* scheme =
      embedding || spec.fixed ? nullptr : quantization_.SchemeOf(module);
  if (scheme != nullptr) linear.activations = scheme->activations;
  linear.f32.Resize(spec.out * spec.in);
  if (embedding) {
    SWAGE_ASSIGN_OR_RETURN(TensorView view,
                           FindTensor(*tensors_, module + ".weight", {spec.out, spec.in}));
    SWAGE_RETURN_IF_ERROR(ReadF32(ops, view, 0, spec.out * spec.in, linear.f32.data()));
  } else {
    SWAGE_RETURN_IF_ERROR(ReadWeight(ops, module, spec, linear.f32.data()));
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

StatusOr<Norm> Model::LoadNorm(Ops* ops, const std::string& module, int64_t width) const {
  Norm norm;
  if (!config_.norm_affine) return norm;
  SWAGE_ASSIGN_OR_RETURN(norm.weight, LoadVector(ops, module + ".weight", width));
  if (architecture_->norm == NormKind::kRmsPlusOne) {
    for (int64_t i = 0; i < width; ++i) norm.weight.data()[i] += 1.0f;
  }
  if (architecture_->norm == NormKind::kLayer) {
    SWAGE_ASSIGN_OR_RETURN(norm.bias, LoadVector(ops, module + ".bias", width));
  }
  return norm;
}

StatusOr<Block> Model::LoadBlock(Ops* ops, int64_t layer, Compute compute) const {
  Block block;
  block.layer = layer;
  const std::string prefix = BlockPrefix(config_, layer);
  for (const LinearSpec& spec : linears(layer)) {
    SWAGE_ASSIGN_OR_RETURN(block.linears[spec.module],
                           LoadLinear(ops, prefix + spec.module, spec, compute));
  }
  const Architecture& row = *architecture_;
  for (std::string_view norm :
       {row.attention_norm, row.attention_post_norm, row.ffn_norm, row.ffn_post_norm}) {
    if (norm.empty()) continue;
    SWAGE_ASSIGN_OR_RETURN(block.norms[std::string(norm)],
                           LoadNorm(ops, Cat(prefix, norm), config_.hidden));
  }
  for (std::string_view norm : {row.q_norm, row.k_norm}) {
    if (norm.empty()) continue;
    SWAGE_ASSIGN_OR_RETURN(block.norms[std::string(norm)],
                           LoadNorm(ops, Cat(prefix, norm), config_.head_dim));
  }
  return block;
}

StatusOr<Head> Model::LoadHead(Ops* ops, Compute compute) const {
  Head head;
  if (config_.final_norm) {
    SWAGE_ASSIGN_OR_RETURN(head.norm, LoadNorm(ops, TensorName(config_, architecture_->final_norm),
                                               config_.hidden));
  }
  for (const LinearSpec& spec : OuterLinears(config_)) {
    if (spec.module != architecture_->project_out) continue;
    SWAGE_ASSIGN_OR_RETURN(head.project, LoadLinear(ops, spec.module, spec, compute));
  }
  const LinearSpec spec = HeadSpec(config_);
  SWAGE_ASSIGN_OR_RETURN(head.linear, LoadLinear(ops, spec.module, spec, compute));
  return head;
}

Status Model::ReadRows(Ops* ops, const std::string& name, int64_t entries, int64_t width,
                       const std::vector<int32_t>& ids, float* y) const {
  SWAGE_ASSIGN_OR_RETURN(TensorView table, FindTensor(*tensors_, name, {entries, width}));
  const int64_t rows = static_cast<int64_t>(ids.size());
  const DType type = table.info->dtype;
  const bool aligned = reinterpret_cast<uintptr_t>(table.bytes.data()) % DTypeBytes(type) == 0;
  if (aligned && (type == DType::kF32 || type == DType::kBF16)) {
    return ops->Embed(rows, width, entries, ids.data(), table.bytes.data(), type, y);
  }
  for (int64_t r = 0; r < rows; ++r) {
    SWAGE_RETURN_IF_ERROR(ReadF32(ops, table, ids[r] * width, width, y + r * width));
  }
  return absl::OkStatus();
}

Status Model::AddPositions(Ops* ops, int64_t windows, int64_t tokens, float* y) const {
  if (tokens > config_.max_positions) {
    return InvalidInput("POSITIONS_EXCEEDED",
                        Cat("a window of ", tokens, " tokens, but the model has learned ",
                            config_.max_positions, " positions"),
                        Cat("use windows of at most ", config_.max_positions,
                            " tokens, the one that begins them included"));
  }
  const int64_t offset = architecture_->position_offset, h = config_.hidden;
  std::vector<int32_t> places(tokens);
  for (int64_t t = 0; t < tokens; ++t) places[t] = static_cast<int32_t>(t + offset);
  Buffer<float> rows(tokens * h);
  const std::string name = Cat(TensorName(config_, architecture_->positions), ".weight");
  SWAGE_RETURN_IF_ERROR(
      ReadRows(ops, name, config_.max_positions + offset, h, places, rows.data()));
  for (int64_t w = 0; w < windows; ++w) {
    SWAGE_RETURN_IF_ERROR(ops->Add(tokens * h, rows.data(), y + w * tokens * h));
  }
  return absl::OkStatus();
}

Status Model::Embed(Ops* ops, int64_t windows, int64_t tokens, const int32_t* ids,
                    float* y) const {
  const int64_t rows = windows * tokens, width = config_.embedding_width;
  for (int64_t r = 0; r < rows; ++r) {
    if (ids[r] < 0 || ids[r] >= config_.vocab) {
      return InvalidInput(
          "TOKEN_OUT_OF_RANGE",
          Cat("token ", ids[r], " of the text, but the model knows ", config_.vocab, " tokens"),
          "check that tokenizer.json belongs to this model");
    }
  }
  const std::vector<int32_t> list(ids, ids + rows);
  const std::string name = Cat(TensorName(config_, architecture_->embedding), ".weight");
  const bool narrow = width != config_.hidden;
  Buffer<float> before(narrow ? rows * width : 0);
  float* embedded = narrow ? before.data() : y;
  SWAGE_RETURN_IF_ERROR(ReadRows(ops, name, config_.vocab, width, list, embedded));
  if (config_.embedding_scale != 1) {
    SWAGE_RETURN_IF_ERROR(
        ops->Scale(rows * width, static_cast<float>(config_.embedding_scale), embedded));
  }
  for (const LinearSpec& spec : OuterLinears(config_)) {
    if (spec.module != architecture_->project_in) continue;
    SWAGE_ASSIGN_OR_RETURN(Linear project, LoadLinear(ops, spec.module, spec, Compute::kF32));
    GemmArgs gemm{rows, spec.out, spec.in};
    gemm.a = embedded;
    gemm.b = project.f32.data();
    gemm.c = y;
    SWAGE_RETURN_IF_ERROR(ops->Gemm(gemm));
  }
  return architecture_->positions.empty() ? absl::OkStatus()
                                          : AddPositions(ops, windows, tokens, y);
}

void Model::ReleaseBlock(int64_t layer) const {
  const std::string prefix = BlockPrefix(config_, layer);
  for (const LinearSpec& spec : linears(layer)) {
    for (const char* suffix : {".weight", ".weight_packed", ".weight_scale"}) {
      tensors_->DontNeed(Cat(prefix, spec.module, suffix));
    }
  }
}

}  // namespace swage
