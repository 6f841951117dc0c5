// The calibration text on its way through a job: the hidden states of all its windows, carried from
// block to block. The inputs of a block's linears are observed on its original weights; the block
// before it is what it has become (sequential), or the original, too.
//
// Resume: states are never stored. They are brought to the block that is asked for through the blocks
// before it, read from the same bytes in a first run and after a kill, so that both give the same bits.
//
// Statistics of the original model are those of any job with the same model, windows and numerics
// class: with a cache folder they lie in <cache>/statistics/<key>/block-<i>.safetensors
// (docs/formats/statistics.md), and a later job reads them instead of running the model.
//
// For the engine's thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "workers/runtime/forward.h"
#include "workers/runtime/hidden_states.h"
#include "workers/runtime/statistics_collector.h"
#include "workers/runtime/windows.h"

namespace swage {

struct Job;

class Calibration {
 public:
  // Of `job`, which must outlive it and have its text in calibration_windows.
  explicit Calibration(Job* job);

  Status Embed();  // before anything else
  // What the linears of block `layer` read. When sequential, blocks before it must be in the checkpoint
  // or given to Compressed.
  StatusOr<BlockStatistics> Observe(int64_t layer);
  // What the head reads behind the last block.
  StatusOr<BlockStatistics> ObserveHead();
  // The encoded tensors of block `layer`; kept until the states have passed it.
  void Compressed(int64_t layer, std::shared_ptr<TensorSource> tensors);

 private:
  Status AdvanceTo(int64_t layer);
  // What the states pass through.
  StatusOr<Block> PassedBlock(int64_t layer);
  // Runs all windows through `block`; the results replace the states when `keep`.
  Status RunAll(const Block& block, StatisticsCollector* collector, bool keep);
  std::optional<BlockStatistics> ReadCached(int64_t layer) const;
  std::string CachedFile(int64_t layer) const;

  Job* const job_;
  const bool sequential_;
  StatisticsOptions needs_;
  Forward forward_;
  std::unique_ptr<HiddenStates> states_;
  Buffer<float> batch_;
  int64_t position_ = 0;  // the block that the states are the input of
  int64_t latest_ = -1;   // the block of latest_tensors_
  std::shared_ptr<TensorSource> latest_tensors_;
  std::string cache_;  // folder of this key; empty: nothing is shared
  Digest key_;
};

}  // namespace swage
