// Gathers statistics of the inputs of linears while a forward runs (statistics_pass.h says which).
//   StatisticsCollector collector(ops, options, NamesOf(block, prefix));
//   forward.Observe(&collector);
//   for (each micro-batch) { collector.NextBatch(); forward.RunBlock(...); }
//   BlockStatistics statistics = collector.Take(layer);
#pragma once

#include <deque>
#include <map>
#include <string>
#include <utility>

#include "workers/runtime/observer.h"
#include "workers/runtime/statistics_pass.h"

namespace swage {

using LinearNames = std::map<const Linear*, std::string>;
// Full names of a block's linears; `block` must outlive their use.
LinearNames NamesOf(const Block& block, const std::string& prefix);

class StatisticsCollector : public ForwardObserver {
 public:
  StatisticsCollector(Ops* ops, const StatisticsOptions& options, LinearNames names)
      : ops_(ops), options_(options), names_(std::move(names)) {}
  // Nobody needs what this linear gives: it is seen and not computed. Null: all are.
  void Skip(const Linear* linear) { skipped_ = linear; }
  void NextBatch() { ++batch_; }
  BlockStatistics Take(int64_t layer);

  Status SeeInput(const Linear& linear, int64_t step, int64_t rows, int64_t width,
                  const float* x) override;
  Status SeeKeysAndValues(int64_t rows, int64_t width, const float* keys,
                          const float* values) override;
  bool Skips(const Linear& linear) const override { return &linear == skipped_; }

 private:
  struct Entry {
    InputStatistics result;
    StatisticsTree tree;
    std::pair<int64_t, int64_t> seen = {-1, -1};  // micro-batch and step counted last
  };

  Entry& EntryOf(const Linear& linear, int64_t step, int64_t width);
  StatusOr<ColumnStatistics> Count(int64_t rows, int64_t width, const float* x);
  Status AddToHessian(Entry* entry, int64_t rows, const float* x);

  Ops* const ops_;
  const StatisticsOptions options_;
  const LinearNames names_;
  const Linear* skipped_ = nullptr;
  std::map<const Linear*, Entry*> by_linear_;
  std::deque<Entry> entries_;
  Entry* current_ = nullptr;
  int64_t batch_ = 0;
  StatisticsTree keys_, values_;
  Buffer<uint16_t> cast_;
};

}  // namespace swage
