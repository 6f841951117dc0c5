#include "workers/runtime/score.h"

#include <algorithm>

#include "workers/runtime/block_stream.h"
#include "workers/runtime/head_stream.h"

namespace swage {
namespace {

constexpr int64_t kHiddenBytes = 256 << 20;   // hidden states of one model
constexpr int64_t kWorkingBytes = 128 << 20;  // of one micro-batch
constexpr int64_t kLogitsBytes = 32 << 20;    // one chunk of logits
constexpr int64_t kMicroBatchRows = 1040;     // more rows leave the caches

int64_t WindowsPerPass(const ModelConfig& config, int64_t tokens) {
  return std::max<int64_t>(1, kHiddenBytes / (tokens * config.hidden * 4));
}

// A head that is read in slices is read once for every chunk: then larger ones.
int64_t LogitRows(const Model& model) {
  const int64_t bytes = HeadStream::Sliced(model)
                            ? std::max(2 * kLogitsBytes, LargestBlockBytes(model, Compute::kF32) / 4)
                            : kLogitsBytes;
  return std::clamp<int64_t>(bytes / (model.config().vocab * 4), 1, 1024);
}

// Counts what is done, in rows times blocks, over all passes and both models; the head counts as
// one block.
class Meter {
 public:
  Meter(const RunHooks& hooks, double total) : hooks_(hooks), total_(total) {}
  Status Step(double work) {
    done_ += work;
    if (hooks_.progress) hooks_.progress(done_, total_);
    return hooks_.check ? hooks_.check() : absl::OkStatus();
  }

 private:
  const RunHooks& hooks_;
  double done_ = 0, total_;
};

// hidden[windows * tokens, H] of `ids` after all blocks.
Status RunBlocks(Ops* ops, const Model& model, const int32_t* ids, int64_t windows, int64_t tokens,
                 Compute compute, Meter* meter, Buffer<float>* hidden) {
  const ModelConfig& config = model.config();
  if (hidden->size() < windows * tokens * config.hidden) {
    *hidden = Buffer<float>();
    SWAGE_ASSIGN_OR_RETURN(*hidden, Buffer<float>::Allocate(windows * tokens * config.hidden));
  }
  SWAGE_RETURN_IF_ERROR(model.Embed(ops, windows, tokens, ids, hidden->data()));
  Forward forward(ops, config);
  const int64_t batch = WindowsPerMicroBatch(config, tokens);
  BlockStream stream(model);
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    SWAGE_ASSIGN_OR_RETURN(Block block, stream.Load(ops, layer, compute));
    SWAGE_RETURN_IF_ERROR(PackLinears(ops, config, std::min(batch, windows) * tokens, &block));
    for (int64_t w = 0; w < windows; w += batch) {
      const int64_t now = std::min(batch, windows - w);
      SWAGE_RETURN_IF_ERROR(
          forward.RunBlock(block, now, tokens, hidden->data() + w * tokens * config.hidden));
      SWAGE_RETURN_IF_ERROR(meter->Step(static_cast<double>(now * tokens)));
    }
  }
  return absl::OkStatus();
}

// While a linear is repacked it is there twice.
int64_t LargestLinearBytes(const Model& model) {
  int64_t largest = 0;
  for (const LinearSpec& spec : model.linears(0)) largest = std::max(largest, 2 * spec.out * spec.in);
  return largest;
}

// The scored rows of hidden[windows * tokens, H]: all but each window's last, which predicts beyond
// it.
void DropLastRows(int64_t windows, int64_t tokens, int64_t width, Buffer<float>* hidden) {
  for (int64_t w = 1; w < windows; ++w) {
    const float* from = hidden->data() + w * tokens * width;
    std::copy(from, from + (tokens - 1) * width, hidden->data() + w * (tokens - 1) * width);
  }
}

// The head's part of a run: logits of both models for the same chunk of rows, compared on the spot.
class HeadScorer {
 public:
  HeadScorer(Ops* ops, const Model& model, const Model* reference, Compute compute)
      : ops_(ops), model_(model), head_(ops, model, compute) {
    if (reference != nullptr) reference_head_.emplace(ops, *reference, compute);
  }

