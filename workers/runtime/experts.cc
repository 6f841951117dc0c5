// The feed-forward of models with experts: a router picks some for each row, each expert runs on
// the rows that chose it, and their results are added up in the order of the experts.
#include <algorithm>

#include "workers/runtime/forward.h"

namespace swage {
Status Forward::RunExpert(const Block& block, int64_t expert, const std::vector<int32_t>& tokens,
                          const std::vector<float>& weights, int64_t rows, const float* x,
                          float* y) {
  const int64_t h = config_.hidden, count = static_cast<int64_t>(tokens.size());
  const int64_t padded = PaddedExpertRows(count);
  gathered_.Resize(padded * h);
  expert_out_.Resize(padded * h);
  SWAGE_RETURN_IF_ERROR(ops_->GatherRows(count, h, tokens.data(), rows, x, gathered_.data()));
  std::fill(gathered_.data() + count * h, gathered_.data() + padded * h, 0.0f);
  Input input{gathered_.data(), padded, h};
  input.observed_rows = count;
  const FeedParts parts = ExpertPartsOf(config_, block, Cat(row_.experts, expert, "."));
  SWAGE_RETURN_IF_ERROR(Feed(parts, &input, Output{expert_out_.data()}));
  return ops_->ScatterAddRows(count, h, tokens.data(), rows, weights.data(), expert_out_.data(),
                              y);
}

Status Forward::RunSharedExpert(const Block& block, int64_t rows, const float* x, float* y) {
  const int64_t h = config_.hidden;
  Input input{x, rows, h};
  routed_.Resize(rows);
  SWAGE_RETURN_IF_ERROR(Multiply(LinearOf(block, row_.shared_gate), &input, routed_.data()));
  SWAGE_RETURN_IF_ERROR(
      ops_->Activate(Activation::kSigmoid, rows, routed_.data(), nullptr, routed_.data()));
  expert_out_.Resize(rows * h);
  const FeedParts parts = ExpertPartsOf(config_, block, row_.shared_expert);
  SWAGE_RETURN_IF_ERROR(Feed(parts, &input, Output{expert_out_.data()}));
  return ops_->ScatterAddRows(rows, h, nullptr, rows, routed_.data(), expert_out_.data(), y);
}

Status Forward::RunExperts(const Block& block, int64_t rows, const float* x, float* y) {
  const ExpertsConfig& experts = config_.experts;
  Input input{x, rows, config_.hidden};
  routed_.Resize(rows * experts.count);
  SWAGE_RETURN_IF_ERROR(Multiply(LinearOf(block, row_.router), &input, routed_.data()));
  chosen_.resize(rows * experts.per_token);
  weights_.resize(rows * experts.per_token);
  RouteArgs route;
  route.rows = rows;
  route.experts = experts.count;
  route.k = experts.per_token;
  route.logits = routed_.data();
  route.normalize = experts.normalize;
  route.chosen = chosen_.data();
  route.weights = weights_.data();
  SWAGE_RETURN_IF_ERROR(ops_->RouteTopK(route));
  std::vector<std::vector<int32_t>> tokens(experts.count);
  std::vector<std::vector<float>> weights(experts.count);
  for (int64_t i = 0; i < rows * experts.per_token; ++i) {
    tokens[chosen_[i]].push_back(static_cast<int32_t>(i / experts.per_token));
    weights[chosen_[i]].push_back(weights_[i]);
  }
  std::fill(y, y + rows * config_.hidden, 0.0f);
  for (int64_t e = 0; e < experts.count; ++e) {
    if (tokens[e].empty()) continue;
    SWAGE_RETURN_IF_ERROR(RunExpert(block, e, tokens[e], weights[e], rows, x, y));
  }
  if (experts.shared_ffn == 0) return absl::OkStatus();
  return RunSharedExpert(block, rows, x, y);
}

}  // namespace swage
