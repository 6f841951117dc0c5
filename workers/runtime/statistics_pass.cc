#include "workers/runtime/statistics_pass.h"

#include <algorithm>

#include "workers/runtime/block_stream.h"
#include "workers/runtime/forward.h"
#include "workers/runtime/statistics_collector.h"
#include "workers/runtime/statistics_merge.h"

namespace swage {

const InputStatistics* BlockStatistics::Find(std::string_view linear) const {
  for (const InputStatistics& input : inputs) {
    if (std::find(input.readers.begin(), input.readers.end(), linear) != input.readers.end()) return &input;
  }
  return nullptr;
}

Status StatisticsPass::Run(const WindowSet& windows, const RunHooks& hooks,
                           const std::function<Status(BlockStatistics)>& sink) {
  SWAGE_CHECK(options_.exact || options_.reducer == nullptr, "windows are shared in an exact reduction only");
  const ModelConfig& config = model_.config();
  const int64_t tokens = windows.tokens, h = config.hidden;
  ExactReducer exact(options_.reducer);
  // Without `exact` all windows are one chunk, summed in its own order.
  const ChunkRange own = options_.exact ? exact.own() : ChunkRange{0, 1};
  const auto begin_of = [&](int64_t chunk) {
    return options_.exact ? ChunkBegin(chunk, windows.count) : windows.count * chunk;
  };
  const int64_t first = begin_of(own.begin), mine = begin_of(own.end) - first;
  SWAGE_ASSIGN_OR_RETURN(Buffer<float> hidden, Buffer<float>::Allocate(mine * tokens * h));
  if (mine > 0) {
    SWAGE_RETURN_IF_ERROR(model_.Embed(ops_, mine, tokens, windows.ids.data() + first * tokens, hidden.data()));
  }
  Forward forward(ops_, config);
  const int64_t batch = WindowsPerMicroBatch(config, tokens);
  const double total = static_cast<double>(mine * tokens * config.layers);
  double done = 0;
  BlockStream stream(model_);
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    SWAGE_ASSIGN_OR_RETURN(const Block block, stream.Load(ops_, layer, options_.compute));
    const std::string prefix = BlockPrefix(config, layer);
    StatisticsMerge merge(&exact);
    BlockStatistics all;
    for (int64_t chunk = own.begin; chunk < own.end; ++chunk) {
      const int64_t end = begin_of(chunk + 1);
      if (begin_of(chunk) == end) continue;
      StatisticsCollector collector(ops_, options_, NamesOf(block, prefix));
      forward.Observe(&collector);
      for (int64_t w = begin_of(chunk); w < end; w += batch) {
        const int64_t now = std::min(batch, end - w);
        collector.NextBatch();
        SWAGE_RETURN_IF_ERROR(forward.RunBlock(block, now, tokens, hidden.data() + (w - first) * tokens * h));
        done += static_cast<double>(now * tokens);
        if (hooks.progress) hooks.progress(done, total);
        if (hooks.check) SWAGE_RETURN_IF_ERROR(hooks.check());
      }
      forward.Observe(nullptr);
      all = collector.Take(layer);
      if (options_.exact) merge.Add(chunk, std::move(all));
    }
    std::map<std::string, int64_t> widths;
    for (const auto& [module, linear] : block.linears) widths[prefix + module] = linear.in;
    if (options_.exact) {
      SWAGE_ASSIGN_OR_RETURN(all, merge.Total(layer, widths));
    }
    SWAGE_RETURN_IF_ERROR(sink(std::move(all)));
  }
  return absl::OkStatus();
}

int64_t StatisticsPass::PeakBytes(const ModelConfig& config, const WindowSet& windows, bool hessians, bool exact) {
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
  // Along the fixed tree one chunk's beside one of each level, and the total that is being made.
  const int64_t copies = exact ? kReductionLevels + 3 : 1;
  return hidden + inputs * kColumnBytes * kTreeLevels + (hessians ? squares * 4 * copies : 0);
}

Digest StatisticsKey(const Digest& model, const Digest& data, const WindowSet& windows,
                     const std::string& numerics_class, const std::string& steps, bool hessians, bool exact) {
  return Sha256Of(Cat("swage statistics 1\n", model.Hex(), "\n", data.Hex(), "\n", windows.count, " ",
                      windows.tokens, " ", windows.has_bos, "\n", numerics_class, "\n", steps, "\n",
                      hessians ? "hessians" : "diagonals", "\n", exact ? Cat("chunks ", kReductionChunks, "\n") : ""));
}

}  // namespace swage
