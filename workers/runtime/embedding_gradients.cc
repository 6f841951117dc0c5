#include "workers/runtime/loss_gradients.h"

namespace swage {
namespace {

Status AddPositionGradients(Ops* ops, const Model& model, const LossArgs& args,
                            const GradientRequest& request, const float* d_hidden, Gradients* out) {
  const ModelConfig& config = model.config();
  const Architecture& row = model.architecture();
  const std::string name = Cat(TensorName(config, row.positions), ".weight");
  float* sum = out->Slot(request, name, config.max_positions + row.position_offset, config.hidden);
  if (sum == nullptr) return absl::OkStatus();
  const int64_t size = args.tokens * config.hidden;
  for (int64_t w = 0; w < args.windows; ++w) {
    SWAGE_RETURN_IF_ERROR(
        ops->Add(size, d_hidden + w * size, sum + row.position_offset * config.hidden));
  }
  return absl::OkStatus();
}

// Behind an embedding that is narrower than the hidden states: d_embedded and the projection's own
// gradient.
Status UnprojectIn(Ops* ops, const Model& model, const LossArgs& args, const LinearSpec& spec,
                   const GradientRequest& request, const float* d_hidden, Gradients* out,
                   Buffer<float>* d_embedded) {
  const int64_t rows = args.windows * args.tokens;
  Buffer<float> weight(spec.out * spec.in);
  SWAGE_RETURN_IF_ERROR(model.ReadWeight(ops, spec.module, spec, weight.data()));
  d_embedded->Resize(rows * spec.in);
  GemmArgs gemm;
  gemm.m = rows;
  gemm.n = spec.in;
  gemm.k = spec.out;
  gemm.layout = GemmLayout::kNN;
  gemm.a = d_hidden;
  gemm.b = weight.data();
  gemm.c = d_embedded->data();
  SWAGE_RETURN_IF_ERROR(ops->Gemm(gemm));
  LinearGradientArgs linear;
  linear.d_weight = out->Slot(request, spec.module + ".weight", spec.out, spec.in);
  if (linear.d_weight == nullptr) return absl::OkStatus();
  const ModelConfig& config = model.config();
  const std::string name = Cat(TensorName(config, model.architecture().embedding), ".weight");
  SWAGE_ASSIGN_OR_RETURN(TensorView table,
                         FindTensor(model.tensors(), name, {config.vocab, spec.in}));
  Buffer<float> embedded(rows * spec.in);
  for (int64_t r = 0; r < rows; ++r) {
    SWAGE_RETURN_IF_ERROR(
        ReadF32(ops, table, args.ids[r] * spec.in, spec.in, embedded.data() + r * spec.in));
  }
  SWAGE_RETURN_IF_ERROR(
      ops->Scale(rows * spec.in, static_cast<float>(config.embedding_scale), embedded.data()));
  linear.rows = rows;
  linear.count = spec.out;
  linear.in = spec.in;
  linear.x = embedded.data();
  linear.dy = d_hidden;
  return AddLinearGradients(ops, nullptr, linear);
}

}  // namespace

Status AddEmbeddingGradients(Ops* ops, const Model& model, const LossArgs& args,
                             const GradientRequest& request, float* d_hidden, Gradients* out) {
  const ModelConfig& config = model.config();
  const Architecture& row = model.architecture();
  const int64_t rows = args.windows * args.tokens, width = config.embedding_width;
  if (!row.positions.empty()) {
    SWAGE_RETURN_IF_ERROR(AddPositionGradients(ops, model, args, request, d_hidden, out));
  }
  float* d_rows = d_hidden;
  Buffer<float> d_embedded;
  for (const LinearSpec& spec : OuterLinears(config)) {
    if (spec.module != row.project_in) continue;
    SWAGE_RETURN_IF_ERROR(UnprojectIn(ops, model, args, spec, request, d_hidden, out, &d_embedded));
    d_rows = d_embedded.data();
  }
  const std::string name = Cat(TensorName(config, row.embedding), ".weight");
  float* sum = out->Slot(request, name, config.vocab, width);
  if (sum == nullptr) return absl::OkStatus();
  if (config.embedding_scale != 1) {
    SWAGE_RETURN_IF_ERROR(
        ops->Scale(rows * width, static_cast<float>(config.embedding_scale), d_rows));
  }
  return ops->train().EmbedBackward(rows, width, config.vocab, args.ids, d_rows, sum);
}

}  // namespace swage
