#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "clients/cli/job_view.h"

namespace swage {
namespace {

using Json = nlohmann::ordered_json;

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json Time(int64_t unix_nanos) { return unix_nanos > 0 ? Json(Rfc3339(unix_nanos)) : Json(nullptr); }

Json Parsed(const std::string& text) {
  Json json = Json::parse(text, nullptr, false);
  return json.is_discarded() ? Json(nullptr) : json;
}

Json Of(const ProgressView& progress) {
  Json json = {{"stage", progress.stage}, {"fraction", progress.fraction}};
  json["eta_seconds"] = progress.eta_seconds < 0 ? Json(nullptr) : Json(progress.eta_seconds);
  json["message"] = progress.message;
  json["peak_bytes"] = progress.peak_bytes;
  return json;
}

Json Of(const AttemptView& attempt) {
  return {{"epoch", attempt.epoch},
          {"worker", attempt.worker},
          {"start_time", Time(attempt.start_unix_nanos)},
          {"end_time", Time(attempt.end_unix_nanos)},
          {"reason", attempt.reason},
          {"message", attempt.message},
          {"last_stage", attempt.last_stage}};
}

Json Of(const PlanView& plan) {
  Json modules = Json::array();
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

Json Of(const JobView& job) {
  Json attempts = Json::array();
  for (const AttemptView& attempt : job.attempts) attempts.push_back(Of(attempt));
  Json json = {{"name", job.name},
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
               {"create_time", Time(job.create_unix_nanos)},
               {"start_time", Time(job.start_unix_nanos)},
               {"end_time", Time(job.end_unix_nanos)},
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

std::string ToJson(const JobView& job) { return Dump(Of(job)); }
std::string ToJson(const PlanView& plan) { return Dump(Of(plan)); }

std::string ToJson(const EventView& event) {
  Json json = {{"sequence", event.sequence}, {"time", Time(event.unix_nanos)}, {"kind", event.kind},
               {"state", event.state},       {"reason", event.reason},         {"message", event.message},
               {"epoch", event.epoch},       {"progress", Of(event.progress)}, {"artifact", event.artifact}};
  return Dump(json);
}

std::string ToJson(const std::vector<JobView>& jobs) {
  Json list = Json::array();
  for (const JobView& job : jobs) list.push_back(Of(job));
  return Dump({{"jobs", list}});
}

}  // namespace swage
