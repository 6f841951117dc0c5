// state.json of a checkpoint: what docs/formats/report.md calls "checkpoint state". Written and
// read by the same build or a newer one; anything else in it makes the checkpoint unusable, never
// the job.
#pragma once

#include <map>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "workers/job/checkpoint.h"

namespace swage {

struct CheckpointState {
  std::string action, numerics_class;
  std::map<std::string, FinishedBlock> blocks;  // by stage
  std::optional<QualityReport> quality;
  std::optional<StageReport> quality_stage;
};

std::string CheckpointJson(const CheckpointState& state);
StatusOr<CheckpointState> ParseCheckpoint(const nlohmann::json& json);

}  // namespace swage
