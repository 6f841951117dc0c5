// What blocks and heads have in common: linears, norms, and the head with its loss.
#include <algorithm>

#include "workers/runtime/backward.h"

namespace swage {
namespace {

const float* DataOrNull(const Buffer<float>& values) {
  return values.size() > 0 ? values.data() : nullptr;
}

}  // namespace

Backward::Rows Backward::Inputs(const float* x, int64_t rows, int64_t width) {
  return {x, rows, width, &narrow_in_};
}

Backward::Rows Backward::OutputGradients(const float* x, int64_t rows, int64_t width) {
  return {x, rows, width, &narrow_out_};
}

Status Backward::Narrow(Rows* rows) {
  if (rows->cast) return absl::OkStatus();
  rows->cast = true;
  rows->narrow->Resize(rows->rows * rows->width);
  return ops_->CastFromF32(rows->rows * rows->width, rows->x, DType::kBF16, rows->narrow->data());
}

Status Backward::NormedRows(const Norm& norm, int64_t rows, const float* x, Buffer<float>* wide,
                            Buffer<uint16_t>* narrow, Rows* input) {
  const int64_t h = config_.hidden;
  *input = Inputs(x, rows, h);
  if (!config_.norm_before) return absl::OkStatus();
  if (narrow_) {
    narrow->Resize(rows * h);
    *input = NarrowRows(narrow, rows, h);
    return ops_->narrow()->RmsNorm(rows, h, x, norm.weight.data(),
                                   static_cast<float>(config_.norm_eps), narrow->data());
  }
  wide->Resize(rows * h);
  input->x = wide->data();
  return Normalize(norm, rows, h, x, wide->data());
}

Status Backward::Multiply(const Part& part, Rows* input, void* y, DType type, bool add) {
  const Linear& linear = *part.linear;
  GemmArgs gemm;
  gemm.m = input->rows;
  gemm.n = part.count;
  gemm.k = linear.in;
  gemm.c = y;
  gemm.c_type = type;
  gemm.accumulate = add;
  gemm.bias = linear.bias.size() > 0 ? linear.bias.data() + part.begin : nullptr;
  gemm.a = input->x;
  if (!linear.IsNarrow()) {
    gemm.b = linear.f32.data() + part.begin * linear.in;
    return ops_->Gemm(gemm);
  }
  SWAGE_RETURN_IF_ERROR(Narrow(input));
  gemm.a = input->narrow->data();
  gemm.a_type = gemm.b_type = DType::kBF16;
  gemm.b = linear.bf16.data() + part.begin * linear.in;
  return ops_->Gemm(gemm);
}

Status Backward::BiasBackward(const Part& part, const std::string& module, const Rows& dy) {
  const Linear& linear = *part.linear;
  if (linear.bias.size() == 0) return absl::OkStatus();
  float* d_bias = Slot(module + ".bias", 1, linear.out);
  if (d_bias == nullptr) return absl::OkStatus();
  ones_.Resize(dy.rows);
  std::fill(ones_.data(), ones_.data() + dy.rows, 1.0f);
  GemmArgs gemm;
  gemm.m = 1;
  gemm.n = part.count;
  gemm.k = dy.rows;
  gemm.layout = GemmLayout::kNN;
  gemm.accumulate = true;
  gemm.a = ones_.data();
  gemm.b = dy.x;
  gemm.c = d_bias + part.begin;
  return ops_->Gemm(gemm);
}

Status Backward::AddMoments(const Part& part, const std::string& module, const Rows& input,
                            const Rows& dy) {
  const auto add = [&](const Rows& rows, float* sums) -> Status {
    ColumnStatistics columns(rows.width);
    ColumnsArgs args;
    args.rows = rows.rows;
    args.columns = rows.width;
    args.x = rows.x;
    SWAGE_RETURN_IF_ERROR(ops_->statistics().Columns(args, &columns));
    for (int64_t i = 0; i < rows.width; ++i) sums[i] += static_cast<float>(columns.power2[i]);
    return absl::OkStatus();
  };
  const Linear& linear = *part.linear;
  if (part.begin == 0) {  // parts of a fused linear read the same input
    SWAGE_RETURN_IF_ERROR(add(input, gradients_->Always(module + ".input_squares", 1, linear.in)));
  }
  float* squares = gradients_->Always(module + ".output_gradient_squares", 1, linear.out);
  return add(dy, squares + part.begin);
}

Status Backward::MultiplyBackward(const Part& part, Rows* input, Rows* dy, float* dx, bool add) {
  const Linear& linear = *part.linear;
  const std::string module = prefix_ + part.module;
  const bool bf16 = linear.IsNarrow();
  if (bf16) {
    SWAGE_RETURN_IF_ERROR(Narrow(input));
    SWAGE_RETURN_IF_ERROR(Narrow(dy));
  }
  const AppliedParameter* applied = nullptr;
  LinearGradientArgs args;
  if (request_->parameters != nullptr) {
    const auto found = request_->parameters->find(module);
    if (found != request_->parameters->end()) applied = &found->second;
  }
  if (const auto* lora =
          std::get_if<LoraParameter>(applied == nullptr ? nullptr : applied->parameter)) {
    args.d_lora_a = Slot(module + ".lora_A.weight", lora->rank, linear.in);
    args.d_lora_b = Slot(module + ".lora_B.weight", linear.out, lora->rank);
  }
  args.rows = dy->rows;
  args.begin = part.begin;
  args.count = part.count;
  args.in = linear.in;
  args.x = input->x;
  args.dy = dy->x;
  args.x_bf16 = bf16 ? input->narrow->data() : nullptr;
  args.dy_bf16 = bf16 ? dy->narrow->data() : nullptr;
  args.d_weight = Slot(module + ".weight", linear.out, linear.in);
  SWAGE_RETURN_IF_ERROR(AddLinearGradients(ops_, applied, args));
  SWAGE_RETURN_IF_ERROR(BiasBackward(part, module, *dy));
  if (request_->moments) SWAGE_RETURN_IF_ERROR(AddMoments(part, module, *input, *dy));
  if (dx == nullptr) return absl::OkStatus();
  GemmArgs gemm;
  gemm.m = dy->rows;
  gemm.n = linear.in;
  gemm.k = part.count;
  gemm.layout = GemmLayout::kNN;
  gemm.accumulate = add;
  gemm.c = dx;
  gemm.a = dy->x;
  if (bf16) {
    gemm.a = dy->narrow->data();
    gemm.a_type = gemm.b_type = DType::kBF16;
    gemm.packed_b = linear.packed_back.get();
    if (gemm.packed_b == nullptr) gemm.b = linear.bf16.data() + part.begin * linear.in;
  } else {
    gemm.b = linear.f32.data() + part.begin * linear.in;
  }
  return ops_->Gemm(gemm);
}

Status Backward::Normalize(const Norm& norm, int64_t rows, int64_t width, const float* x,
                           float* y) {
  const float eps = static_cast<float>(config_.norm_eps);
  if (row_.norm == NormKind::kLayer) {
    return ops_->LayerNorm(rows, width, x, DataOrNull(norm.weight), DataOrNull(norm.bias), eps, y);
  }
  return ops_->RmsNorm(rows, width, x, norm.weight.data(), eps, y);
}

Status Backward::NormBackward(const Norm& norm, const std::string& module, int64_t rows,
                              int64_t width, const float* x, const float* dy, float* dx) {
  const float eps = static_cast<float>(config_.norm_eps);
  float* d_weight = norm.weight.size() > 0 ? Slot(module + ".weight", 1, width) : nullptr;
  if (row_.norm == NormKind::kRms || row_.norm == NormKind::kRmsPlusOne) {
    if (d_weight == nullptr) {
      unused_.Resize(width);
      std::fill(unused_.data(), unused_.data() + width, 0.0f);
      d_weight = unused_.data();
    }
    return ops_->train().RmsNormBackward(rows, width, x, norm.weight.data(), eps, dy, dx, d_weight);
  }
  LayerNormGradArgs args;
  args.rows = rows;
  args.h = width;
  args.x = x;
  args.weight = DataOrNull(norm.weight);
  args.eps = eps;
  args.dy = dy;
  args.dx = dx;
  args.dweight = d_weight;
  args.dbias = norm.bias.size() > 0 ? Slot(module + ".bias", 1, width) : nullptr;
  return ops_->train().LayerNormBackward(args);
}

Status Backward::LossBackward(const Part& part, Rows* input, const int32_t* targets, double scale,
                              double* loss, Rows* d_logits) {
  const int64_t rows = input->rows, vocab = config_.vocab;
  const float factor = static_cast<float>(scale);
  logits_.Resize(rows * vocab);
  losses_.resize(rows);
  SWAGE_RETURN_IF_ERROR(Multiply(part, input, logits_.data()));
  const float cap = static_cast<float>(config_.logit_softcap);
  if (cap == 0 && !request_->moments && part.linear->IsNarrow() && ops_->narrow() != nullptr &&
      part.linear->bias.size() == 0) {
    narrow_out_.Resize(rows * vocab);
    *d_logits = NarrowRows(&narrow_out_, rows, vocab);
    SWAGE_RETURN_IF_ERROR(ops_->narrow()->CrossEntropyBackward(
        rows, vocab, logits_.data(), targets, factor, losses_.data(), narrow_out_.data()));
    for (int64_t r = 0; r < rows; ++r) *loss += scale * losses_[r];
    return absl::OkStatus();
  }
  d_logits_.Resize(rows * vocab);
  if (cap > 0) SWAGE_RETURN_IF_ERROR(ops_->SoftCap(rows * vocab, cap, logits_.data()));
  std::vector<int32_t> known(targets, targets + rows);
  for (int32_t& target : known) target = std::max(target, 0);
  SWAGE_RETURN_IF_ERROR(
      ops_->CrossEntropy(rows, vocab, logits_.data(), known.data(), losses_.data()));
  for (int64_t r = 0; r < rows; ++r) *loss += targets[r] < 0 ? 0.0 : scale * losses_[r];
  SWAGE_RETURN_IF_ERROR(ops_->train().CrossEntropyBackward(rows, vocab, logits_.data(), targets,
                                                           factor, d_logits_.data()));
  *d_logits = OutputGradients(d_logits_.data(), rows, vocab);
  if (cap == 0) return absl::OkStatus();
  return ops_->train().SoftCapBackward(rows * vocab, cap, logits_.data(), d_logits_.data());
}

Status Backward::HeadChunk(const Head& head, int64_t rows, const float* hidden,
                           const int32_t* targets, double scale, float* d_hidden, double* loss) {
  const int64_t h = config_.hidden, vocab = config_.vocab;
  const float* x = hidden;
  if (config_.final_norm) {
    normed_.Resize(rows * h);
    SWAGE_RETURN_IF_ERROR(Normalize(head.norm, rows, h, hidden, normed_.data()));
    x = normed_.data();
  }
  Rows normed = Inputs(x, rows, h), input = normed;
  Part project{&head.project, 0, head.project.out, std::string(row_.project_out)};
  const bool projects = head.project.out > 0;
  if (projects) {
    head_input_.Resize(rows * head.project.out);
    SWAGE_RETURN_IF_ERROR(Multiply(project, &normed, head_input_.data()));
    input = Inputs(head_input_.data(), rows, head.project.out);
  }
  const Part part{&head.linear, 0, vocab, HeadSpec(config_).module};
  Rows d_logits;
  SWAGE_RETURN_IF_ERROR(LossBackward(part, &input, targets, scale, loss, &d_logits));
  d_head_.Resize(rows * input.width);
  float* d_normed = projects ? d_head_.data() : d_hidden;
  SWAGE_RETURN_IF_ERROR(MultiplyBackward(part, &input, &d_logits, d_normed, false));
  if (projects) {
    normed.cast = false;
    Rows d_projected = OutputGradients(d_head_.data(), rows, head.project.out);
    SWAGE_RETURN_IF_ERROR(MultiplyBackward(project, &normed, &d_projected, d_hidden, false));
  }
  if (!config_.final_norm) return absl::OkStatus();
  return NormBackward(head.norm, TensorName(config_, row_.final_norm), rows, h, hidden, d_hidden,
                      d_hidden);
}

Status Backward::RunHead(const Head& head, int64_t rows, const float* hidden,
                         const int32_t* targets, double scale, const GradientRequest& request,
                         float* d_hidden, double* loss, Gradients* out) {
  constexpr int64_t kLogitsFloats = 8 << 20, kChunkRows = 1024;  // of one chunk, at most
  if (!head.linear.activations.empty()) {
    return NoGradient(Cat("inputs rounded to ", head.linear.activations, ", as the head has them"));
  }
  prefix_.clear();
  request_ = &request;
  gradients_ = out;
  const int64_t chunk = std::clamp<int64_t>(kLogitsFloats / config_.vocab, 1, kChunkRows);
  for (int64_t r = 0; r < rows; r += chunk) {
    const int64_t now = std::min(chunk, rows - r), at = r * config_.hidden;
    SWAGE_RETURN_IF_ERROR(
        HeadChunk(head, now, hidden + at, targets + r, scale, d_hidden + at, loss));
  }
  return absl::OkStatus();
}

}  // namespace swage
