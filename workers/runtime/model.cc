#include "workers/runtime/model.h"

#include <algorithm>
#include <cstring>

#include "base/limits.h"
#include "workers/runtime/gguf_model.h"
#include "workers/runtime/quantized_reader.h"

namespace swage {
namespace {

constexpr int64_t kSliceElements = 4 << 20;  // of a linear that is read piece by piece
constexpr int64_t kEmbedRows = 1024;         // looked up before the table's pages are dropped

// y[j * y_stride + i] = x[i * x_stride + j], by tiles that stay in the cache.
void Transpose(int64_t rows, int64_t columns, const float* x, int64_t x_stride, float* y,
               int64_t y_stride) {
  constexpr int64_t kTile = 32;
  for (int64_t r = 0; r < rows; r += kTile) {
    for (int64_t c = 0; c < columns; c += kTile) {
      for (int64_t i = r; i < std::min(rows, r + kTile); ++i) {
        for (int64_t j = c; j < std::min(columns, c + kTile); ++j) {
          y[j * y_stride + i] = x[i * x_stride + j];
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

const LinearScheme* Model::SchemeOf(const std::string& module, const LinearSpec& spec) const {
  // A tied head is the embedding: never quantized as a linear.
  const bool embedding = module == TensorName(config_, architecture_->embedding);
  return embedding || spec.fixed ? nullptr : quantization_.SchemeOf(module);
}

int64_t Model::ReadingBytes(int64_t elements) { return 8 * std::min(elements, kSliceElements); }

int64_t Model::RowStep(const std::string& module, const LinearSpec& spec) const {
  const LinearScheme* scheme = SchemeOf(module, spec);
  return scheme != nullptr ? QuantizedRowStep(*scheme) : 1;
}

Status Model::ReadWeight(Ops* ops, const std::string& module, const LinearSpec& spec,
                         float* w) const {
  SWAGE_RETURN_IF_ERROR(ReadWeightRows(ops, module, spec, 0, spec.out, w));
  for (const std::string& name : LinearTensors(module, spec)) tensors_->DontNeed(name);
  return absl::OkStatus();
}

Status Model::ReadWeightRows(Ops* ops, const std::string& module, const LinearSpec& spec,
                             int64_t begin, int64_t count, float* w) const {
  const int64_t out = spec.out, in = spec.in;
  if (const LinearScheme* scheme = SchemeOf(module, spec); scheme != nullptr) {
    const int64_t step = QuantizedRowStep(*scheme);
    const int64_t slice = std::max(step, kSliceElements / in / step * step);
    for (int64_t done = 0; done < count; done += slice) {
      const int64_t now = std::min(slice, count - done);
      SWAGE_ASSIGN_OR_RETURN(QuantizedLinear q, ReadQuantizedRows(ops, *tensors_, module, *scheme,
                                                                  out, in, begin + done, now));
      SWAGE_RETURN_IF_ERROR(ops->Dequantize(q.Args(), w + done * in));
    }
    return absl::OkStatus();
  }
  const std::string name = module + ".weight";
  if (!spec.transposed) {
    SWAGE_ASSIGN_OR_RETURN(TensorView view, FindTensor(*tensors_, name, {out, in}));
    return ReadF32Once(ops, *tensors_, view, begin * in, count * in, w);
  }
  SWAGE_ASSIGN_OR_RETURN(TensorView view, FindTensor(*tensors_, name, {in, out}));
  const int64_t slice = std::clamp<int64_t>(kSliceElements / out, 1, in);
  Buffer<float> stored(slice * out);
  for (int64_t done = 0; done < in; done += slice) {
    const int64_t now = std::min(slice, in - done);
    SWAGE_RETURN_IF_ERROR(
        ReadF32Once(ops, *tensors_, view, done * out, now * out, stored.data()));
    Transpose(now, count, stored.data() + begin, out, w + done, in);
  }
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
  SWAGE_ASSIGN_OR_RETURN(Linear linear, LoadRows(ops, module, spec, 0, spec.out, compute));
  for (const std::string& name : LinearTensors(module, spec)) tensors_->DontNeed(name);
  return linear;
}

StatusOr<Linear> Model::LoadRows(Ops* ops, const std::string& module, const LinearSpec& spec,
                                 int64_t begin, int64_t count, Compute compute) const {
  Linear linear;
  linear.out = count;
  linear.in = spec.in;
  const LinearScheme* scheme = SchemeOf(module, spec);
  if (scheme != nullptr) linear.activations = scheme->activations;
  if (compute == Compute::kF32) {
    SWAGE_ASSIGN_OR_RETURN(linear.f32, Buffer<float>::Allocate(count * spec.in));
    SWAGE_RETURN_IF_ERROR(ReadWeightRows(ops, module, spec, begin, count, linear.f32.data()));
  } else {
    SWAGE_RETURN_IF_ERROR(LoadBf16(ops, module, spec, begin, &linear));
  }
  if (spec.bias) {
    SWAGE_CHECK(count == spec.out, "rows of a linear with a bias");
    SWAGE_ASSIGN_OR_RETURN(linear.bias, LoadVector(ops, module + ".bias", spec.out));
  }
  return linear;
}

// Stored in the type that is wanted: copied, page by page, as ReadF32Once reads.
void Model::CopyRows(const TensorView& stored, int64_t begin, Linear* linear) const {
  const char* from = stored.bytes.data() + begin * linear->in * 2;
  for (int64_t done = 0; done < linear->bf16.size(); done += kSliceElements) {
    const int64_t now = std::min(kSliceElements, linear->bf16.size() - done);
    std::memcpy(linear->bf16.data() + done, from + done * 2, static_cast<size_t>(now) * 2);
    tensors_->ReadBehind(stored.info->name, static_cast<uint64_t>(begin * linear->in + done + now) * 2);
  }
}

Status Model::LoadBf16(Ops* ops, const std::string& module, const LinearSpec& spec, int64_t begin,
                       Linear* linear) const {
  const int64_t step = RowStep(module, spec), in = spec.in;
  SWAGE_ASSIGN_OR_RETURN(linear->bf16, Buffer<uint16_t>::Allocate(linear->out * in));
  if (SchemeOf(module, spec) == nullptr && !spec.transposed) {
    SWAGE_ASSIGN_OR_RETURN(TensorView stored,
                           FindTensor(*tensors_, module + ".weight", {spec.out, in}));
    if (stored.info->dtype == DType::kBF16) {
      CopyRows(stored, begin, linear);
      return absl::OkStatus();
    }
  }
  // Stored columns cannot be read a few rows at a time.
  const int64_t few = std::max(step, kSliceElements / in / step * step);
  const int64_t slice = spec.transposed ? linear->out : std::min(few, linear->out);
  SWAGE_ASSIGN_OR_RETURN(Buffer<float> wide, Buffer<float>::Allocate(slice * in));
  for (int64_t done = 0; done < linear->out; done += slice) {
    const int64_t now = std::min(slice, linear->out - done);
    SWAGE_RETURN_IF_ERROR(ReadWeightRows(ops, module, spec, begin + done, now, wide.data()));
    SWAGE_RETURN_IF_ERROR(
        ops->CastFromF32(now * in, wide.data(), DType::kBF16, linear->bf16.data() + done * in));
  }
  return absl::OkStatus();
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
  SWAGE_ASSIGN_OR_RETURN(Head head, LoadHeadEntry(ops, compute));
  const LinearSpec spec = HeadSpec(config_);
  SWAGE_ASSIGN_OR_RETURN(head.linear, LoadLinear(ops, spec.module, spec, compute));
  return head;
}

StatusOr<Linear> Model::LoadHeadRows(Ops* ops, int64_t begin, int64_t count,
                                     Compute compute) const {
  const LinearSpec spec = HeadSpec(config_);
  return LoadRows(ops, spec.module, spec, begin, count, compute);
}

int64_t Model::HeadRowStep() const {
  const LinearSpec spec = HeadSpec(config_);
  return RowStep(spec.module, spec);
}

StatusOr<Head> Model::LoadHeadEntry(Ops* ops, Compute compute) const {
  Head head;
  if (config_.final_norm) {
    SWAGE_ASSIGN_OR_RETURN(head.norm, LoadNorm(ops, TensorName(config_, architecture_->final_norm),
                                               config_.hidden));
  }
  for (const LinearSpec& spec : OuterLinears(config_)) {
    if (spec.module != architecture_->project_out) continue;
    SWAGE_ASSIGN_OR_RETURN(head.project, LoadLinear(ops, spec.module, spec, compute));
  }
  return head;
}

Status Model::ReadRows(Ops* ops, const std::string& name, int64_t entries, int64_t width,
                       const std::vector<int32_t>& ids, float* y) const {
  const auto rows = static_cast<int64_t>(ids.size());
  for (int64_t r = 0; r < rows; r += kEmbedRows) {
    const int64_t now = std::min(kEmbedRows, rows - r);
    SWAGE_RETURN_IF_ERROR(
        ReadSomeRows(ops, name, entries, width, now, ids.data() + r, y + r * width));
    tensors_->ReadBehind(name, UINT64_MAX);
  }
  return absl::OkStatus();
}

Status Model::ReadSomeRows(Ops* ops, const std::string& name, int64_t entries, int64_t width,
                           int64_t rows, const int32_t* ids, float* y) const {
  SWAGE_ASSIGN_OR_RETURN(TensorView table, FindTensor(*tensors_, name, {entries, width}));
  const DType type = table.info->dtype;
  const bool aligned = reinterpret_cast<uintptr_t>(table.bytes.data()) % DTypeBytes(type) == 0;
  if (aligned && (type == DType::kF32 || type == DType::kBF16)) {
    return ops->Embed(rows, width, entries, ids, table.bytes.data(), type, y);
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

std::vector<std::string> Model::LinearTensors(const std::string& module,
                                              const LinearSpec& spec) const {
  std::vector<std::string> names;
  if (SchemeOf(module, spec) != nullptr) {
    for (const char* suffix : {".weight_packed", ".weight_scale", ".weight_zero_point"}) {
      if (tensors_->Info(module + suffix) != nullptr) names.push_back(module + suffix);
    }
  }
  // Formats that keep the name "weight" have no packed one.
  if (names.empty() || !EndsWith(names.front(), ".weight_packed")) names.push_back(module + ".weight");
  if (spec.bias) names.push_back(module + ".bias");
  return names;
}

std::vector<std::string> Model::BlockTensors(int64_t layer) const {
  std::vector<std::string> names;
  const std::string prefix = BlockPrefix(config_, layer);
  for (const TensorShape& norm : BlockNorms(config_, layer)) names.push_back(norm.name);
  for (const LinearSpec& spec : linears(layer)) {
    for (std::string& name : LinearTensors(prefix + spec.module, spec)) {
      names.push_back(std::move(name));
    }
  }
  return names;
}

void Model::ReleaseBlock(int64_t layer) const {
  for (const std::string& name : BlockTensors(layer)) tensors_->DontNeed(name);
}

}  // namespace swage
