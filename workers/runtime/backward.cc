#include "workers/runtime/backward.h"

#include <algorithm>

namespace swage {

Backward::Backward(Ops* ops, const ModelConfig& config)
    : ops_(ops), config_(config), row_(ArchitectureOf(config)), ropes_(config) {}

int64_t Backward::BytesPerRow(const ModelConfig& c) {
  const int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  int64_t ffn = c.ffn, experts = 0;
  if (c.experts.count > 0) {
    ffn = std::max({ffn, c.experts.ffn, c.experts.shared_ffn});
    experts = 4 * c.hidden + 4 * c.experts.count;
  }
  const int64_t attention = 5 * q + 6 * kv + c.heads;
  const int64_t widest = std::max({ffn, c.hidden, q});
  return 4 * (8 * c.hidden + attention + 5 * ffn + experts) + 4 * widest;
}

bool Backward::CanTakeKept(Ops* ops, const ModelConfig& config, const Block& block,
                           const GradientRequest& request) {
  const bool dense = request.parameters == nullptr || request.parameters->empty();
  if (!dense || request.moments || !Forward::CanKeep(ops, config, block)) return false;
  if (!ArchitectureOf(config).attention_post_norm.empty()) return false;
  const FeedParts parts = FeedPartsOf(config, block);  // a bias's gradient is a sum in f32
  return parts.gate.linear->bias.size() == 0 && parts.up.linear->bias.size() == 0;
}

Status Backward::NoGradient(std::string_view what) {
  return Error(StatusCode::kUnimplemented, "GRADIENT_UNSUPPORTED",
               Cat("no gradient goes through ", what));
}

Status Backward::CheckSupported(const Block& block) const {
  for (const auto& [module, linear] : block.linears) {
    if (linear.activations.empty()) continue;
    return NoGradient(Cat("inputs rounded to ", linear.activations, ", as ", module, " has them"));
  }
  if (config_.HasExperts(block.layer) && NeedsOutput(row_.ffn_post_norm)) {
    return NoGradient("experts whose sum is normalised");
  }
  return absl::OkStatus();
}

Status Backward::ProjectAndRotate(const Block& block, int64_t tokens, Rows* input) {
  const AttentionParts parts = AttentionPartsOf(config_, block);
  const int64_t rows = input->rows, d = config_.head_dim;
  q_.Resize(rows * parts.q.count);
  k_.Resize(rows * parts.k.count);
  v_.Resize(rows * parts.v.count);
  float *q = q_.data(), *k = k_.data();
  if (!row_.q_norm.empty()) {
    q_raw_.Resize(q_.size());
    k_raw_.Resize(k_.size());
    q = q_raw_.data();
    k = k_raw_.data();
  }
  SWAGE_RETURN_IF_ERROR(Multiply(parts.q, input, q));
  SWAGE_RETURN_IF_ERROR(Multiply(parts.k, input, k));
  SWAGE_RETURN_IF_ERROR(Multiply(parts.v, input, v_.data()));
  if (!row_.q_norm.empty()) {
    SWAGE_RETURN_IF_ERROR(
        Normalize(NormOf(block, row_.q_norm), rows * config_.heads, d, q, q_.data()));
    SWAGE_RETURN_IF_ERROR(
        Normalize(NormOf(block, row_.k_norm), rows * config_.kv_heads, d, k, k_.data()));
  }
  SWAGE_RETURN_IF_ERROR(
      ropes_.Rotate(ops_, block.layer, rows, tokens, config_.heads, false, q_.data()));
  return ropes_.Rotate(ops_, block.layer, rows, tokens, config_.kv_heads, false, k_.data());
}

Status Backward::TraceAttention(const Block& block, int64_t windows, int64_t tokens,
                                const float* hidden) {
  const int64_t rows = windows * tokens, h = config_.hidden;
  Rows input;
  SWAGE_RETURN_IF_ERROR(NormedRows(NormOf(block, row_.attention_norm), rows, hidden, &normed_,
                                   &narrow_normed_, &input));
  SWAGE_RETURN_IF_ERROR(ProjectAndRotate(block, tokens, &input));
  if (kept_ == nullptr) {
    mixed_.Resize(q_.size());
    logsumexp_.Resize(rows * config_.heads);
    AttentionArgs attention = AttentionOf(config_, block, windows, tokens);
    attention.q = q_.data();
    attention.k = k_.data();
    attention.v = v_.data();
    attention.out = mixed_.data();
    attention.logsumexp = logsumexp_.data();
    SWAGE_RETURN_IF_ERROR(ops_->Attention(attention));
  }
  Rows mixed = Inputs(Mixed(), rows, config_.heads * config_.head_dim);
  joined_.Resize(rows * h);
  const Part o = PartOf(block, row_.o);
  if (narrow_ && o.linear->bias.size() == 0) {  // no norm stands between product and sum
    std::copy_n(hidden, rows * h, joined_.data());
    return Multiply(o, &mixed, joined_.data(), DType::kF32, true);
  }
  projected_.Resize(rows * h);
  SWAGE_RETURN_IF_ERROR(Multiply(o, &mixed, projected_.data()));
  if (row_.attention_post_norm.empty()) {
    std::copy_n(projected_.data(), rows * h, joined_.data());
  } else {
    SWAGE_RETURN_IF_ERROR(Normalize(NormOf(block, row_.attention_post_norm), rows, h,
                                    projected_.data(), joined_.data()));
  }
  SWAGE_RETURN_IF_ERROR(ops_->Add(rows * h, hidden, joined_.data()));
  if (config_.norm_before) return absl::OkStatus();
  middle_.Resize(rows * h);
  return Normalize(NormOf(block, row_.attention_norm), rows, h, joined_.data(), middle_.data());
}

Status Backward::UnjoinBackward(const Block& block, std::string_view norm,
                                std::string_view post_norm, int64_t rows, const float* joined,
                                const float* output, float* d_hidden, const float** d_out) {
  const int64_t h = config_.hidden;
  if (!config_.norm_before) {
    SWAGE_RETURN_IF_ERROR(
        NormBackward(NormOf(block, norm), Cat(prefix_, norm), rows, h, joined, d_hidden, d_hidden));
  }
  *d_out = d_hidden;
  if (post_norm.empty()) return absl::OkStatus();
  d_out_.Resize(rows * h);
  *d_out = d_out_.data();
  return NormBackward(NormOf(block, post_norm), Cat(prefix_, post_norm), rows, h, output, d_hidden,
                      d_out_.data());
}

Status Backward::ProjectBackward(const Block& block, int64_t tokens, Rows* input, float* d_input) {
  const AttentionParts parts = AttentionPartsOf(config_, block);
  const int64_t rows = input->rows, d = config_.head_dim;
  const int64_t q_heads = config_.heads, kv_heads = config_.kv_heads;
  SWAGE_RETURN_IF_ERROR(ropes_.Rotate(ops_, block.layer, rows, tokens, q_heads, true, dq_.data()));
  SWAGE_RETURN_IF_ERROR(ropes_.Rotate(ops_, block.layer, rows, tokens, kv_heads, true, dk_.data()));
  if (!row_.q_norm.empty()) {
    SWAGE_RETURN_IF_ERROR(NormBackward(NormOf(block, row_.q_norm), Cat(prefix_, row_.q_norm),
                                       rows * q_heads, d, q_raw_.data(), dq_.data(), dq_.data()));
    SWAGE_RETURN_IF_ERROR(NormBackward(NormOf(block, row_.k_norm), Cat(prefix_, row_.k_norm),
                                       rows * kv_heads, d, k_raw_.data(), dk_.data(), dk_.data()));
  }
  Rows dq = OutputGradients(dq_.data(), rows, q_heads * d);
  SWAGE_RETURN_IF_ERROR(MultiplyBackward(parts.q, input, &dq, d_input, false));
  Rows dk = OutputGradients(dk_.data(), rows, kv_heads * d);
  SWAGE_RETURN_IF_ERROR(MultiplyBackward(parts.k, input, &dk, d_input, true));
  Rows dv = OutputGradients(dv_.data(), rows, kv_heads * d);
  return MultiplyBackward(parts.v, input, &dv, d_input, true);
}

Status Backward::AttentionBackward(const Block& block, int64_t windows, int64_t tokens,
                                   const float* hidden, float* d_hidden) {
  const int64_t rows = windows * tokens, h = config_.hidden;
  const float* d_out = nullptr;
  SWAGE_RETURN_IF_ERROR(UnjoinBackward(block, row_.attention_norm, row_.attention_post_norm, rows,
                                       joined_.data(), projected_.data(), d_hidden, &d_out));
  d_mixed_.Resize(q_.size());
  Rows mixed = Inputs(Mixed(), rows, config_.heads * config_.head_dim);
  Rows d_projected = OutputGradients(d_out, rows, h);
  SWAGE_RETURN_IF_ERROR(
      MultiplyBackward(PartOf(block, row_.o), &mixed, &d_projected, d_mixed_.data(), false));
  AttentionArgs forward = AttentionOf(config_, block, windows, tokens);
  forward.q = q_.data();
  forward.k = k_.data();
  forward.v = v_.data();
  forward.out = const_cast<float*>(Mixed());  // the backward reads it
  forward.logsumexp = kept_ == nullptr ? logsumexp_.data()
                                       : const_cast<float*>(kept_->logsumexp.data());
  dq_.Resize(q_.size());
  dk_.Resize(k_.size());
  dv_.Resize(v_.size());
  SWAGE_RETURN_IF_ERROR(ops_->train().AttentionBackward(
      {&forward, d_mixed_.data(), dq_.data(), dk_.data(), dv_.data()}));
  d_input_.Resize(rows * h);
  Rows input = narrow_ ? NarrowRows(&narrow_normed_, rows, h)
                       : Inputs(config_.norm_before ? normed_.data() : hidden, rows, h);
  SWAGE_RETURN_IF_ERROR(ProjectBackward(block, tokens, &input, d_input_.data()));
  if (config_.norm_before) {
    SWAGE_RETURN_IF_ERROR(NormBackward(NormOf(block, row_.attention_norm),
                                       Cat(prefix_, row_.attention_norm), rows, h, hidden,
                                       d_input_.data(), d_input_.data()));
  }
  return ops_->Add(rows * h, d_input_.data(), d_hidden);
}

Status Backward::TraceFeed(const FeedParts& parts, Rows* input) {
  const int64_t n = input->rows * parts.up.count;
  const Activation kind = ActivationOf(config_.activation);
  up_.Resize(n);
  activated_.Resize(n);
  SWAGE_RETURN_IF_ERROR(Multiply(parts.up, input, up_.data()));
  if (parts.gate.linear == nullptr) {
    return ops_->Activate(kind, n, up_.data(), nullptr, activated_.data());
  }
  gate_.Resize(n);
  SWAGE_RETURN_IF_ERROR(Multiply(parts.gate, input, gate_.data()));
  if (kind == Activation::kSilu) {
    return ops_->SwiGlu(n, gate_.data(), up_.data(), activated_.data());
  }
  return ops_->Activate(kind, n, gate_.data(), up_.data(), activated_.data());
}

Status Backward::FeedBackward(const FeedParts& parts, Rows* input, const float* d_out,
                              float* d_input) {
  const int64_t rows = input->rows, width = parts.up.count, n = rows * width;
  d_activated_.Resize(n);
  Rows activated = Inputs(activated_.data(), rows, width);
  Rows d_down = OutputGradients(d_out, rows, parts.down.count);
  SWAGE_RETURN_IF_ERROR(
      MultiplyBackward(parts.down, &activated, &d_down, d_activated_.data(), false));
  input->cast = false;  // the buffer was needed for another input
  const Activation kind = ActivationOf(config_.activation);
  const float* d_activated = d_activated_.data();
  if (parts.gate.linear == nullptr) {
    SWAGE_RETURN_IF_ERROR(ops_->train().ActivateBackward(kind, n, up_.data(), nullptr, d_activated,
                                                         d_activated_.data(), nullptr));
  } else {
    d_gate_.Resize(n);
    SWAGE_RETURN_IF_ERROR(ops_->train().ActivateBackward(
        kind, n, gate_.data(), up_.data(), d_activated, d_gate_.data(), d_activated_.data()));
  }
  Rows d_up = OutputGradients(d_activated, rows, width);
  SWAGE_RETURN_IF_ERROR(MultiplyBackward(parts.up, input, &d_up, d_input, false));
  if (parts.gate.linear == nullptr) return absl::OkStatus();
  Rows d_gate = OutputGradients(d_gate_.data(), rows, width);
  return MultiplyBackward(parts.gate, input, &d_gate, d_input, true);
}

Status Backward::DenseFeedBackward(const Block& block, int64_t rows, const float* x,
                                   float* d_hidden) {
  const int64_t h = config_.hidden;
  const FeedParts parts = FeedPartsOf(config_, block);
  Rows input = Inputs(x, rows, h);
  SWAGE_RETURN_IF_ERROR(TraceFeed(parts, &input));
  if (NeedsOutput(row_.ffn_post_norm)) {
    fed_.Resize(rows * h);
    Rows activated = Inputs(activated_.data(), rows, parts.up.count);
    SWAGE_RETURN_IF_ERROR(Multiply(parts.down, &activated, fed_.data()));
  }
  if (!config_.norm_before) {
    rejoined_.Resize(rows * h);
    if (row_.ffn_post_norm.empty()) {
      std::copy_n(fed_.data(), rows * h, rejoined_.data());
    } else {
      SWAGE_RETURN_IF_ERROR(
          Normalize(NormOf(block, row_.ffn_post_norm), rows, h, fed_.data(), rejoined_.data()));
    }
    SWAGE_RETURN_IF_ERROR(ops_->Add(rows * h, middle_.data(), rejoined_.data()));
  }
  const float* d_out = nullptr;
  SWAGE_RETURN_IF_ERROR(UnjoinBackward(block, row_.ffn_norm, row_.ffn_post_norm, rows,
                                       rejoined_.data(), fed_.data(), d_hidden, &d_out));
  return FeedBackward(parts, &input, d_out, d_input_.data());
}

// Gates in bf16 all the way, as the forward kept them.
Status Backward::NarrowFeedBackward(const Block& block, Rows* input, const float* d_hidden) {
  const FeedParts parts = FeedPartsOf(config_, block);
  const int64_t rows = input->rows, width = parts.up.count, n = rows * width;
  const uint16_t *gate = nullptr, *up = nullptr;
  if (kept_ != nullptr) {
    gate = kept_->gate.data();
    up = kept_->up.data();
  } else {
    narrow_gate_.Resize(n);
    narrow_up_.Resize(n);
    SWAGE_RETURN_IF_ERROR(Multiply(parts.gate, input, narrow_gate_.data(), DType::kBF16));
    SWAGE_RETURN_IF_ERROR(Multiply(parts.up, input, narrow_up_.data(), DType::kBF16));
    gate = narrow_gate_.data();
    up = narrow_up_.data();
  }
  narrow_activated_.Resize(n);
  SWAGE_RETURN_IF_ERROR(ops_->narrow()->SwiGlu(n, gate, up, narrow_activated_.data()));
  Rows activated = NarrowRows(&narrow_activated_, rows, width);
  Rows d_out = OutputGradients(d_hidden, rows, config_.hidden);
  d_activated_.Resize(n);
  SWAGE_RETURN_IF_ERROR(
      MultiplyBackward(parts.down, &activated, &d_out, d_activated_.data(), false));
  d_narrow_gate_.Resize(n);
  d_narrow_up_.Resize(n);
  SWAGE_RETURN_IF_ERROR(ops_->narrow()->SwiGluBackward(
      n, gate, up, d_activated_.data(), d_narrow_gate_.data(), d_narrow_up_.data()));
  Rows d_up = NarrowRows(&d_narrow_up_, rows, width);
  SWAGE_RETURN_IF_ERROR(MultiplyBackward(parts.up, input, &d_up, d_input_.data(), false));
  Rows d_gate = NarrowRows(&d_narrow_gate_, rows, width);
  return MultiplyBackward(parts.gate, input, &d_gate, d_input_.data(), true);
}

Status Backward::FeedForwardBackward(const Block& block, int64_t rows, float* d_hidden) {
  const int64_t h = config_.hidden;
  const float* middle = config_.norm_before ? joined_.data() : middle_.data();
  Rows input;
  SWAGE_RETURN_IF_ERROR(NormedRows(NormOf(block, row_.ffn_norm), rows, middle, &ffn_normed_,
                                   &narrow_ffn_, &input));
  const float* x = input.x;
  d_input_.Resize(rows * h);
  if (narrow_) {
    SWAGE_RETURN_IF_ERROR(NarrowFeedBackward(block, &input, d_hidden));
  } else if (config_.HasExperts(block.layer)) {
    std::fill(d_input_.data(), d_input_.data() + rows * h, 0.0f);
    SWAGE_RETURN_IF_ERROR(ExpertsBackward(block, rows, x, d_hidden, d_input_.data()));
  } else {
    SWAGE_RETURN_IF_ERROR(DenseFeedBackward(block, rows, x, d_hidden));
  }
  if (config_.norm_before) {
    SWAGE_RETURN_IF_ERROR(NormBackward(NormOf(block, row_.ffn_norm), Cat(prefix_, row_.ffn_norm),
                                       rows, h, middle, d_input_.data(), d_input_.data()));
  }
  return ops_->Add(rows * h, d_input_.data(), d_hidden);
}

Status Backward::RunBlock(const Block& block, int64_t windows, int64_t tokens,
                          const float* hidden_in, float* d_hidden, const GradientRequest& request,
                          Gradients* out, const BlockTrace* kept) {
  SWAGE_RETURN_IF_ERROR(CheckSupported(block));
  prefix_ = BlockPrefix(config_, block.layer);
  request_ = &request;
  gradients_ = out;
  kept_ = kept;
  narrow_ = CanTakeKept(ops_, config_, block, request);
  SWAGE_CHECK(kept == nullptr || narrow_, "kept for a backward that reads f32");
  SWAGE_RETURN_IF_ERROR(TraceAttention(block, windows, tokens, hidden_in));
  SWAGE_RETURN_IF_ERROR(FeedForwardBackward(block, windows * tokens, d_hidden));
  return AttentionBackward(block, windows, tokens, hidden_in, d_hidden);
}

}  // namespace swage
