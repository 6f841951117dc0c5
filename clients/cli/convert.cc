#include "clients/cli/convert.h"

namespace swage {
namespace {

ProgressView ToView(const v1::Progress& progress) {
  ProgressView view;
  view.stage = progress.stage();
  view.message = progress.message();
  view.fraction = progress.fraction();
  view.eta_seconds = progress.eta_seconds();
  view.peak_bytes = progress.peak_bytes();
  return view;
}

AttemptView ToView(const v1::Attempt& attempt) {
  AttemptView view;
  view.epoch = attempt.epoch();
  view.worker = attempt.worker();
  view.reason = attempt.reason();
  view.message = attempt.message();
  view.last_stage = attempt.last_stage();
  view.start_unix_nanos = Nanos(attempt.start_time());
  view.end_unix_nanos = Nanos(attempt.end_time());
  return view;
}

}  // namespace

int64_t Nanos(const google::protobuf::Timestamp& time) { return time.seconds() * 1000000000 + time.nanos(); }

PlanView ToView(const v1::Plan& plan) {
  PlanView view;
  for (const v1::PlannedModule& m : plan.modules()) {
    view.modules.push_back({m.module(), m.weights(), m.activations()});
  }
  view.kept_dense.assign(plan.kept_dense().begin(), plan.kept_dense().end());
  view.stages.assign(plan.stages().begin(), plan.stages().end());
  view.peak_host_bytes = plan.peak_host_bytes();
  view.seconds = plan.seconds();
  view.artifact_bytes = plan.artifact_bytes();
  view.bits_per_weight = plan.bits_per_weight();
  view.recipe_json = plan.recipe_json();
  return view;
}

JobView ToView(const v1::Job& job) {
  JobView view;
  view.name = job.name();
  view.tenant = job.tenant();
  view.model = job.spec().model();
  view.labels = {job.spec().labels().begin(), job.spec().labels().end()};
  view.priority = job.spec().priority();
  view.after.assign(job.spec().after().begin(), job.spec().after().end());
  view.evictions = job.evictions();
  view.shared_result = job.shared_result();
  view.model_digest = job.model_digest();
  view.state = v1::JobState_Name(job.state());
  view.reason = job.reason();
  view.message = job.message();
  view.pending_reason = job.pending_reason();
  view.artifact = job.artifact();
  view.artifact_alias = job.artifact_alias();
  view.trace_id = job.trace_id();
  view.recipe_json = job.recipe_json();
  view.create_unix_nanos = Nanos(job.create_time());
  view.start_unix_nanos = Nanos(job.start_time());
  view.end_unix_nanos = Nanos(job.end_time());
  view.progress = ToView(job.progress());
  for (const v1::Attempt& attempt : job.attempts()) view.attempts.push_back(ToView(attempt));
  view.plan = ToView(job.plan());
  view.last_sequence = job.last_sequence();
  return view;
}

EventView ToView(const v1::JobEvent& event) {
  EventView view;
  view.sequence = event.sequence();
  view.epoch = event.epoch();
  view.unix_nanos = Nanos(event.time());
  view.kind = event.kind();
  view.state = v1::JobState_Name(event.state());
  view.reason = event.reason();
  view.message = event.message();
  view.artifact = event.artifact();
  view.progress = ToView(event.progress());
  return view;
}

}  // namespace swage
