// One pass over the unchanged model that yields what calibrated methods need: of every distinct input
// of the linears its column statistics (absmax, mean, second moment, kurtosis) and, when asked, the
// Hessian of a least-squares layer, sum of x x^T (Frantar & Alistarh 2022, OBC; DESIGN 6, "Statistics
// are an artifact"); of keys and values their ranges by channel. Streamed: one block resident, its
// statistics handed on before the next is loaded. Inputs of linears that read the same rows (q, k, v;
// gate, up) are counted once.
//
//   StatisticsPass pass(ops, *model, {.hessians = true});
//   SWAGE_RETURN_IF_ERROR(pass.Run(windows, hooks, [&](BlockStatistics block) { ... }));
//
// Sums are merged in a fixed tree over the micro-batches: the same bytes within a numerics class. With `exact` (the
// recipe's `reduction: exact`) they are merged along the tree of chunk_tree.h: the same bytes also for any number of
// processes that share the windows, each of which then hears all totals:
//
//   StatisticsPass pass(ops, *model, {.hessians = true, .exact = true, .reducer = reducer.get()});
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/digest.h"
#include "kernels/api/statistics.h"
#include "workers/runtime/score.h"

namespace swage {

class Reducer;

struct InputStatistics {
  std::vector<std::string> readers;  // full names of the linears that read it, in their order
  ColumnStatistics columns;
  int64_t width = 0;
  Buffer<float> hessian;  // [width, width], upper triangle of the sum of x x^T; empty when not asked for
};

struct BlockStatistics {
  int64_t layer = 0;
  std::vector<InputStatistics> inputs;  // in the order in which the block reads them
  // Linears that no row reached, as experts that were never chosen: nothing is known of their inputs.
  std::vector<std::string> unseen;
  ColumnStatistics keys, values;  // by channel of all key-value heads
  // Of one reader; null when it is unseen or no linear of this block.
  const InputStatistics* Find(std::string_view linear) const;
};

struct StatisticsOptions {
  bool hessians = false;
  Compute compute = Compute::kF32;
  bool columns = true;  // of inputs, keys and values; else only their rows are counted
  bool exact = false;      // see above
  Reducer* reducer = nullptr;  // the others that share the windows, with `exact`; null: none. Not owned
};

class StatisticsPass {
 public:
  StatisticsPass(Ops* ops, const Model& model, const StatisticsOptions& options)
      : ops_(ops), model_(model), options_(options) {}
  // With a reducer each member computes its chunks of the windows. Errors: of the model's reading, of `hooks.check`, of
  // `sink`, of the reducer.
  Status Run(const WindowSet& windows, const RunHooks& hooks,
             const std::function<Status(BlockStatistics)>& sink);
  // Bytes that are needed beside one block and its working memory, to be admitted before a run.
  static int64_t PeakBytes(const ModelConfig& config, const WindowSet& windows, bool hessians, bool exact = false);

 private:
  Ops* const ops_;
  const Model& model_;
  const StatisticsOptions options_;
};

// The name of a pass's result: equal for everything that would give the same bytes. `steps`: digest of
// the recipe's steps that changed the model before, "" = none (DESIGN 6).
Digest StatisticsKey(const Digest& model, const Digest& data, const WindowSet& windows,
                     const std::string& numerics_class, const std::string& steps, bool hessians, bool exact = false);

// One safetensors file; what is read back is equal to what was written, bit for bit. Layout:
// docs/formats/statistics.md. Errors of reading: those of the safetensors parser, STATISTICS_MALFORMED,
// STATISTICS_MISMATCH when the key is not `key`.
Status WriteStatistics(Env* env, const std::string& path, const Digest& key,
                       const std::vector<BlockStatistics>& blocks);
StatusOr<std::vector<BlockStatistics>> ReadStatistics(const std::string& path, const Digest& key);

}  // namespace swage
