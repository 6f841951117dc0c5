#include "workers/runtime/loss_gradients.h"

#include <algorithm>
#include <set>

namespace swage {
namespace {

constexpr int64_t kBackwardBytes = 176 << 20;  // working memory of one micro-batch
constexpr int64_t kBackwardRows = 1024;        // more rows leave the caches

int64_t WindowsPerStep(const ModelConfig& config, int64_t tokens) {
  const int64_t rows = std::min(kBackwardBytes / Backward::BytesPerRow(config), kBackwardRows);
  return std::max<int64_t>(1, rows / tokens);
}

Status NarrowLinear(Ops* ops, Linear* linear) {
  const int64_t size = linear->f32.size();
  linear->bf16.Resize(size);
  SWAGE_RETURN_IF_ERROR(
      ops->CastFromF32(size, linear->f32.data(), DType::kBF16, linear->bf16.data()));
  linear->f32 = Buffer<float>();
  return absl::OkStatus();
}

// One call of LossGradients.
class LossRun {
 public:
  LossRun(Ops* ops, const Model& model, const LossArgs& args, GradientRequest request,
          const GradientSink& sink)
      : ops_(ops),
        model_(model),
        config_(model.config()),
        args_(args),
        request_(std::move(request)),
        sink_(sink),
        rows_(args.windows * args.tokens),
        width_(rows_ * config_.hidden),
        step_(WindowsPerStep(config_, args.tokens)),
        backward_(ops, config_) {
    request_.parameters = &applied_;
  }

  StatusOr<LossReport> Run() {
    SWAGE_RETURN_IF_ERROR(CheckParameters());
    LossReport report;
    SWAGE_RETURN_IF_ERROR(RunForward());
    SWAGE_RETURN_IF_ERROR(RunHead(&report));
    for (int64_t layer = config_.layers - 1; layer >= 0; --layer) {
      SWAGE_RETURN_IF_ERROR(RunLayerBackward(layer));
    }
    SWAGE_RETURN_IF_ERROR(
        AddEmbeddingGradients(ops_, model_, args_, request_, d_hidden_.data(), &outer_));
    SWAGE_RETURN_IF_ERROR(HandOver(&outer_, ""));
    return report;
  }

 private:
  // A name that fits no linear would silently leave the model dense.
  Status CheckParameters() const {
    if (args_.parameters == nullptr) return absl::OkStatus();
    std::set<std::string> known;
    for (int64_t layer = 0; layer < config_.layers; ++layer) {
      for (const LinearSpec& spec : model_.linears(layer)) {
        known.insert(BlockPrefix(config_, layer) + spec.module);
      }
    }
    for (const auto& [module, parameter] : *args_.parameters) {
      if (known.contains(module)) continue;
      return InvalidInput("PARAMETER_UNKNOWN", Cat(module, " is no linear of the model's blocks"),
                          "use a full name such as model.layers.0.mlp.up_proj");
    }
    return absl::OkStatus();
  }

  StatusOr<Block> Load(int64_t layer) {
    applied_.clear();
    const std::string prefix = BlockPrefix(config_, layer);
    bool dense = true;
    if (args_.parameters != nullptr) {
      const auto next = args_.parameters->lower_bound(prefix);
      dense = next == args_.parameters->end() || !StartsWith(next->first, prefix);
    }
    if (dense) return model_.LoadBlock(ops_, layer, args_.compute);
    SWAGE_ASSIGN_OR_RETURN(Block block, model_.LoadBlock(ops_, layer, Compute::kF32));
    SWAGE_RETURN_IF_ERROR(ApplyParameters(ops_, *args_.parameters, prefix, &block, &applied_));
    if (args_.compute == Compute::kF32) return block;
    for (auto& [module, linear] : block.linears) {
      SWAGE_RETURN_IF_ERROR(NarrowLinear(ops_, &linear));
    }
    return block;
  }

  Status Step(int64_t windows) {
    done_ += static_cast<double>(windows);
    if (args_.hooks.progress) {
      args_.hooks.progress(done_, static_cast<double>(2 * config_.layers * args_.windows));
    }
    return args_.hooks.check ? args_.hooks.check() : absl::OkStatus();
  }

  // Asked of each block in turn: takes the room that it says yes for.
  bool KeepsTraceOf(const Block& block) {
    if (!Backward::CanTakeKept(ops_, config_, block, request_)) return false;
    const int64_t row = 4 * config_.heads * (config_.head_dim + 1) + 4 * config_.ffn;
    if (kept_bytes_ + rows_ * row > args_.keep_bytes) return false;
    kept_bytes_ += rows_ * row;
    return true;
  }

