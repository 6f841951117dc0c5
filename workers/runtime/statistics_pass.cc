#include "workers/runtime/statistics_pass.h"

#include <algorithm>
#include <deque>
#include <map>

#include "workers/runtime/block_stream.h"
#include "workers/runtime/forward.h"

namespace swage {
namespace {

// Gathers what one block shows, over all micro-batches.
class BlockCollector : public ForwardObserver {
 public:
  BlockCollector(Ops* ops, const StatisticsOptions& options, const Block& block, const std::string& prefix)
      : ops_(ops), options_(options) {
    for (const auto& [module, linear] : block.linears) names_[&linear] = prefix + module;
  }
  void NextBatch() { ++batch_; }

  Status SeeInput(const Linear& linear, int64_t step, int64_t rows, int64_t width,
                  const float* x) override {
    Entry& entry = EntryOf(linear, step, width);
    current_ = &entry;
    if (entry.seen == std::pair(batch_, step)) return absl::OkStatus();
    entry.seen = {batch_, step};
    ColumnStatistics part(width);
    SWAGE_RETURN_IF_ERROR(ops_->statistics().Columns({rows, width, x, DType::kF32}, &part));
    entry.tree.Add(std::move(part));
    return options_.hessians ? AddToHessian(&entry, rows, x) : absl::OkStatus();
  }

  Status SeeKeysAndValues(int64_t rows, int64_t width, const float* keys,
                          const float* values) override {
    ColumnStatistics k(width), v(width);
    SWAGE_RETURN_IF_ERROR(ops_->statistics().Columns({rows, width, keys, DType::kF32}, &k));
    SWAGE_RETURN_IF_ERROR(ops_->statistics().Columns({rows, width, values, DType::kF32}, &v));
    keys_.Add(std::move(k));
    values_.Add(std::move(v));
    return absl::OkStatus();
  }

  BlockStatistics Take(int64_t layer) {
    BlockStatistics out;
    out.layer = layer;
    for (Entry& entry : entries_) {
      entry.result.columns = entry.tree.Total();
      out.inputs.push_back(std::move(entry.result));
    }
    for (const auto& [linear, name] : names_) {
      if (!by_linear_.contains(linear)) out.unseen.push_back(name);
    }
    std::sort(out.unseen.begin(), out.unseen.end());
    out.keys = keys_.Total();
    out.values = values_.Total();
    return out;
  }

 private:
  struct Entry {
    InputStatistics result;
    StatisticsTree tree;
    std::pair<int64_t, int64_t> seen = {-1, -1};  // micro-batch and step counted last
  };

  Entry& EntryOf(const Linear& linear, int64_t step, int64_t width) {
    if (auto known = by_linear_.find(&linear); known != by_linear_.end()) return *known->second;
    const bool same_rows = current_ != nullptr && current_->seen == std::pair(batch_, step);
    if (!same_rows) {
      entries_.emplace_back().result.width = width;
      current_ = &entries_.back();
    }
    current_->result.readers.push_back(names_.at(&linear));
    return *(by_linear_[&linear] = current_);
  }

  Status AddToHessian(Entry* entry, int64_t rows, const float* x) {
    Buffer<float>& h = entry->result.hessian;
    const int64_t width = entry->result.width;
    if (h.size() == 0) {
      h.Resize(width * width);
      std::fill(h.data(), h.data() + h.size(), 0.0f);
    }
    SyrkArgs args;
    args.rows = rows;
    args.n = width;
    args.x = x;
    args.h = h.data();
    if (options_.compute == Compute::kBF16) {  // what the products see
      cast_.Resize(rows * width);
      SWAGE_RETURN_IF_ERROR(ops_->CastFromF32(rows * width, x, DType::kBF16, cast_.data()));
      args.x = cast_.data();
      args.x_type = DType::kBF16;
    }
    return ops_->linalg().Syrk(args);
  }

  Ops* const ops_;
  const StatisticsOptions& options_;
  std::map<const Linear*, std::string> names_;
  std::map<const Linear*, Entry*> by_linear_;
  std::deque<Entry> entries_;
  Entry* current_ = nullptr;
  int64_t batch_ = 0;
  StatisticsTree keys_, values_;
  Buffer<uint16_t> cast_;
};

}  // namespace

const InputStatistics* BlockStatistics::Find(std::string_view linear) const {
  for (const InputStatistics& input : inputs) {
    if (std::find(input.readers.begin(), input.readers.end(), linear) != input.readers.end()) return &input;
  }
  return nullptr;
}

Status StatisticsPass::Run(const WindowSet& windows, const RunHooks& hooks,
                           const std::function<Status(BlockStatistics)>& sink) {
  const ModelConfig& config = model_.config();
  const int64_t tokens = windows.tokens, h = config.hidden;
  SWAGE_ASSIGN_OR_RETURN(Buffer<float> hidden, Buffer<float>::Allocate(windows.count * tokens * h));
  SWAGE_RETURN_IF_ERROR(
      model_.Embed(ops_, windows.count, tokens, windows.ids.data(), hidden.data()));
  Forward forward(ops_, config);
  const int64_t batch = WindowsPerMicroBatch(config, tokens);
  const double total = static_cast<double>(windows.count * tokens * config.layers);
  double done = 0;
  BlockStream stream(model_);
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    SWAGE_ASSIGN_OR_RETURN(const Block block, stream.Load(ops_, layer, options_.compute));
    BlockCollector collector(ops_, options_, block, BlockPrefix(config, layer));
    forward.Observe(&collector);
    for (int64_t w = 0; w < windows.count; w += batch) {
      const int64_t now = std::min(batch, windows.count - w);
      collector.NextBatch();
      SWAGE_RETURN_IF_ERROR(forward.RunBlock(block, now, tokens, hidden.data() + w * tokens * h));
      done += static_cast<double>(now * tokens);
      if (hooks.progress) hooks.progress(done, total);
      if (hooks.check) SWAGE_RETURN_IF_ERROR(hooks.check());
    }
    forward.Observe(nullptr);
    SWAGE_RETURN_IF_ERROR(sink(collector.Take(layer)));
  }
  return absl::OkStatus();
}

int64_t StatisticsPass::PeakBytes(const ModelConfig& config, const WindowSet& windows, bool hessians) {
  const int64_t hidden = windows.count * windows.tokens * config.hidden * 4;
  int64_t inputs = 0, squares = 0;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    int64_t widths = 0, products = 0;
    for (const LinearSpec& linear : BlockLinears(config, layer)) {
      widths += linear.in;
      products += linear.in * linear.in;  // more than is needed: q, k and v share one
    }
    inputs = std::max(inputs, widths);
    squares = std::max(squares, products);
  }
  // Parts of the tree that stand beside each other: one for each doubling of the micro-batches.
  constexpr int64_t kColumnBytes = 4 * 8 + 2 * 4, kTreeLevels = 20;
  return hidden + inputs * kColumnBytes * kTreeLevels + (hessians ? squares * 4 : 0);
}

Digest StatisticsKey(const Digest& model, const Digest& data, const WindowSet& windows,
                     const std::string& numerics_class, const std::string& steps, bool hessians) {
  return Sha256Of(Cat("swage statistics 1\n", model.Hex(), "\n", data.Hex(), "\n", windows.count, " ",
                      windows.tokens, " ", windows.has_bos, "\n", numerics_class, "\n", steps, "\n",
                      hessians ? "hessians" : "diagonals", "\n"));
}

}  // namespace swage
