// Checkpoints of a running job in its scratch folder: per finished block one safetensors file with
// its encoded tensors, and state.json, which names them with their digests. Every write is atomic,
// so a killed job finds the blocks that it had finished. A checkpoint of another action or numerics
// class is discarded: mixing them would not be reproducible.
//
//   <scratch>/state.json, <scratch>/block-00003.safetensors, (<scratch>/lock belongs to the child
//   process)
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/env.h"
#include "workers/exports/exporter.h"
#include "workers/report/report.h"
#include "workers/runtime/tensor_source.h"

namespace swage {

struct FinishedBlock {
  std::string file;  // in the scratch folder, "" when the block has no quantized linear
  Digest sha256;
  StageReport stage;
  std::vector<LayerReport> layers;
};

class Checkpoint {
 public:
  // Continues from what lies in `dir` when it is of the same action and class and every file has
  // its digest; blocks that fail this are forgotten, and computed again.
  static StatusOr<Checkpoint> Open(Env* env, const std::string& dir, const Digest& action,
                                   const std::string& numerics_class);

  const FinishedBlock* Find(const std::string& stage) const;
  // Durable when it returns. `stage` carries the block's name and what it took.
  Status Add(const StageReport& stage, const std::vector<EncodedTensor>& tensors,
             std::vector<LayerReport> layers);
  std::optional<QualityReport> quality() const { return quality_; }
  const std::optional<StageReport>& quality_stage() const { return quality_stage_; }
  Status SetQuality(const QualityReport& quality, const StageReport& stage);

  // The tensors of all finished blocks.
  StatusOr<std::vector<std::shared_ptr<TensorSource>>> OpenTensors() const;
  // Removes the job's files, after its artifact is complete.
  Status Discard();

 private:
  Checkpoint(Env* env, std::string dir) : env_(env), dir_(std::move(dir)) {}
  Status Load(const std::string& text);
  Status Save() const;

  Env* env_;
  std::string dir_, action_, numerics_class_;
  std::map<std::string, FinishedBlock> blocks_;
  std::optional<QualityReport> quality_;
  std::optional<StageReport> quality_stage_;
};

// SHA-256 of a file, read in pieces.
StatusOr<Digest> FileDigest(Env* env, const std::string& path);
// Writes encoded tensors as one safetensors file, wider types first.
Status WriteEncoded(Env* env, const std::string& path, const std::vector<EncodedTensor>& tensors);

}  // namespace swage
