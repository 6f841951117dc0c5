#include "workers/runtime/forward.h"

#include <cmath>
#include <cstring>

namespace swage {
namespace {

const Linear& LinearOf(const Block& block, std::string_view module) {
  auto it = block.linears.find(module);
  SWAGE_CHECK(it != block.linears.end(), module, " is in no row of the architecture table");
  return it->second;
}

const float* NormOf(const Block& block, std::string_view name) {
  auto it = block.norms.find(name);
  SWAGE_CHECK(it != block.norms.end(), name, " is in no row of the architecture table");
  return it->second.data();
}

}  // namespace

Forward::Forward(Ops* ops, const ModelConfig& config) : ops_(ops), config_(config) {
  // f32 throughout, as the models were trained: 1 / theta^(2i/d).
  for (int64_t i = 0; i < config.head_dim / 2; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(config.head_dim);
    inv_freq_.push_back(1.0f / std::pow(static_cast<float>(config.rope.theta), exponent));
  }
}

int64_t Forward::BytesPerRow(const ModelConfig& c) {
  const int64_t attention = (2 * c.heads + 2 * c.kv_heads) * c.head_dim;
  const int64_t widest = std::max(c.ffn, std::max(c.hidden, c.heads * c.head_dim));
  return 4 * (2 * c.hidden + attention + 2 * c.ffn + widest) + 2 * widest;
}

Status Forward::Multiply(const Linear& linear, Input* input, float* y) {
  const float* x = input->x;
  const int64_t count = input->rows * input->width;
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
  gemm.n = linear.out;
  gemm.k = linear.in;
  gemm.c = y;
  gemm.bias = linear.bias.size() > 0 ? linear.bias.data() : nullptr;
  if (linear.bf16.size() == 0) {
    gemm.a = x;
    gemm.b = linear.f32.data();
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
  gemm.b = linear.bf16.data();
  return ops_->Gemm(gemm);
}

Status Forward::Attend(const Block& block, int64_t windows, int64_t tokens, float* hidden) {
  const int64_t rows = windows * tokens, h = config_.hidden, d = config_.head_dim;
  const int64_t q_width = config_.heads * d, kv_width = config_.kv_heads * d;
  normed_.Resize(rows * h);
  q_.Resize(rows * q_width);
  k_.Resize(rows * kv_width);
  v_.Resize(rows * kv_width);
  mixed_.Resize(rows * q_width);
  SWAGE_RETURN_IF_ERROR(ops_->RmsNorm(rows, h, hidden, NormOf(block, "input_layernorm"),
                                      static_cast<float>(config_.rms_norm_eps), normed_.data()));
  Input input{normed_.data(), rows, h};
  SWAGE_RETURN_IF_ERROR(Multiply(LinearOf(block, "self_attn.q_proj"), &input, q_.data()));
  SWAGE_RETURN_IF_ERROR(Multiply(LinearOf(block, "self_attn.k_proj"), &input, k_.data()));
  SWAGE_RETURN_IF_ERROR(Multiply(LinearOf(block, "self_attn.v_proj"), &input, v_.data()));
  RopeArgs rope{rows, tokens, config_.heads, d, inv_freq_.data(), q_.data()};
  SWAGE_RETURN_IF_ERROR(ops_->Rope(rope));
  rope.heads = config_.kv_heads;
  rope.x = k_.data();
  SWAGE_RETURN_IF_ERROR(ops_->Rope(rope));
  AttentionArgs attention;
  attention.windows = windows;
  attention.tokens = tokens;
  attention.heads = config_.heads;
  attention.kv_heads = config_.kv_heads;
  attention.head_dim = d;
  attention.scale = 1.0f / std::sqrt(static_cast<float>(d));
  attention.q = q_.data();
  attention.k = k_.data();
  attention.v = v_.data();
  attention.out = mixed_.data();
  SWAGE_RETURN_IF_ERROR(ops_->Attention(attention));
  Input mixed{mixed_.data(), rows, q_width};
  SWAGE_RETURN_IF_ERROR(Multiply(LinearOf(block, "self_attn.o_proj"), &mixed, normed_.data()));
  return ops_->Add(rows * h, normed_.data(), hidden);
}

Status Forward::FeedForward(const Block& block, int64_t rows, float* hidden) {
  const int64_t h = config_.hidden, f = config_.ffn;
  gate_.Resize(rows * f);
  up_.Resize(rows * f);
  SWAGE_RETURN_IF_ERROR(ops_->RmsNorm(rows, h, hidden, NormOf(block, "post_attention_layernorm"),
                                      static_cast<float>(config_.rms_norm_eps), normed_.data()));
  Input input{normed_.data(), rows, h};
  SWAGE_RETURN_IF_ERROR(Multiply(LinearOf(block, "mlp.gate_proj"), &input, gate_.data()));
  SWAGE_RETURN_IF_ERROR(Multiply(LinearOf(block, "mlp.up_proj"), &input, up_.data()));
  SWAGE_RETURN_IF_ERROR(ops_->SwiGlu(rows * f, gate_.data(), up_.data(), gate_.data()));
  Input gated{gate_.data(), rows, f};
  SWAGE_RETURN_IF_ERROR(Multiply(LinearOf(block, "mlp.down_proj"), &gated, normed_.data()));
  return ops_->Add(rows * h, normed_.data(), hidden);
}

Status Forward::RunBlock(const Block& block, int64_t windows, int64_t tokens, float* hidden) {
  SWAGE_RETURN_IF_ERROR(Attend(block, windows, tokens, hidden));
  return FeedForward(block, windows * tokens, hidden);
}

Status Forward::RunHead(const Head& head, int64_t rows, const float* hidden, float* logits) {
  normed_.Resize(rows * config_.hidden);
  SWAGE_RETURN_IF_ERROR(ops_->RmsNorm(rows, config_.hidden, hidden, head.norm.data(),
                                      static_cast<float>(config_.rms_norm_eps), normed_.data()));
  Input input{normed_.data(), rows, config_.hidden};
  return Multiply(head.linear, &input, logits);
}

}  // namespace swage
