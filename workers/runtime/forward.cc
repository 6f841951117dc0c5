#include "workers/runtime/forward.h"

#include <algorithm>
#include <cstring>

namespace swage {
namespace {

Activation OpOf(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::kSilu:
      return Activation::kSilu;
    case ActivationKind::kGeluTanh:
      return Activation::kGeluTanh;
    case ActivationKind::kGeluErf:
      return Activation::kGeluErf;
    case ActivationKind::kRelu:
      break;
  }
  return Activation::kRelu;
}

const float* OrNull(const Buffer<float>& values) {
  return values.size() > 0 ? values.data() : nullptr;
}

}  // namespace

const Linear& LinearOf(const Block& block, std::string_view module) {
  auto it = block.linears.find(module);
  SWAGE_CHECK(it != block.linears.end(), module, " is in no row of the architecture table");
  return it->second;
}

const Norm& NormOf(const Block& block, std::string_view name) {
  auto it = block.norms.find(name);
  SWAGE_CHECK(it != block.norms.end(), name, " is in no row of the architecture table");
  return it->second;
}

Forward::Forward(Ops* ops, const ModelConfig& config)
    : ops_(ops), config_(config), row_(ArchitectureOf(config)) {}

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

Status Forward::Multiply(const Linear& linear, Input* input, float* y) {
  return Multiply(Part{&linear, 0, linear.out}, input, y);
}

