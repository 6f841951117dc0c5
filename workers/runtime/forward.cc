#include "workers/runtime/forward.h"

#include <algorithm>
#include <cstring>

namespace swage {
namespace {

const float* OrNull(const Buffer<float>& values) {
  return values.size() > 0 ? values.data() : nullptr;
}

}  // namespace

Forward::Forward(Ops* ops, const ModelConfig& config)
    : ops_(ops), config_(config), row_(ArchitectureOf(config)), ropes_(config) {}

int64_t Forward::BytesPerRow(const ModelConfig& c) {
  const int64_t attention = (2 * c.heads + 2 * c.kv_heads) * c.head_dim;
  int64_t ffn = c.ffn, experts = 0;
  if (c.experts.count > 0) {
    ffn = std::max({ffn, c.experts.ffn, c.experts.shared_ffn});
    experts = 2 * c.hidden + c.experts.count;
  }
  const int64_t widest = std::max(ffn, std::max(c.hidden, c.heads * c.head_dim));
  return 4 * (2 * c.hidden + attention + 2 * ffn + widest + experts) + 2 * widest;
}

Status Forward::Multiply(const Linear& linear, Input* input, Output output) {
  return Multiply(Part{&linear, 0, linear.out, ""}, input, output);
}

Status Forward::Multiply(const Part& part, Input* input, Output output) {
  const Linear& linear = *part.linear;
  const float* x = input->x;
  const int64_t count = input->rows * input->width;
  if (observer_ != nullptr && part.begin == 0) {  // a fused linear once, with its first part
    if (input->step < 0) input->step = steps_++;
    const int64_t rows = input->observed_rows < 0 ? input->rows : input->observed_rows;
    SWAGE_RETURN_IF_ERROR(observer_->SeeInput(linear, input->step, rows, input->width, x));
    if (observer_->Skips(linear)) {
      auto* y = static_cast<float*>(output.y);  // whoever looks on reads f32
      if (y != nullptr && !output.add) std::fill(y, y + input->rows * part.count, 0.0f);
      return absl::OkStatus();
    }
  }
  if (!linear.activations.empty()) {
    if (input->rounded_format != linear.activations) {
      rounded_.Resize(count);
      std::memcpy(rounded_.data(), x, count * sizeof(float));
      SWAGE_RETURN_IF_ERROR(
          ops_->FakeQuantizeRows(input->rows, input->width, linear.activations, rounded_.data()));
      input->rounded_format = linear.activations;
      input->cast = false;
    }
    x = rounded_.data();
  }
  GemmArgs gemm;
  gemm.m = input->rows;
  gemm.n = part.count;
  gemm.k = linear.in;
  gemm.c = output.y;
  gemm.c_type = output.type;
  gemm.accumulate = output.add;
  gemm.bias = linear.bias.size() > 0 ? linear.bias.data() + part.begin : nullptr;
  if (!linear.IsNarrow()) {
    gemm.a = x;
    gemm.b = linear.f32.data() + part.begin * linear.in;
    return ops_->Gemm(gemm);
  }
  const bool plain_again = linear.activations.empty() && !input->rounded_format.empty();
  if (!input->cast || plain_again) {
    cast_.Resize(count);
    SWAGE_RETURN_IF_ERROR(ops_->CastFromF32(count, x, DType::kBF16, cast_.data()));
    input->cast = !plain_again;
  }
  gemm.a = cast_.data();
  gemm.a_type = gemm.b_type = DType::kBF16;
  gemm.packed_b = linear.packed.get();
  if (linear.packed == nullptr) gemm.b = linear.bf16.data() + part.begin * linear.in;
  return ops_->Gemm(gemm);
}

Status Forward::Normalize(const Norm& norm, int64_t rows, int64_t width, const float* x,
                          float* y) {
  const float eps = static_cast<float>(config_.norm_eps);
  if (row_.norm == NormKind::kLayer) {
    return ops_->LayerNorm(rows, width, x, OrNull(norm.weight), OrNull(norm.bias), eps, y);
  }
  return ops_->RmsNorm(rows, width, x, norm.weight.data(), eps, y);
}

Status Forward::NormedInput(const Norm& norm, int64_t rows, const float* x, bool narrow,
                            Input* input) {
  const int64_t h = config_.hidden;
  *input = Input{x, rows, h};
  if (!config_.norm_before) return absl::OkStatus();
  if (narrow) {
    input->x = nullptr;
    input->cast = true;
    cast_.Resize(rows * h);
    return ops_->narrow()->RmsNorm(rows, h, x, norm.weight.data(),
                                   static_cast<float>(config_.norm_eps), cast_.data());
  }
  normed_.Resize(rows * h);
  input->x = normed_.data();
  return Normalize(norm, rows, h, x, normed_.data());
}

Status Forward::Project(const Block& block, int64_t rows, Input* input) {
  const int64_t q_width = config_.heads * config_.head_dim;
  const int64_t kv_width = config_.kv_heads * config_.head_dim;
  q_.Resize(rows * q_width);
  k_.Resize(rows * kv_width);
  v_.Resize(rows * kv_width);
  const AttentionParts parts = AttentionPartsOf(config_, block);
  SWAGE_RETURN_IF_ERROR(Multiply(parts.q, input, q_.data()));
  SWAGE_RETURN_IF_ERROR(Multiply(parts.k, input, k_.data()));
  return Multiply(parts.v, input, v_.data());
}

Status Forward::Rotate(const Block& block, int64_t rows, int64_t tokens) {
  const int64_t d = config_.head_dim;
  if (!row_.q_norm.empty()) {
    SWAGE_RETURN_IF_ERROR(Normalize(NormOf(block, row_.q_norm), rows * config_.heads, d, q_.data(),
                                    q_.data()));
    SWAGE_RETURN_IF_ERROR(Normalize(NormOf(block, row_.k_norm), rows * config_.kv_heads, d,
                                    k_.data(), k_.data()));
  }
  SWAGE_RETURN_IF_ERROR(
      ropes_.Rotate(ops_, block.layer, rows, tokens, config_.heads, false, q_.data()));
  return ropes_.Rotate(ops_, block.layer, rows, tokens, config_.kv_heads, false, k_.data());
}

Status Forward::Join(const Block& block, std::string_view before, std::string_view after,
                     int64_t rows, float* hidden) {
  const int64_t h = config_.hidden;
  if (!after.empty()) {
    SWAGE_RETURN_IF_ERROR(Normalize(NormOf(block, after), rows, h, out_.data(), out_.data()));
  }
  SWAGE_RETURN_IF_ERROR(ops_->Add(rows * h, out_.data(), hidden));
  if (config_.norm_before) return absl::OkStatus();
  return Normalize(NormOf(block, before), rows, h, hidden, hidden);
}

Status Forward::Attend(const Block& block, int64_t windows, int64_t tokens, float* hidden) {
  const int64_t rows = windows * tokens, h = config_.hidden;
  const int64_t q_width = config_.heads * config_.head_dim;
  Input input;
  SWAGE_RETURN_IF_ERROR(
      NormedInput(NormOf(block, row_.attention_norm), rows, hidden, narrow_, &input));
  SWAGE_RETURN_IF_ERROR(Project(block, rows, &input));
  SWAGE_RETURN_IF_ERROR(Rotate(block, rows, tokens));
  if (observer_ != nullptr) {
    SWAGE_RETURN_IF_ERROR(observer_->SeeKeysAndValues(rows, config_.kv_heads * config_.head_dim,
                                                      k_.data(), v_.data()));
  }
  Buffer<float>& out = trace_ == nullptr ? mixed_ : trace_->mixed;
  out.Resize(rows * q_width);
  AttentionArgs attention = AttentionOf(config_, block, windows, tokens);
  attention.q = q_.data();
  attention.k = k_.data();
  attention.v = v_.data();
  attention.out = out.data();
  if (trace_ != nullptr) {
    trace_->logsumexp.Resize(rows * config_.heads);
    attention.logsumexp = trace_->logsumexp.data();
  }
  SWAGE_RETURN_IF_ERROR(ops_->Attention(attention));
  Input mixed{out.data(), rows, q_width};
  const Linear& o = LinearOf(block, row_.o);
  if (AddsAtOnce(o, row_.attention_post_norm)) {
    return Multiply(o, &mixed, Output{hidden, DType::kF32, true});
  }
  out_.Resize(rows * h);
  SWAGE_RETURN_IF_ERROR(Multiply(o, &mixed, out_.data()));
  return Join(block, row_.attention_norm, row_.attention_post_norm, rows, hidden);
}

Status Forward::Feed(const FeedParts& parts, Input* input, Output output) {
  const int64_t rows = input->rows, width = parts.up.count, n = rows * width;
  const ActivationKind kind = config_.activation;
  up_.Resize(n);
  float* activated = up_.data();
  if (parts.gate.linear != nullptr) {
    gate_.Resize(n);
    activated = gate_.data();
    SWAGE_RETURN_IF_ERROR(Multiply(parts.gate, input, gate_.data()));
    SWAGE_RETURN_IF_ERROR(Multiply(parts.up, input, up_.data()));
    SWAGE_RETURN_IF_ERROR(kind == ActivationKind::kSilu
                              ? ops_->SwiGlu(n, gate_.data(), up_.data(), gate_.data())
                              : ops_->Activate(ActivationOf(kind), n, gate_.data(), up_.data(),
                                               gate_.data()));
  } else {
    SWAGE_RETURN_IF_ERROR(Multiply(parts.up, input, up_.data()));
    SWAGE_RETURN_IF_ERROR(ops_->Activate(ActivationOf(kind), n, up_.data(), nullptr, up_.data()));
  }
  Input wide{activated, rows, width};
  wide.observed_rows = input->observed_rows;
  return Multiply(parts.down, &wide, output);
}

// In slices of rows whose gates stay in the cache from one op to the next.
Status Forward::FeedNarrow(const Block& block, int64_t rows, float* hidden) {
  constexpr int64_t kSliceFloats = 3 << 20;
  const int64_t h = config_.hidden;
  const FeedParts parts = FeedPartsOf(config_, block);
  const int64_t width = parts.up.count;
  const int64_t slices = (rows * width + kSliceFloats - 1) / kSliceFloats;
  const int64_t slice = (rows + slices - 1) / slices;
  if (trace_ != nullptr) {
    trace_->gate.Resize(rows * width);
    trace_->up.Resize(rows * width);
  } else {
    gate_.Resize(slice * width);
    up_.Resize(slice * width);
  }
  wide_.Resize(slice * width);
  for (int64_t r = 0; r < rows; r += slice) {
    const int64_t now = std::min(slice, rows - r), n = now * width;
    Input input;
    SWAGE_RETURN_IF_ERROR(
        NormedInput(NormOf(block, row_.ffn_norm), now, hidden + r * h, true, &input));
    if (trace_ != nullptr) {
      uint16_t *gate = trace_->gate.data() + r * width, *up = trace_->up.data() + r * width;
      SWAGE_RETURN_IF_ERROR(Multiply(parts.gate, &input, Output{gate, DType::kBF16}));
      SWAGE_RETURN_IF_ERROR(Multiply(parts.up, &input, Output{up, DType::kBF16}));
      SWAGE_RETURN_IF_ERROR(ops_->narrow()->SwiGlu(n, gate, up, wide_.data()));
    } else {
      SWAGE_RETURN_IF_ERROR(Multiply(parts.gate, &input, gate_.data()));
      SWAGE_RETURN_IF_ERROR(Multiply(parts.up, &input, up_.data()));
      SWAGE_RETURN_IF_ERROR(
          ops_->narrow()->SwiGlu(n, gate_.data(), up_.data(), wide_.data()));
    }
    Input wide{nullptr, now, width};
    wide.cast = true;
    std::swap(cast_, wide_);
    SWAGE_RETURN_IF_ERROR(
        Multiply(parts.down, &wide, Output{hidden + r * h, DType::kF32, true}));
    std::swap(cast_, wide_);
  }
  return absl::OkStatus();
}

Status Forward::FeedForward(const Block& block, int64_t rows, float* hidden) {
  const int64_t h = config_.hidden;
  const Norm& norm = NormOf(block, row_.ffn_norm);
  Input input;
  if (config_.HasExperts(block.layer)) {
    SWAGE_RETURN_IF_ERROR(NormedInput(norm, rows, hidden, false, &input));
    out_.Resize(rows * h);
    SWAGE_RETURN_IF_ERROR(RunExperts(block, rows, input.x, out_.data()));
    return Join(block, row_.ffn_norm, row_.ffn_post_norm, rows, hidden);
  }
  const FeedParts parts = FeedPartsOf(config_, block);
  const bool adds = AddsAtOnce(*parts.down.linear, row_.ffn_post_norm);
  if (narrow_ && adds && parts.gate.linear != nullptr &&
      config_.activation == ActivationKind::kSilu) {
    return FeedNarrow(block, rows, hidden);
  }
  SWAGE_RETURN_IF_ERROR(NormedInput(norm, rows, hidden, narrow_, &input));
  if (adds) return Feed(parts, &input, Output{hidden, DType::kF32, true});
  out_.Resize(rows * h);
  SWAGE_RETURN_IF_ERROR(Feed(parts, &input, Output{out_.data()}));
  return Join(block, row_.ffn_norm, row_.ffn_post_norm, rows, hidden);
}

bool Forward::CanKeep(Ops* ops, const ModelConfig& config, const Block& block) {
  const Architecture& row = ArchitectureOf(config);
  if (!CanRunNarrow(ops, config, block) || !row.ffn_post_norm.empty()) return false;
  const FeedParts parts = FeedPartsOf(config, block);
  return parts.gate.linear != nullptr && config.activation == ActivationKind::kSilu &&
         parts.down.linear->bias.size() == 0;
}

Status Forward::RunBlock(const Block& block, int64_t windows, int64_t tokens, float* hidden) {
  steps_ = 0;
  narrow_ = observer_ == nullptr && CanRunNarrow(ops_, config_, block);
  SWAGE_CHECK(trace_ == nullptr || CanKeep(ops_, config_, block), "a block without a trace");
  SWAGE_RETURN_IF_ERROR(Attend(block, windows, tokens, hidden));
  return FeedForward(block, windows * tokens, hidden);
}

Status Forward::RunHead(const Head& head, int64_t rows, const float* hidden, float* logits) {
  Input input{hidden, rows, config_.hidden};
  if (config_.final_norm) {
    normed_.Resize(rows * config_.hidden);
    SWAGE_RETURN_IF_ERROR(Normalize(head.norm, rows, config_.hidden, hidden, normed_.data()));
    input.x = normed_.data();
  }
  if (head.project.out > 0) {
    out_.Resize(rows * head.project.out);
    SWAGE_RETURN_IF_ERROR(Multiply(head.project, &input, out_.data()));
    input = Input{out_.data(), rows, head.project.out};
  }
  SWAGE_RETURN_IF_ERROR(Multiply(head.linear, &input, logits));
  if (config_.logit_softcap == 0 || logits == nullptr) return absl::OkStatus();
  return ops_->SoftCap(rows * head.linear.out, static_cast<float>(config_.logit_softcap), logits);
}

}  // namespace swage
