// Checkpoints of a running job in its scratch folder: per finished block one safetensors file with
// its encoded tensors, and state.json, which names them with their digests. Every write is atomic,
// so a killed job finds the blocks that it had finished. A checkpoint of another action or numerics
// class is discarded: mixing them would not be reproducible. Blocks are written behind the computing
// of what follows, one at a time; a block counts once state.json names it.
//
//   <scratch>/state.json, <scratch>/block-00003.safetensors, (<scratch>/lock belongs to the child
//   process)
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/env.h"
#include "workers/exports/exporter.h"
#include "workers/report/report.h"
#include "workers/runtime/tensor_source.h"
#include "workers/runtime/write_behind.h"

namespace swage {

struct FinishedBlock {
  std::string file;  // in the scratch folder, "" when the block has no quantized linear
  Digest sha256;
  StageReport stage;
  std::vector<LayerReport> layers;
};

// For one thread. Destroying it waits for the block that is being written.
class Checkpoint {
 public:
  // Continues from what lies in `dir` when it is of the same action and class and every file has
  // its digest; blocks that fail this are forgotten, and computed again.
  static StatusOr<Checkpoint> Open(Env* env, const std::string& dir, const Digest& action,
                                   const std::string& numerics_class);

  // Null while it is not durable.
  const FinishedBlock* Find(const std::string& stage) const;
  // Waits for the block before and returns what became of it; then this one is written while the
  // caller goes on. `stage` carries the block's name and what it took.
  Status Add(const StageReport& stage, std::vector<EncodedTensor> tensors,
             std::vector<LayerReport> layers);
  // All blocks that were added are durable when it returns; all that follows here asks for it first.
  Status Flush() const;
  std::optional<QualityReport> quality() const { return state_->quality; }
  const std::optional<StageReport>& quality_stage() const { return state_->quality_stage; }
  Status SetQuality(const QualityReport& quality, const StageReport& stage);

  // The tensors of all finished blocks.
  StatusOr<std::vector<std::shared_ptr<TensorSource>>> OpenTensors() const;
  // Removes the job's files, after its artifact is complete.
  Status Discard();

 private:
  struct State {
    Env* env = nullptr;
    std::string dir, action, numerics_class;
    std::mutex mutex;  // of `blocks`: the writing thread adds to them
    std::map<std::string, FinishedBlock> blocks;
    std::optional<QualityReport> quality;
    std::optional<StageReport> quality_stage;

    WriteBehind writer;  // the last member: it ends before what it writes from

    Status Load(const std::string& text);
    Status Save();
    Status Write(FinishedBlock block, const std::vector<EncodedTensor>& tensors);
  };
  Checkpoint(Env* env, const std::string& dir);

  std::unique_ptr<State> state_;
};

// SHA-256 of a file, read in pieces.
StatusOr<Digest> FileDigest(Env* env, const std::string& path);
// Writes encoded tensors as one safetensors file, wider types first.
Status WriteEncoded(Env* env, const std::string& path, const std::vector<EncodedTensor>& tensors);

}  // namespace swage