Status Forward::Multiply(const Part& part, Input* input, float* y) {
  const Linear& linear = *part.linear;
  const float* x = input->x;
  const int64_t count = input->rows * input->width;
  if (observer_ != nullptr && part.begin == 0) {  // a fused linear once, with its first part
    if (input->step < 0) input->step = steps_++;
    const int64_t rows = input->observed_rows < 0 ? input->rows : input->observed_rows;
    SWAGE_RETURN_IF_ERROR(observer_->SeeInput(linear, input->step, rows, input->width, x));
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
  gemm.c = y;
  gemm.bias = linear.bias.size() > 0 ? linear.bias.data() + part.begin : nullptr;
  if (linear.bf16.size() == 0) {
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
  gemm.b = linear.bf16.data() + part.begin * linear.in;
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

Status Forward::Project(const Block& block, int64_t rows, Input* input) {
  const int64_t q_width = config_.heads * config_.head_dim;
  const int64_t kv_width = config_.kv_heads * config_.head_dim;
  q_.Resize(rows * q_width);
  k_.Resize(rows * kv_width);
  v_.Resize(rows * kv_width);
  if (!row_.qkv.empty()) {
    const Linear& fused = LinearOf(block, row_.qkv);
    SWAGE_RETURN_IF_ERROR(Multiply(Part{&fused, 0, q_width}, input, q_.data()));
    SWAGE_RETURN_IF_ERROR(Multiply(Part{&fused, q_width, kv_width}, input, k_.data()));
    return Multiply(Part{&fused, q_width + kv_width, kv_width}, input, v_.data());
  }
  SWAGE_RETURN_IF_ERROR(Multiply(LinearOf(block, row_.q), input, q_.data()));
  SWAGE_RETURN_IF_ERROR(Multiply(LinearOf(block, row_.k), input, k_.data()));
  return Multiply(LinearOf(block, row_.v), input, v_.data());
}

const RopeTable& Forward::RopeFor(bool local, int64_t tokens) {
  const bool own = local && config_.local_rope.has_value();
  const RopeConfig& rope = own ? *config_.local_rope : config_.rope;
  Ropes& ropes = own ? local_rope_ : global_rope_;
  const bool fits = ropes.tokens == tokens || (ropes.tokens >= 0 && !RopeDependsOnWindow(rope));
  if (!fits) {
    ropes.table = MakeRopeTable(rope, tokens);
    ropes.tokens = tokens;
  }
  return ropes.table;
}

Status Forward::Rotate(const Block& block, int64_t rows, int64_t tokens) {
  const int64_t d = config_.head_dim;
  if (!row_.q_norm.empty()) {
    SWAGE_RETURN_IF_ERROR(Normalize(NormOf(block, row_.q_norm), rows * config_.heads, d, q_.data(),
                                    q_.data()));
    SWAGE_RETURN_IF_ERROR(Normalize(NormOf(block, row_.k_norm), rows * config_.kv_heads, d,
                                    k_.data(), k_.data()));
  }
  if (!row_.positions.empty()) return absl::OkStatus();
  const RopeTable& table = RopeFor(config_.IsLocal(block.layer), tokens);
  RopeArgs rope;
  rope.rows = rows;
  rope.tokens = tokens;
  rope.heads = config_.heads;
  rope.head_dim = d;
  rope.inv_freq = table.inv_freq.data();
  rope.x = q_.data();
  rope.rotary = 2 * static_cast<int64_t>(table.inv_freq.size());
  rope.scale = table.scale;
  SWAGE_RETURN_IF_ERROR(ops_->Rope(rope));
  rope.heads = config_.kv_heads;
  rope.x = k_.data();
  return ops_->Rope(rope);
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
  const int64_t rows = windows * tokens, h = config_.hidden, d = config_.head_dim;
  const int64_t q_width = config_.heads * d;
  Input input{hidden, rows, h};
  if (config_.norm_before) {
    normed_.Resize(rows * h);
    SWAGE_RETURN_IF_ERROR(
        Normalize(NormOf(block, row_.attention_norm), rows, h, hidden, normed_.data()));
    input.x = normed_.data();
  }
  SWAGE_RETURN_IF_ERROR(Project(block, rows, &input));
  SWAGE_RETURN_IF_ERROR(Rotate(block, rows, tokens));
  if (observer_ != nullptr) {
    SWAGE_RETURN_IF_ERROR(observer_->SeeKeysAndValues(rows, config_.kv_heads * d, k_.data(), v_.data()));
  }
  mixed_.Resize(rows * q_width);
  AttentionArgs attention;
  attention.windows = windows;
  attention.tokens = tokens;
  attention.heads = config_.heads;
  attention.kv_heads = config_.kv_heads;
  attention.head_dim = d;
  const double divisor = config_.scale_by_layer ? static_cast<double>(block.layer + 1) : 1.0;
  attention.scale = static_cast<float>(config_.attention_scale / divisor);
  attention.softcap = static_cast<float>(config_.attention_softcap);
  attention.window = config_.IsLocal(block.layer) ? config_.sliding_window : 0;
  attention.q = q_.data();
  attention.k = k_.data();
  attention.v = v_.data();
  attention.out = mixed_.data();
  SWAGE_RETURN_IF_ERROR(ops_->Attention(attention));
  Input mixed{mixed_.data(), rows, q_width};
  out_.Resize(rows * h);
  SWAGE_RETURN_IF_ERROR(Multiply(LinearOf(block, row_.o), &mixed, out_.data()));
  return Join(block, row_.attention_norm, row_.attention_post_norm, rows, hidden);
}

Forward::FeedParts Forward::PartsOf(const Block& block) const {
  FeedParts parts;
  const Linear& down = LinearOf(block, row_.down);
  parts.down = {&down, 0, down.out};
  if (!row_.gate_up.empty()) {
    const Linear& fused = LinearOf(block, row_.gate_up);
    parts.gate = {&fused, 0, config_.ffn};
    parts.up = {&fused, config_.ffn, config_.ffn};
    return parts;
  }
  const Linear& up = LinearOf(block, row_.up);
  parts.up = {&up, 0, up.out};
  if (!row_.gate.empty()) {
    const Linear& gate = LinearOf(block, row_.gate);
    parts.gate = {&gate, 0, gate.out};
  }
  return parts;
}

Status Forward::Feed(const FeedParts& parts, Input* input, float* y) {
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
                              : ops_->Activate(OpOf(kind), n, gate_.data(), up_.data(),
                                               gate_.data()));
  } else {
    SWAGE_RETURN_IF_ERROR(Multiply(parts.up, input, up_.data()));
    SWAGE_RETURN_IF_ERROR(ops_->Activate(OpOf(kind), n, up_.data(), nullptr, up_.data()));
  }
  Input wide{activated, rows, width};
  wide.observed_rows = input->observed_rows;
  return Multiply(parts.down, &wide, y);
}

Status Forward::FeedForward(const Block& block, int64_t rows, float* hidden) {
  const int64_t h = config_.hidden;
  const float* x = hidden;
  if (config_.norm_before) {
    normed_.Resize(rows * h);
    SWAGE_RETURN_IF_ERROR(Normalize(NormOf(block, row_.ffn_norm), rows, h, hidden, normed_.data()));
    x = normed_.data();
  }
  out_.Resize(rows * h);
  if (config_.HasExperts(block.layer)) {
    SWAGE_RETURN_IF_ERROR(RunExperts(block, rows, x, out_.data()));
  } else {
    Input input{x, rows, h};
    SWAGE_RETURN_IF_ERROR(Feed(PartsOf(block), &input, out_.data()));
  }
  return Join(block, row_.ffn_norm, row_.ffn_post_norm, rows, hidden);
}

Status Forward::RunBlock(const Block& block, int64_t windows, int64_t tokens, float* hidden) {
  steps_ = 0;
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
  if (config_.logit_softcap == 0) return absl::OkStatus();
  return ops_->SoftCap(rows * config_.vocab, static_cast<float>(config_.logit_softcap), logits);
}

}  // namespace swage
