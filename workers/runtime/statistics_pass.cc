#include "workers/runtime/statistics_pass.h"

#include <algorithm>

#include "workers/runtime/block_stream.h"
#include "workers/runtime/forward.h"
#include "workers/runtime/statistics_collector.h"

namespace swage {

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
    StatisticsCollector collector(ops_, options_, NamesOf(block, BlockPrefix(config, layer)));
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
