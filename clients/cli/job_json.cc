#include "clients/cli/job_view.h"
#include "clients/cli/json_output.h"

namespace swage {
namespace {

OutputJson Parsed(const std::string& text) {
  OutputJson json = OutputJson::parse(text, nullptr, false);
  return json.is_discarded() ? OutputJson(nullptr) : json;
}

OutputJson Of(const ProgressView& progress) {
  OutputJson json = {{"stage", progress.stage}, {"fraction", progress.fraction}};
  json["eta_seconds"] = progress.eta_seconds < 0 ? OutputJson(nullptr) : OutputJson(progress.eta_seconds);
  json["message"] = progress.message;
  json["peak_bytes"] = progress.peak_bytes;
  return json;
}

OutputJson Of(const AttemptView& attempt) {
  return {{"epoch", attempt.epoch},
          {"worker", attempt.worker},
          {"start_time", TimeOutput(attempt.start_unix_nanos)},
          {"end_time", TimeOutput(attempt.end_unix_nanos)},
          {"reason", attempt.reason},
          {"message", attempt.message},
          {"last_stage", attempt.last_stage}};
}

OutputJson Of(const PlanView& plan) {
  OutputJson modules = OutputJson::array();
  for (const auto& m : plan.modules) {
    modules.push_back({{"module", m.module}, {"weights", m.weights}, {"activations", m.activations}});
  }
  return {{"modules", modules},
          {"kept_dense", plan.kept_dense},
          {"stages", plan.stages},
          {"peak_host_bytes", plan.peak_host_bytes},
          {"seconds", plan.seconds},
          {"artifact_bytes", plan.artifact_bytes},
          {"bits_per_weight", plan.bits_per_weight},
          {"recipe", Parsed(plan.recipe_json)}};
}

OutputJson Of(const JobView& job) {
  OutputJson attempts = OutputJson::array();
  for (const AttemptView& attempt : job.attempts) attempts.push_back(Of(attempt));
  OutputJson json = {{"name", job.name},
               {"tenant", job.tenant},
               {"state", job.state},
               {"reason", job.reason},
               {"message", job.message},
               {"pending_reason", job.pending_reason},
               {"model", job.model},
               {"model_digest", job.model_digest},
               {"artifact", job.artifact},
               {"artifact_alias", job.artifact_alias},
               {"shared_result", job.shared_result},
               {"create_time", TimeOutput(job.create_unix_nanos)},
               {"start_time", TimeOutput(job.start_unix_nanos)},
               {"end_time", TimeOutput(job.end_unix_nanos)},
               {"progress", Of(job.progress)},
               {"attempts", attempts},
               {"labels", job.labels},
               {"priority", job.priority},
               {"after", job.after},
               {"evictions", job.evictions},
               {"trace_id", job.trace_id},
               {"last_sequence", job.last_sequence},
               {"recipe", Parsed(job.recipe_json)}};
  if (!job.plan.stages.empty()) json["plan"] = Of(job.plan);
  return json;
}

}  // namespace

std::string ToJson(const JobView& job) { return DumpOutput(Of(job)); }
std::string ToJson(const PlanView& plan) { return DumpOutput(Of(plan)); }

std::string ToJson(const EventView& event) {
  OutputJson json = {{"sequence", event.sequence}, {"time", TimeOutput(event.unix_nanos)}, {"kind", event.kind},
               {"state", event.state},       {"reason", event.reason},         {"message", event.message},
               {"epoch", event.epoch},       {"progress", Of(event.progress)}, {"artifact", event.artifact}};
  return DumpOutput(json);
}

std::string ToJson(const std::vector<JobView>& jobs) {
  OutputJson list = OutputJson::array();
  for (const JobView& job : jobs) list.push_back(Of(job));
  return DumpOutput({{"jobs", list}});
}

}  // namespace swage
