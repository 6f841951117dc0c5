// Records as JSON; the form is in docs/formats/state.md. A field that has its default value is left
// out: most have, and a queue of 100,000 jobs is read in one go when a leader starts.
#include "scheduler/core/json_record.h"

namespace swage {
namespace {

using record_json::Fields;
using record_json::Json;
using record_json::Object;
using record_json::Parse;

Status Read(const Json& json, AdmittedJob* j);
Status Read(const Json& json, MemberRecord* m);

void Write(const JobToken& t, std::string* out) {
  Object o(out);
  o.Put("incarnation", t.incarnation);
  o.Put("epoch", t.epoch);
  o.Put("random", t.random);
  o.End();
}

void Write(const ProgressRecord& p, std::string* out) {
  Object o(out);
  o.Put("stage", p.stage);
  o.Put("message", p.message);
  o.Put("fraction", p.fraction);
  o.Put("eta_seconds", p.eta_seconds, -1.0);
  o.Put("peak_bytes", p.peak_bytes);
  o.End();
}

void Write(const AttemptRecord& a, std::string* out) {
  Object o(out);
  o.Put("epoch", a.epoch);
  o.Put("worker", a.worker);
  o.Put("start_unix_nanos", a.start_unix_nanos);
  o.Put("end_unix_nanos", a.end_unix_nanos);
  o.Put("reason", a.reason);
  o.Put("message", a.message);
  o.Put("last_stage", a.last_stage);
  o.End();
}

void Write(const ShapeRecord& s, std::string* out) {
  Object o(out);
  o.Put("methods", s.methods);
  o.Put("host_bytes", s.host_bytes);
  o.Put("device_kind", s.device_kind);
  o.Put("devices", s.devices);
  o.Put("device_bytes", s.device_bytes);
  o.Put("features", s.features);
  o.Put("gang", s.gang, 1);
  o.End();
}

void Write(const AdmittedJob& j, std::string* out) {
  Object o(out);
  o.Put("id", j.id);
  o.Put("tenant", j.tenant);
  o.Put("model", j.model);
  o.Put("model_digest", j.model_digest);
  o.Put("model_job", j.model_job);
  o.Put("model_bytes", j.model_bytes);
  o.Put("output_alias", j.output_alias);
  o.Put("priority", j.priority);
  o.Put("preemptible", j.preemptible, true);
  Write(j.shape, o.Name("shape"));
  o.Put("after", j.after);
  o.Put("action_key", j.action_key);
  o.Put("request_id", j.request_id);
  o.Put("plan_digest", j.plan_digest);
  o.Put("estimated_seconds", j.estimated_seconds);
  o.Put("create_unix_nanos", j.create_unix_nanos);
  o.Put("traceparent", j.traceparent);
  o.End();
}

void Write(const MemberRecord& m, std::string* out) {
  Object o(out);
  o.Put("worker", m.worker);
  o.Put("boot", m.boot);
  std::map<std::string, uint64_t> devices;
  for (const DeviceShare& share : m.devices) devices[share.device] = share.bytes;
  o.Put("devices", devices);
  o.End();
}

template <typename T>
void WriteAll(Object* o, const char* name, const std::vector<T>& values) {
  if (values.empty()) return;
  std::string* out = o->Name(name);
  char separator = '[';
  for (const T& value : values) {
    *out += std::exchange(separator, ',');
    Write(value, out);
  }
  *out += ']';
}

Status Read(const Json& json, JobToken* t) {
  Fields f(json, "token");
  f.Get("incarnation", &t->incarnation);
  f.Get("epoch", &t->epoch);
  f.Get("random", &t->random);
  return f.status();
}

Status Read(const Json& json, ProgressRecord* p) {
  Fields f(json, "progress");
  f.Get("stage", &p->stage);
  f.Get("message", &p->message);
  f.Get("fraction", &p->fraction);
  f.Get("eta_seconds", &p->eta_seconds);
  f.Get("peak_bytes", &p->peak_bytes);
  return f.status();
}

Status Read(const Json& json, AttemptRecord* a) {
  Fields f(json, "attempt");
  f.Get("epoch", &a->epoch);
  f.Get("worker", &a->worker);
  f.Get("start_unix_nanos", &a->start_unix_nanos);
  f.Get("end_unix_nanos", &a->end_unix_nanos);
  f.Get("reason", &a->reason);
  f.Get("message", &a->message);
  f.Get("last_stage", &a->last_stage);
  return f.status();
}

Status Read(const Json& json, ShapeRecord* s) {
  Fields f(json, "shape");
  f.Get("methods", &s->methods);
  f.Get("host_bytes", &s->host_bytes);
  f.Get("device_kind", &s->device_kind);
  f.Get("devices", &s->devices);
  f.Get("device_bytes", &s->device_bytes);
  f.Get("features", &s->features);
  f.Get("gang", &s->gang);
  if (s->gang < 1 || s->devices < 0) f.Fail("gang", "or devices is out of range");
  return f.status();
}

template <typename T>
void Nested(Fields* fields, const char* name, T* out) {
  if (const Json* v = fields->Find(name); v != nullptr) fields->Adopt(Read(*v, out));
}

template <typename T>
void NestedAll(Fields* fields, const char* name, std::vector<T>* out) {
  const Json* values = fields->Find(name);
  if (values == nullptr) return;
  if (!values->is_array()) return fields->Fail(name, "is not an array");
  for (const Json& value : *values) fields->Adopt(Read(value, &out->emplace_back()));
}

Status Read(const Json& json, AdmittedJob* j) {
  Fields f(json, "job");
  f.Get("id", &j->id);
  f.Get("tenant", &j->tenant);
  f.Get("model", &j->model);
  f.Get("model_digest", &j->model_digest);
  f.Get("model_job", &j->model_job);
  f.Get("model_bytes", &j->model_bytes);
  f.Get("output_alias", &j->output_alias);
  f.Get("priority", &j->priority);
  f.Get("preemptible", &j->preemptible);
  Nested(&f, "shape", &j->shape);
  f.Get("after", &j->after);
  f.Get("action_key", &j->action_key);
  f.Get("request_id", &j->request_id);
  f.Get("plan_digest", &j->plan_digest);
  f.Get("estimated_seconds", &j->estimated_seconds);
  f.Get("create_unix_nanos", &j->create_unix_nanos);
  f.Get("traceparent", &j->traceparent);
  f.Require("id", j->id);
  f.Require("tenant", j->tenant);
  return f.status();
}

Status Read(const Json& json, MemberRecord* m) {
  Fields f(json, "member");
  f.Get("worker", &m->worker);
  f.Get("boot", &m->boot);
  std::map<std::string, uint64_t> devices;
  f.Get("devices", &devices);
  for (const auto& [device, bytes] : devices) m->devices.push_back({device, bytes});
  f.Require("worker", m->worker);
  return f.status();
}

}  // namespace

std::string ToJson(const JobRecord& r) {
  std::string out;
  out.reserve(1024);
  Object o(&out);
  Write(r.job, o.Name("job"));
  o.Put("state", JobStateName(r.state));
  o.Put("reason", r.reason);
  o.Put("message", r.message);
  o.Put("pending_reason", r.pending_reason);
  o.Put("epoch", r.epoch);
  if (r.token != JobToken{}) Write(r.token, o.Name("token"));
  WriteAll(&o, "members", r.members);
  o.Put("started", r.started);
  o.Put("user_failures", r.user_failures);
  o.Put("infra_losses", r.infra_losses);
  o.Put("crashes", r.crashes);
  o.Put("crash_stage", r.crash_stage);
  o.Put("evictions", r.evictions);
  o.Put("gang_failures", r.gang_failures);
  o.Put("not_before_unix_nanos", r.not_before_unix_nanos);
  o.Put("start_unix_nanos", r.start_unix_nanos);
  o.Put("end_unix_nanos", r.end_unix_nanos);
  if (!r.progress.stage.empty()) Write(r.progress, o.Name("progress"));
  WriteAll(&o, "attempts", r.attempts);
  o.Put("artifact", r.artifact);
  o.Put("shared", r.shared);
  o.Put("follows", r.follows);
  o.Put("checkpoint", r.checkpoint);
  o.Put("learned_bytes", r.learned_bytes);
  o.Put("learned_device_bytes", r.learned_device_bytes);
  o.End();
  return out;
}

std::string ToJson(const SpecRecord& r) {
  std::string out;
  Object o(&out);
  o.Put("recipe_yaml", r.recipe_yaml);
  o.Put("recipe_json", r.recipe_json);
  o.Put("files", r.files);
  o.Put("inputs_artifact", r.inputs_artifact);
  o.Put("labels", r.labels);
  o.End();
  return out;
}

std::string ToJson(const JobEventRecord& r) {
  std::string out;
  Object o(&out);
  o.Put("kind", r.kind);
  o.Put("unix_nanos", r.unix_nanos);
  o.Put("state", JobStateName(r.state));
  o.Put("reason", r.reason);
  o.Put("message", r.message);
  o.Put("artifact", r.artifact);
  o.Put("epoch", r.epoch);
  if (!r.progress.stage.empty()) Write(r.progress, o.Name("progress"));
  o.End();
  return out;
}

std::string ToJson(const Request& r) {
  std::string out;
  Object o(&out);
  o.Put("kind", r.kind);
  o.Put("tenant", r.tenant);
  o.Put("job_id", r.job_id);
  o.Put("reason", r.reason);
  o.End();
  return out;
}

StatusOr<JobRecord> JobRecordFromJson(std::string_view text) {
  SWAGE_ASSIGN_OR_RETURN(const Json json, Parse(text, "job"));
  JobRecord r;
  Fields f(json, "job");
  if (f.Find("job") == nullptr) f.Fail("job", "is missing");
  Nested(&f, "job", &r.job);
  f.Get("state", &r.state);
  f.Get("reason", &r.reason);
  f.Get("message", &r.message);
  f.Get("pending_reason", &r.pending_reason);
  f.Get("epoch", &r.epoch);
  Nested(&f, "token", &r.token);
  NestedAll(&f, "members", &r.members);
  f.Get("started", &r.started);
  f.Get("user_failures", &r.user_failures);
  f.Get("infra_losses", &r.infra_losses);
  f.Get("crashes", &r.crashes);
  f.Get("crash_stage", &r.crash_stage);
  f.Get("evictions", &r.evictions);
  f.Get("gang_failures", &r.gang_failures);
  f.Get("not_before_unix_nanos", &r.not_before_unix_nanos);
  f.Get("start_unix_nanos", &r.start_unix_nanos);
  f.Get("end_unix_nanos", &r.end_unix_nanos);
  Nested(&f, "progress", &r.progress);
  NestedAll(&f, "attempts", &r.attempts);
  f.Get("artifact", &r.artifact);
  f.Get("shared", &r.shared);
  f.Get("follows", &r.follows);
  f.Get("checkpoint", &r.checkpoint);
  f.Get("learned_bytes", &r.learned_bytes);
  f.Get("learned_device_bytes", &r.learned_device_bytes);
  SWAGE_RETURN_IF_ERROR(f.status());
  return r;
}

StatusOr<SpecRecord> SpecRecordFromJson(std::string_view text) {
  SWAGE_ASSIGN_OR_RETURN(const Json json, Parse(text, "spec"));
  SpecRecord r;
  Fields f(json, "spec");
  f.Get("recipe_yaml", &r.recipe_yaml);
  f.Get("recipe_json", &r.recipe_json);
  f.Get("files", &r.files);
  f.Get("inputs_artifact", &r.inputs_artifact);
  f.Get("labels", &r.labels);
  SWAGE_RETURN_IF_ERROR(f.status());
  return r;
}

StatusOr<JobEventRecord> JobEventFromJson(std::string_view text) {
  SWAGE_ASSIGN_OR_RETURN(const Json json, Parse(text, "event"));
  JobEventRecord r;
  Fields f(json, "event");
  f.Get("kind", &r.kind);
  f.Get("unix_nanos", &r.unix_nanos);
  f.Get("state", &r.state);
  f.Get("reason", &r.reason);
  f.Get("message", &r.message);
  f.Get("artifact", &r.artifact);
  f.Get("epoch", &r.epoch);
  Nested(&f, "progress", &r.progress);
  f.Require("kind", r.kind);
  SWAGE_RETURN_IF_ERROR(f.status());
  return r;
}

StatusOr<Request> RequestFromJson(std::string_view text) {
  SWAGE_ASSIGN_OR_RETURN(const Json json, Parse(text, "request"));
  Request r;
  Fields f(json, "request");
  f.Get("kind", &r.kind);
  f.Get("tenant", &r.tenant);
  f.Get("job_id", &r.job_id);
  f.Get("reason", &r.reason);
  f.Require("kind", r.kind);
  f.Require("tenant", r.tenant);
  f.Require("job_id", r.job_id);
  SWAGE_RETURN_IF_ERROR(f.status());
  return r;
}

}  // namespace swage