  Status Load() {
    SWAGE_RETURN_IF_ERROR(head_.Load());
    return reference_head_ ? reference_head_->Load() : absl::OkStatus();
  }

  Status Run(int64_t rows, const float* hidden, const float* reference_hidden,
             const int32_t* targets, Meter* meter, Score* score) {
    const ModelConfig& config = model_.config();
    const int64_t h = config.hidden;
    const int64_t chunk = LogitRows(model_);
    Forward forward(ops_, config);
    for (int64_t r = 0; r < rows; r += chunk) {
      const int64_t now = std::min(chunk, rows - r);
      SWAGE_RETURN_IF_ERROR(
          One(&forward, &head_, now, hidden + r * h, targets + r, &logits_, &score->model));
      if (reference_head_) {
        SWAGE_RETURN_IF_ERROR(One(&forward, &*reference_head_, now, reference_hidden + r * h,
                                  targets + r, &reference_logits_, &score->reference));
        SWAGE_RETURN_IF_ERROR(Compare(now));
      }
      score->scored += now;
      SWAGE_RETURN_IF_ERROR(
          meter->Step(static_cast<double>(now) * (reference_head_ ? 2 : 1)));
    }
    return absl::OkStatus();
  }

  double kl_sum() const { return kl_sum_; }
  int64_t same_top1() const { return same_top1_; }

 private:
  Status One(Forward* forward, HeadStream* head, int64_t rows, const float* hidden,
             const int32_t* targets, Buffer<float>* logits, ModelScore* score) {
    const int64_t vocab = model_.config().vocab;
    if (logits->size() < rows * vocab) {
      *logits = Buffer<float>();
      SWAGE_ASSIGN_OR_RETURN(*logits, Buffer<float>::Allocate(rows * vocab));
    }
    nll_.resize(rows);
    SWAGE_RETURN_IF_ERROR(head->Run(forward, rows, hidden, logits->data()));
    SWAGE_RETURN_IF_ERROR(ops_->CrossEntropy(rows, vocab, logits->data(), targets, nll_.data()));
    for (float nll : nll_) score->nll_sum += nll;
    return absl::OkStatus();
  }

  Status Compare(int64_t rows) {
    kl_.resize(rows);
    same_.resize(rows);
    SWAGE_RETURN_IF_ERROR(ops_->CompareLogits(rows, model_.config().vocab, reference_logits_.data(),
                                              logits_.data(), kl_.data(), same_.data()));
    for (float kl : kl_) kl_sum_ += kl;
    for (uint8_t same : same_) same_top1_ += same;
    return absl::OkStatus();
  }

  Ops* ops_;
  const Model& model_;
  HeadStream head_;
  std::optional<HeadStream> reference_head_;
  Buffer<float> logits_, reference_logits_;
  std::vector<float> nll_, kl_;
  std::vector<uint8_t> same_;
  double kl_sum_ = 0;
  int64_t same_top1_ = 0;
};

std::vector<int32_t> TargetsOf(const WindowSet& set, int64_t first, int64_t count) {
  std::vector<int32_t> targets;
  for (int64_t w = first; w < first + count; ++w) {
    const auto begin = set.ids.begin() + w * set.tokens;
    targets.insert(targets.end(), begin + 1, begin + set.tokens);
  }
  return targets;
}

}  // namespace

