#include "services/control/convert.h"

#include <google/protobuf/util/json_util.h>

#include "base/telemetry/trace.h"

namespace swage {
namespace {

void SetTime(int64_t unix_nanos, google::protobuf::Timestamp* out) {
  out->set_seconds(unix_nanos / 1000000000);
  out->set_nanos(static_cast<int32_t>(unix_nanos % 1000000000));
}

void SetProgress(const ProgressRecord& progress, v1::Progress* out) {
  out->set_stage(progress.stage);
  out->set_fraction(progress.fraction);
  out->set_eta_seconds(progress.eta_seconds);
  out->set_message(progress.message);
  out->set_peak_bytes(progress.peak_bytes);
}

void SetSpec(const AdmittedJob& job, const SpecRecord& text, v1::Job* out) {
  v1::JobSpec* spec = out->mutable_spec();
  spec->set_model(job.model);
  spec->set_recipe(text.recipe_yaml);
  spec->mutable_files()->insert(text.files.begin(), text.files.end());
  spec->set_output_alias(job.output_alias);
  spec->mutable_labels()->insert(text.labels.begin(), text.labels.end());
  spec->set_priority(job.priority);
  for (const std::string& id : job.after) spec->add_after(Cat("jobs/", id));
  spec->set_never_preempt(!job.preemptible);
  v1::Resources* resources = spec->mutable_resources();
  resources->set_host_bytes(job.shape.host_bytes);
  resources->set_device_kind(job.shape.device_kind);
  resources->set_devices(job.shape.devices);
  resources->set_device_bytes(job.shape.device_bytes);
  for (const std::string& feature : job.shape.features) resources->add_features(feature);
  resources->set_gang(job.shape.gang);
  out->set_tenant(job.tenant);
  out->set_model_digest(job.model_digest);
  out->set_recipe_json(text.recipe_json);
}

std::string Words(const QuantScheme& scheme) {
  std::string words = Cat(scheme.format, " ", scheme.granularity);
  if (scheme.granularity == "group") words += Cat(" ", scheme.group_size);
  return words + (scheme.symmetric ? " symmetric" : " asymmetric");
}

std::string Words(const ActivationScheme& scheme) {
  return Cat(scheme.format, " per ", scheme.granularity, scheme.dynamic ? ", dynamic" : ", static");
}

std::string_view TypeName(OptionType type) {
  switch (type) {
    case OptionType::kInt: return "int";
    case OptionType::kFloat: return "float";
    case OptionType::kBool: return "bool";
    case OptionType::kString: return "string";
    case OptionType::kChoice: return "choice";
  }
  return "";
}

std::string RangeOf(const OptionRow& option) {
  if (option.type == OptionType::kInt || option.type == OptionType::kFloat) return Cat(option.min, "..", option.max);
  if (option.type != OptionType::kChoice) return "";
  return Join({option.choices.begin(), option.choices.end()}, " | ");
}

}  // namespace

v1::JobState ToProto(JobState state) {
  switch (state) {
    case JobState::kQueued: return v1::QUEUED;
    case JobState::kStarting: return v1::STARTING;
    case JobState::kRunning: return v1::RUNNING;
    case JobState::kFinalizing: return v1::FINALIZING;
    case JobState::kPaused: return v1::PAUSED;
    case JobState::kCancelling: return v1::CANCELLING;
    case JobState::kSucceeded: return v1::SUCCEEDED;
    case JobState::kFailed: return v1::FAILED;
    case JobState::kCancelled: return v1::CANCELLED;
  }
  return v1::JOB_STATE_UNSPECIFIED;
}

StatusOr<JobState> FromProto(v1::JobState state) {
  for (int s = static_cast<int>(JobState::kQueued); s <= static_cast<int>(JobState::kCancelled); ++s) {
    if (ToProto(static_cast<JobState>(s)) == state) return static_cast<JobState>(s);
  }
  return InvalidInput("BAD_STATE", Cat(static_cast<int>(state), " is not a state of a job"), "use QUEUED ... CANCELLED");
}

JobSpecFields FromProto(const v1::JobSpec& spec) {
  JobSpecFields fields;
  fields.model = spec.model();
  fields.recipe = spec.recipe();
  fields.output_alias = spec.output_alias();
  fields.files.insert(spec.files().begin(), spec.files().end());
  fields.labels.insert(spec.labels().begin(), spec.labels().end());
  fields.priority = spec.priority();
  fields.after.assign(spec.after().begin(), spec.after().end());
  fields.never_preempt = spec.never_preempt();
  fields.skip_cache = spec.skip_cache();
  const v1::Resources& r = spec.resources();
  fields.resources.host_bytes = r.host_bytes();
  fields.resources.device_kind = r.device_kind();
  fields.resources.devices = r.devices();
  fields.resources.device_bytes = r.device_bytes();
  fields.resources.features.assign(r.features().begin(), r.features().end());
  fields.resources.gang = r.gang();
  return fields;
}

v1::Plan ToProto(const Plan& plan) {
  v1::Plan out;
  for (const LinearPlan& linear : plan.quantized) {
    v1::PlannedModule* module = out.add_modules();
    module->set_module(linear.module);
    module->set_weights(Words(linear.weights));
    if (linear.activations) module->set_activations(Words(*linear.activations));
  }
  out.mutable_kept_dense()->Add(plan.kept_dense.begin(), plan.kept_dense.end());
  out.mutable_stages()->Add(plan.stages.begin(), plan.stages.end());
  out.set_peak_host_bytes(plan.estimate.peak_host_bytes);
  out.set_seconds(plan.estimate.seconds);
  out.set_artifact_bytes(plan.estimate.artifact_bytes);
  out.set_bits_per_weight(plan.estimate.bits_per_weight);
  out.set_recipe_json(plan.recipe.ToJson());
  return out;
}

std::string PlanToJson(const v1::Plan& plan) {
  std::string json;
  SWAGE_CHECK(google::protobuf::util::MessageToJsonString(plan, &json).ok(), "a plan is always JSON");
  return json;
}

v1::Job ToProto(const JobEntry& view) {
  const JobRecord& record = view.record;
  v1::Job job;
  SetSpec(record.job, view.spec, &job);
  job.set_name(Cat("jobs/", record.job.id));
  job.set_state(ToProto(record.state));
  job.set_reason(record.reason);
  job.set_message(record.message);
  SetTime(record.job.create_unix_nanos, job.mutable_create_time());
  if (record.start_unix_nanos != 0) SetTime(record.start_unix_nanos, job.mutable_start_time());
  if (record.end_unix_nanos != 0) SetTime(record.end_unix_nanos, job.mutable_end_time());
  SetProgress(record.progress, job.mutable_progress());
  for (const AttemptRecord& attempt : record.attempts) {
    v1::Attempt* out = job.add_attempts();
    out->set_epoch(attempt.epoch);
    out->set_worker(attempt.worker);
    SetTime(attempt.start_unix_nanos, out->mutable_start_time());
    if (attempt.end_unix_nanos != 0) SetTime(attempt.end_unix_nanos, out->mutable_end_time());
    out->set_reason(attempt.reason);
    out->set_message(attempt.message);
    out->set_last_stage(attempt.last_stage);
  }
  if (record.state == JobState::kSucceeded) {  // before, it is decided but not published
    job.set_artifact(record.artifact);
    job.set_artifact_alias(record.job.output_alias.empty() ? job.name() : record.job.output_alias);
  }
  job.set_pending_reason(record.pending_reason);
  job.set_trace_id(SpanContext::FromTraceparent(record.job.traceparent).trace_id);
  if (!view.plan_json.empty())
    (void)google::protobuf::util::JsonStringToMessage(view.plan_json, job.mutable_plan());
  job.set_evictions(record.evictions);
  job.set_shared_result(record.shared);
  job.set_etag(Cat("\"", view.version, "\""));
  job.set_last_sequence(view.last_sequence);
  return job;
}

v1::Job ToProto(const Admission& admission) {
  v1::Job job;
  SetSpec(admission.job, admission.spec, &job);
  *job.mutable_plan() = ToProto(admission.planned->plan);
  return job;
}

v1::JobEvent ToProto(const JobEventRecord& event, uint64_t sequence) {
  v1::JobEvent out;
  out.set_sequence(sequence);
  SetTime(event.unix_nanos, out.mutable_time());
  out.set_kind(event.kind);
  out.set_state(ToProto(event.state));
  out.set_reason(event.reason);
  out.set_message(event.message);
  SetProgress(event.progress, out.mutable_progress());
  out.set_epoch(event.epoch);
  out.set_artifact(event.artifact);
  return out;
}

v1::Method ToProto(const MethodRow& row) {
  v1::Method method;
  method.set_id(std::string(row.id));
  method.set_kind(std::string(row.kind));
  method.set_version(row.version);
  method.set_title(std::string(row.title));
  method.set_paper(std::string(row.paper));
  for (const OptionRow& option : row.options) {
    v1::MethodOption* out = method.add_options();
    out->set_name(std::string(option.name));
    out->set_type(std::string(TypeName(option.type)));
    out->set_default_value(std::string(option.default_value));
    out->set_range(RangeOf(option));
    out->set_meaning(std::string(option.meaning));
  }
  for (const auto& format : row.formats) method.add_formats(std::string(format));
  for (const auto& granularity : row.granularities) method.add_granularities(std::string(granularity));
  for (const auto& name : row.exports) method.add_exports(std::string(name));
  method.set_needs_calibration(row.needs_calibration);
  return method;
}

}  // namespace swage