  Status RunForward() {
    checkpoints_.resize(config_.layers + 1);
    checkpoints_[0].Resize(width_);
    SWAGE_RETURN_IF_ERROR(
        model_.Embed(ops_, args_.windows, args_.tokens, args_.ids, checkpoints_[0].data()));
    Forward forward(ops_, config_);
    const int64_t window = args_.tokens * config_.hidden;
    traces_.resize(config_.layers);
    for (int64_t layer = 0; layer < config_.layers; ++layer) {
      SWAGE_ASSIGN_OR_RETURN(Block block, Load(layer));
      const bool keeps = KeepsTraceOf(block);
      SWAGE_RETURN_IF_ERROR(PackLinears(ops_, config_, step_ * args_.tokens, &block));
      Buffer<float>& out = checkpoints_[layer + 1];
      out.Resize(width_);
      std::copy_n(checkpoints_[layer].data(), width_, out.data());
      for (int64_t w = 0; w < args_.windows; w += step_) {
        const int64_t now = std::min(step_, args_.windows - w);
        forward.Keep(keeps ? &traces_[layer].emplace_back() : nullptr);
        SWAGE_RETURN_IF_ERROR(forward.RunBlock(block, now, args_.tokens, out.data() + w * window));
        SWAGE_RETURN_IF_ERROR(Step(now));
      }
      model_.ReleaseBlock(layer);
    }
    return absl::OkStatus();
  }

  Status RunHead(LossReport* report) {
    std::vector<int32_t> targets = args_.targets == nullptr
                                       ? NextTokens(args_.windows, args_.tokens, args_.ids)
                                       : std::vector<int32_t>(args_.targets, args_.targets + rows_);
    for (const int32_t target : targets) report->counted += target >= 0 ? 1 : 0;
    if (report->counted == 0) {
      return InvalidInput("NO_TARGETS", "no token of these windows has a target",
                          "use windows of at least two tokens");
    }
    SWAGE_ASSIGN_OR_RETURN(Head head, model_.LoadHead(ops_, args_.compute));
    d_hidden_.Resize(width_);
    SWAGE_RETURN_IF_ERROR(backward_.RunHead(head, rows_, checkpoints_.back().data(), targets.data(),
                                            1.0 / static_cast<double>(report->counted), request_,
                                            d_hidden_.data(), &report->loss, &outer_));
    checkpoints_.pop_back();
    const std::string embedding =
        Cat(TensorName(config_, model_.architecture().embedding), ".weight");
    return HandOver(&outer_, embedding);  // a tied table waits for the embedding's share
  }

  Status RunLayerBackward(int64_t layer) {
    SWAGE_ASSIGN_OR_RETURN(Block block, Load(layer));
    const bool keeps = !traces_[layer].empty();
    SWAGE_RETURN_IF_ERROR(PackLinearsBack(ops_, config_, step_ * args_.tokens, keeps, &block));
    Gradients gradients;
    const int64_t window = args_.tokens * config_.hidden;
    for (int64_t w = 0; w < args_.windows; w += step_) {
      const int64_t now = std::min(step_, args_.windows - w);
      const BlockTrace* kept = keeps ? &traces_[layer][w / step_] : nullptr;
      SWAGE_RETURN_IF_ERROR(
          backward_.RunBlock(block, now, args_.tokens, checkpoints_.back().data() + w * window,
                             d_hidden_.data() + w * window, request_, &gradients, kept));
      SWAGE_RETURN_IF_ERROR(Step(now));
    }
    checkpoints_.pop_back();
    traces_.pop_back();
    model_.ReleaseBlock(layer);
    return HandOver(&gradients, "");
  }

  Status HandOver(Gradients* gradients, std::string_view but) {
    auto& tensors = gradients->tensors();
    for (auto it = tensors.begin(); it != tensors.end();) {
      if (it->first == but) {
        ++it;
        continue;
      }
      SWAGE_RETURN_IF_ERROR(sink_(it->first, &it->second));
      it = tensors.erase(it);
    }
    return absl::OkStatus();
  }

  Ops* ops_;
  const Model& model_;
  const ModelConfig& config_;
  const LossArgs& args_;
  GradientRequest request_;
  const GradientSink& sink_;
  const int64_t rows_, width_, step_;
  Backward backward_;
  AppliedParameters applied_;  // of the loaded block
  std::vector<Buffer<float>> checkpoints_;
  std::vector<std::vector<BlockTrace>> traces_;  // by layer and micro-batch; empty: not kept
  int64_t kept_bytes_ = 0;
  Buffer<float> d_hidden_;
  Gradients outer_;  // of the head and of embeddings
  double done_ = 0;
};

}  // namespace

std::vector<int32_t> NextTokens(int64_t windows, int64_t tokens, const int32_t* ids) {
  std::vector<int32_t> targets(windows * tokens, -1);
  for (int64_t w = 0; w < windows; ++w) {
    for (int64_t t = 0; t + 1 < tokens; ++t) targets[w * tokens + t] = ids[w * tokens + t + 1];
  }
  return targets;
}

int64_t CheckpointBytes(const ModelConfig& config, int64_t windows, int64_t tokens) {
  const int64_t one = windows * tokens * config.hidden * static_cast<int64_t>(sizeof(float));
  return (config.layers + 2) * one;  // and the hidden states' gradient
}

StatusOr<LossReport> LossGradients(Ops* ops, const Model& model, const LossArgs& args,
                                   GradientRequest request, const GradientSink& sink) {
  if (args.windows < 1 || args.tokens < 1) {
    return InvalidInput("NO_TARGETS", Cat(args.windows, " windows of ", args.tokens, " tokens"));
  }
  return LossRun(ops, model, args, std::move(request), sink).Run();
}

}  // namespace swage