StatusOr<Score> ScoreWindows(Ops* ops, const Model& model, const Model* reference,
                             const WindowSet& windows, Compute compute, const RunHooks& hooks) {
  const ModelConfig& config = model.config();
  SWAGE_CHECK(reference == nullptr || reference->config().vocab == config.vocab,
              "models of different vocabularies");
  const double models = reference != nullptr ? 2 : 1;
  const double rows = static_cast<double>(windows.count * windows.tokens);
  Meter meter(hooks, models * (rows * config.layers + windows.scored()));
  HeadScorer scorer(ops, model, reference, compute);
  Score score;
  const int64_t pass = WindowsPerPass(config, windows.tokens);
  Buffer<float> hidden, reference_hidden;
  for (int64_t w = 0; w < windows.count; w += pass) {
    const int64_t now = std::min(pass, windows.count - w);
    const int32_t* ids = windows.ids.data() + w * windows.tokens;
    SWAGE_RETURN_IF_ERROR(
        RunBlocks(ops, model, ids, now, windows.tokens, compute, &meter, &hidden));
    DropLastRows(now, windows.tokens, config.hidden, &hidden);
    if (reference != nullptr) {
      SWAGE_RETURN_IF_ERROR(
          RunBlocks(ops, *reference, ids, now, windows.tokens, compute, &meter, &reference_hidden));
      DropLastRows(now, windows.tokens, config.hidden, &reference_hidden);
    }
    if (w == 0) SWAGE_RETURN_IF_ERROR(scorer.Load());
    SWAGE_RETURN_IF_ERROR(scorer.Run(now * (windows.tokens - 1), hidden.data(),
                                     reference_hidden.data(), TargetsOf(windows, w, now).data(),
                                     &meter, &score));
  }
  score.kl = scorer.kl_sum() / static_cast<double>(score.scored);
  score.top1_agreement =
      static_cast<double>(scorer.same_top1()) / static_cast<double>(score.scored);
  return score;
}

Status RunLogits(Ops* ops, const Model& model, const std::vector<int32_t>& ids, Compute compute,
                 const RunHooks& hooks, const LogitsSink& sink) {
  const ModelConfig& config = model.config();
  const int64_t rows = static_cast<int64_t>(ids.size());
  Meter meter(hooks, static_cast<double>(rows) * (config.layers + 1));
  Buffer<float> hidden, logits;
  SWAGE_RETURN_IF_ERROR(RunBlocks(ops, model, ids.data(), 1, rows, compute, &meter, &hidden));
  HeadStream head(ops, model, compute);
  SWAGE_RETURN_IF_ERROR(head.Load());
  Forward forward(ops, config);
  const int64_t chunk = LogitRows(model);
  for (int64_t r = 0; r < rows; r += chunk) {
    const int64_t now = std::min(chunk, rows - r);
    logits.Resize(now * config.vocab);
    SWAGE_RETURN_IF_ERROR(
        head.Run(&forward, now, hidden.data() + r * config.hidden, logits.data()));
    SWAGE_RETURN_IF_ERROR(sink(now, logits.data()));
    SWAGE_RETURN_IF_ERROR(meter.Step(static_cast<double>(now)));
  }
  return absl::OkStatus();
}

int64_t ScoreBytes(const Model& model, bool has_reference, const WindowSet& windows,
                   Compute compute) {
  const ModelConfig& config = model.config();
  const int64_t models = has_reference ? 2 : 1;
  const int64_t pass = std::min(windows.count, WindowsPerPass(config, windows.tokens));
  const int64_t batch = std::min(pass, WindowsPerMicroBatch(config, windows.tokens));
  const int64_t hidden = models * pass * windows.tokens * config.hidden * 4;
  const int64_t largest = LargestBlockBytes(model, compute);
  const int64_t block = largest + Model::ReadingBytes(largest) +
                        batch * windows.tokens * Forward::BytesPerRow(config);
  const int64_t rows = std::min(LogitRows(model), pass * windows.tokens);
  const int64_t head = models * HeadStream::Bytes(model, compute, rows);
  const int64_t logits = models * rows * config.vocab * 4;
  return hidden + (HeadStream::Sliced(model) ? std::max(block, head + logits) : head + std::max(block, logits));
}

int64_t WindowsPerMicroBatch(const ModelConfig& config, int64_t tokens) {
  const int64_t rows = std::min(kWorkingBytes / Forward::BytesPerRow(config), kMicroBatchRows);
  return std::max<int64_t>(1, rows / tokens);
}

std::string BatchingClass(const ModelConfig& config, int64_t window_tokens) {
  return Cat("mb", WindowsPerMicroBatch(config, window_tokens), "x", window_tokens);
}

}  // namespace swage
