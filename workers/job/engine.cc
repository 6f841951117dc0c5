#include "workers/job/engine.h"

#include "base/log.h"
#include "workers/job/job.h"

namespace swage {
namespace {

// Ends the stage that `status` belongs to and keeps its figures.
Status EndStage(Job* job, const Status& status) {
  StageReport report = job->supervisor.End(status);
  if (status.ok()) job->stages.push_back(report);
  return status;
}

// Those that no earlier attempt has finished; with none left, nothing is streamed.
void StreamBlocks(Job* job) {
  std::vector<int64_t> order;
  for (int64_t layer = 0; layer < job->original->config().layers; ++layer) {
    if (job->checkpoint->Find(Cat("block[", layer, "]")) == nullptr) order.push_back(layer);
  }
  job->blocks.emplace(*job->original, std::move(order));
}

Status RunBlocks(Job* job) {
  StreamBlocks(job);
  for (int64_t layer = 0; layer < job->original->config().layers; ++layer) {
    const std::string stage = Cat("block[", layer, "]");
    if (const FinishedBlock* done = job->checkpoint->Find(stage); done != nullptr) {
      job->stages.push_back(done->stage);  // measured by the attempt that did it
      continue;
    }
    SWAGE_RETURN_IF_ERROR(EndStage(job, RunBlock(job, layer)));
  }
  job->blocks.reset();
  return job->checkpoint->Flush();
}

Status RunQuality(Job* job) {
  if (!job->windows) return absl::OkStatus();
  if (job->checkpoint->quality()) {
    job->quality = job->checkpoint->quality();
    job->stages.push_back(*job->checkpoint->quality_stage());
    return absl::OkStatus();
  }
  SWAGE_RETURN_IF_ERROR(EndStage(job, RunEvaluate(job)));
  return job->checkpoint->SetQuality(*job->quality, job->stages.back());
}

void SkipFinished(Job* job) {
  ProgressModel& progress = job->supervisor.plan();
  for (int64_t layer = 0; layer < job->original->config().layers; ++layer) {
    const std::string stage = Cat("block[", layer, "]");
    if (job->checkpoint->Find(stage) != nullptr) progress.Skip(stage);
  }
  if (job->checkpoint->quality()) progress.Skip("evaluate");
}

StatusOr<std::string> RunStages(Job* job) {
  SWAGE_RETURN_IF_ERROR(EndStage(job, RunLoad(job)));
  SkipFinished(job);
  if (job->calibration_windows) SWAGE_RETURN_IF_ERROR(EndStage(job, RunCalibrate(job)));
  SWAGE_RETURN_IF_ERROR(RunBlocks(job));
  job->calibration.reset();  // its hidden states are not needed any more
  SWAGE_RETURN_IF_ERROR(RunQuality(job));
  StatusOr<std::string> report = RunEncode(job);
  job->supervisor.End(report.status());
  if (report.ok() && !job->request.keep_checkpoint) {
    Status discarded = job->checkpoint->Discard();
    if (!discarded.ok())
      LogWarning("checkpoints stay in ", job->request.scratch_dir, ": ", MessageOf(discarded));
  }
  return report;
}

// The gang's members find each other; alone there is nobody to find.
Status Connect(Job* job, const EngineHooks& hooks) {
  const EngineRequest& request = job->request;
  ReducerOptions options;
  options.rank = request.rank;
  options.world = request.world;
  if (static_cast<size_t>(request.rank) < request.peers.size()) options.address = request.peers[request.rank];
  options.session = request.session;
  SWAGE_ASSIGN_OR_RETURN(job->reducer, ConnectReducer(options, hooks.meet));
  return absl::OkStatus();
}

}  // namespace

std::vector<std::string> EngineFeatures() { return CollectiveFeatures(); }

StatusOr<std::string> RunRecipe(Env* env, const EngineRequest& request, const EngineHooks& hooks) {
  Span span;
  if (hooks.tracer != nullptr) span = hooks.tracer->Start("engine", request.trace_parent);
  Job job(env, request, hooks, span.context());
  const Status connected = Connect(&job, hooks);
  StatusOr<std::string> report = connected.ok() ? RunStages(&job) : StatusOr<std::string>(connected);
  span.SetAttribute("swage.action_digest", job.action_digest.Hex());
  span.SetAttribute("swage.numerics_class", job.numerics_class);
  span.SetStatus(report.status());
  return report;
}

}  // namespace swage
