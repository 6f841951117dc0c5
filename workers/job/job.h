// A running job: what the stages hand to each other. Each stage is a function of its own file;
// engine.cc calls them in order. For the engine's thread only.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "workers/exports/exporter.h"
#include "workers/job/calibration.h"
#include "workers/job/checkpoint.h"
#include "workers/job/supervisor.h"
#include "workers/methods/method.h"
#include "workers/runtime/block_stream.h"
#include "workers/runtime/model.h"
#include "workers/runtime/reducer.h"
#include "workers/runtime/windows.h"

namespace swage {

struct Job {
  Job(Env* env_in, const EngineRequest& request_in, const EngineHooks& hooks,
      const SpanContext& span)
      : env(env_in), request(request_in), supervisor(hooks, request_in.memory_limit_bytes, span) {}

  Env* env;
  const EngineRequest& request;
  Supervisor supervisor;

  std::unique_ptr<Reducer> reducer;  // the gang's other members; of a world of one where there are none

  // Known after load.
  std::unique_ptr<Ops> ops;
  Plan plan;
  const Method* method = nullptr;
  const Exporter* exporter = nullptr;
  std::unique_ptr<Model> original;
  ModelConfig artifact_config;
  std::string artifact_config_json;
  Digest model_digest, action_digest;
  std::string numerics_class;
  std::vector<DataReport> data;
  std::optional<WindowSet> windows;  // none: nothing is evaluated
  std::optional<WindowSet> calibration_windows;  // none: no method of this job calibrates
  std::unique_ptr<Calibration> calibration;      // from stage "calibrate" to the last block
  std::optional<Checkpoint> checkpoint;
  std::optional<BlockStream> blocks;  // of the original, those that are not finished

  std::vector<StageReport> stages;  // in order
  std::optional<QualityReport> quality;

  const RecipeStep& step() const { return plan.recipe.steps.front(); }
  // [out, in] of a linear by its full name.
  LinearSpec SpecOf(const std::string& module) const;
  // Quantized linears of one block; the last block brings those outside the blocks (lm_head).
  std::vector<const LinearPlan*> LinearsOf(int64_t layer) const;
};

Status RunLoad(Job* job);
Status RunCalibrate(Job* job);
Status RunBlock(Job* job, int64_t layer);
Status RunEvaluate(Job* job);
// Fills the folder beside out_dir, and renames it into place. Returns the text of report.json.
StatusOr<std::string> RunEncode(Job* job);

// The compressed model as its blocks in the scratch folder and the original's other tensors make
// it, and those sources.
StatusOr<std::shared_ptr<TensorSource>> CompressedTensors(const Job& job);
// Names of all tensors of the artifact.
std::vector<std::string> ArtifactTensors(const Job& job, const TensorSource& compressed);

std::string ActivationSchemeText(const std::optional<ActivationScheme>& scheme);

}  // namespace swage
