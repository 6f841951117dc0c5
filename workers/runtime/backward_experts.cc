// The gradient of a feed-forward with experts: each expert's inside is computed anew from the rows
// that chose it, one expert at a time. The choice itself has no gradient; the weights of the chosen
// have.
#include <algorithm>

#include "workers/runtime/backward.h"

namespace swage {

Status Backward::ExpertBackward(const Block& block, int64_t expert, const Routed& routed,
                                int64_t rows, const float* x, const float* d_out, float* d_weights,
                                float* d_input) {
  const int64_t h = config_.hidden, count = static_cast<int64_t>(routed.tokens.size());
  const int64_t padded = PaddedExpertRows(count);
  for (Buffer<float>* buffer : {&gathered_, &expert_out_, &d_gathered_, &d_out_}) {
    buffer->Resize(padded * h);
  }
  const int32_t* index = routed.tokens.data();
  SWAGE_RETURN_IF_ERROR(ops_->GatherRows(count, h, index, rows, x, gathered_.data()));
  std::fill(gathered_.data() + count * h, gathered_.data() + padded * h, 0.0f);
  const FeedParts parts = ExpertPartsOf(config_, block, Cat(row_.experts, expert, "."));
  Rows input = Inputs(gathered_.data(), padded, h);
  SWAGE_RETURN_IF_ERROR(TraceFeed(parts, &input));
  Rows activated = Inputs(activated_.data(), padded, parts.up.count);
  SWAGE_RETURN_IF_ERROR(Multiply(parts.down, &activated, expert_out_.data()));
  std::vector<float> d_factor(count);
  ScatterGradArgs scatter;
  scatter.rows = count;
  scatter.width = h;
  scatter.target = rows;
  scatter.index = index;
  scatter.factor = routed.weights.data();
  scatter.x = expert_out_.data();
  scatter.dy = d_out;
  scatter.dx = d_out_.data();
  scatter.dfactor = d_factor.data();
  SWAGE_RETURN_IF_ERROR(ops_->train().ScatterRowsBackward(scatter));
  std::fill(d_out_.data() + count * h, d_out_.data() + padded * h, 0.0f);
  for (int64_t i = 0; i < count; ++i) d_weights[routed.places[i]] = d_factor[i];
  input.cast = false;
  SWAGE_RETURN_IF_ERROR(FeedBackward(parts, &input, d_out_.data(), d_gathered_.data()));
  const std::vector<float> ones(count, 1.0f);
  return ops_->ScatterAddRows(count, h, index, rows, ones.data(), d_gathered_.data(), d_input);
}

Status Backward::SharedExpertBackward(const Block& block, int64_t rows, const float* x,
                                      const float* d_out, float* d_input) {
  const int64_t h = config_.hidden;
  for (Buffer<float>* buffer : {&expert_out_, &d_gathered_, &d_out_}) buffer->Resize(rows * h);
  for (Buffer<float>* buffer : {&routed_, &shared_weight_, &d_routed_}) buffer->Resize(rows);
  const Part gate = PartOf(block, row_.shared_gate);
  Rows input = Inputs(x, rows, h);
  SWAGE_RETURN_IF_ERROR(Multiply(gate, &input, routed_.data()));
  SWAGE_RETURN_IF_ERROR(
      ops_->Activate(Activation::kSigmoid, rows, routed_.data(), nullptr, shared_weight_.data()));
  const FeedParts parts = ExpertPartsOf(config_, block, row_.shared_expert);
  SWAGE_RETURN_IF_ERROR(TraceFeed(parts, &input));
  Rows activated = Inputs(activated_.data(), rows, parts.up.count);
  SWAGE_RETURN_IF_ERROR(Multiply(parts.down, &activated, expert_out_.data()));
  ScatterGradArgs scatter;
  scatter.rows = scatter.target = rows;
  scatter.width = h;
  scatter.factor = shared_weight_.data();
  scatter.x = expert_out_.data();
  scatter.dy = d_out;
  scatter.dx = d_out_.data();
  scatter.dfactor = d_routed_.data();
  SWAGE_RETURN_IF_ERROR(ops_->train().ScatterRowsBackward(scatter));
  SWAGE_RETURN_IF_ERROR(ops_->train().ActivateBackward(Activation::kSigmoid, rows, routed_.data(),
                                                       nullptr, d_routed_.data(), d_routed_.data(),
                                                       nullptr));
  input.cast = false;
  SWAGE_RETURN_IF_ERROR(FeedBackward(parts, &input, d_out_.data(), d_gathered_.data()));
  SWAGE_RETURN_IF_ERROR(ops_->Add(rows * h, d_gathered_.data(), d_input));
  Rows again = Inputs(x, rows, h), d_gate = OutputGradients(d_routed_.data(), rows, 1);
  return MultiplyBackward(gate, &again, &d_gate, d_input, true);
}

Status Backward::ExpertsBackward(const Block& block, int64_t rows, const float* x,
                                 const float* d_out, float* d_input) {
  const ExpertsConfig& experts = config_.experts;
  const Part router = PartOf(block, row_.router);
  Buffer<float> logits(rows * experts.count), d_logits(rows * experts.count);
  Rows input = Inputs(x, rows, config_.hidden);
  SWAGE_RETURN_IF_ERROR(Multiply(router, &input, logits.data()));
  std::vector<int32_t> chosen(rows * experts.per_token);
  std::vector<float> weights(chosen.size()), d_weights(chosen.size());
  RouteArgs route;
  route.rows = rows;
  route.experts = experts.count;
  route.k = experts.per_token;
  route.logits = logits.data();
  route.normalize = experts.normalize;
  route.chosen = chosen.data();
  route.weights = weights.data();
  SWAGE_RETURN_IF_ERROR(ops_->RouteTopK(route));
  std::vector<Routed> routed(experts.count);
  for (size_t i = 0; i < chosen.size(); ++i) {
    Routed& expert = routed[chosen[i]];
    expert.tokens.push_back(static_cast<int32_t>(static_cast<int64_t>(i) / experts.per_token));
    expert.places.push_back(static_cast<int64_t>(i));
    expert.weights.push_back(weights[i]);
  }
  for (int64_t e = 0; e < experts.count; ++e) {
    if (routed[e].tokens.empty()) continue;
    SWAGE_RETURN_IF_ERROR(
        ExpertBackward(block, e, routed[e], rows, x, d_out, d_weights.data(), d_input));
  }
  SWAGE_RETURN_IF_ERROR(ops_->train().RouteBackward({&route, d_weights.data(), d_logits.data()}));
  input.cast = false;
  Rows d_routed = OutputGradients(d_logits.data(), rows, experts.count);
  SWAGE_RETURN_IF_ERROR(MultiplyBackward(router, &input, &d_routed, d_input, true));
  if (experts.shared_ffn == 0) return absl::OkStatus();
  return SharedExpertBackward(block, rows, x, d_out, d_input);
}

}  // namespace swage
