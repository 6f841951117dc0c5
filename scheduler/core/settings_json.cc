// Records that are not a job's, as JSON; the form is in docs/formats/state.md.
#include "scheduler/core/json_record.h"

namespace swage {
namespace {

using record_json::Fields;
using record_json::Json;
using record_json::Object;
using record_json::Parse;

}  // namespace

std::string ToJson(const RequestIdRecord& r) {
  std::string out;
  Object o(&out);
  o.Put("job_id", r.job_id);
  o.Put("spec_digest", r.spec_digest);
  o.Put("unix_nanos", r.unix_nanos);
  o.End();
  return out;
}

std::string ToJson(const ActionRecord& r) {
  std::string out;
  Object o(&out);
  o.Put("artifact", r.artifact);
  o.Put("job", r.job);
  o.Put("unix_nanos", r.unix_nanos);
  o.End();
  return out;
}

std::string ToJson(const TenantRecord& r) {
  std::string out;
  Object o(&out);
  o.Put("tenant", r.tenant);
  o.Put("weight", r.weight, 1.0);
  o.Put("max_running", r.max_running);
  o.Put("max_host_bytes", r.max_host_bytes);
  o.Put("max_device_bytes", r.max_device_bytes);
  o.Put("max_queued", r.max_queued);
  o.Put("slots", r.slots);
  o.Put("host_bytes", r.host_bytes);
  o.Put("device_bytes", r.device_bytes);
  o.Put("usage_unix_nanos", r.usage_unix_nanos);
  o.End();
  return out;
}

std::string ToJson(const WorkerRecord& r) {
  std::string out;
  Object o(&out);
  o.Put("worker_id", r.worker_id);
  o.Put("drain", r.drain);
  o.Put("cordoned", r.cordoned);
  o.End();
  return out;
}

std::string ToJson(const LoadRecord& r) {
  std::string out;
  Object o(&out);
  o.Put("queued", r.queued);
  o.Put("limit", r.limit);
  o.End();
  return out;
}

StatusOr<RequestIdRecord> RequestIdFromJson(std::string_view text) {
  SWAGE_ASSIGN_OR_RETURN(const Json json, Parse(text, "request id"));
  RequestIdRecord r;
  Fields f(json, "request id");
  f.Get("job_id", &r.job_id);
  f.Get("spec_digest", &r.spec_digest);
  f.Get("unix_nanos", &r.unix_nanos);
  f.Require("job_id", r.job_id);
  SWAGE_RETURN_IF_ERROR(f.status());
  return r;
}

StatusOr<ActionRecord> ActionRecordFromJson(std::string_view text) {
  SWAGE_ASSIGN_OR_RETURN(const Json json, Parse(text, "action"));
  ActionRecord r;
  Fields f(json, "action");
  f.Get("artifact", &r.artifact);
  f.Get("job", &r.job);
  f.Get("unix_nanos", &r.unix_nanos);
  f.Require("artifact", r.artifact);
  SWAGE_RETURN_IF_ERROR(f.status());
  return r;
}

StatusOr<TenantRecord> TenantRecordFromJson(std::string_view text) {
  SWAGE_ASSIGN_OR_RETURN(const Json json, Parse(text, "tenant"));
  TenantRecord r;
  Fields f(json, "tenant");
  f.Get("tenant", &r.tenant);
  f.Get("weight", &r.weight);
  f.Get("max_running", &r.max_running);
  f.Get("max_host_bytes", &r.max_host_bytes);
  f.Get("max_device_bytes", &r.max_device_bytes);
  f.Get("max_queued", &r.max_queued);
  f.Get("slots", &r.slots);
  f.Get("host_bytes", &r.host_bytes);
  f.Get("device_bytes", &r.device_bytes);
  f.Get("usage_unix_nanos", &r.usage_unix_nanos);
  f.Require("tenant", r.tenant);
  SWAGE_RETURN_IF_ERROR(f.status());
  return r;
}

StatusOr<WorkerRecord> WorkerRecordFromJson(std::string_view text) {
  SWAGE_ASSIGN_OR_RETURN(const Json json, Parse(text, "worker"));
  WorkerRecord r;
  Fields f(json, "worker");
  f.Get("worker_id", &r.worker_id);
  f.Get("drain", &r.drain);
  f.Get("cordoned", &r.cordoned);
  f.Require("worker_id", r.worker_id);
  SWAGE_RETURN_IF_ERROR(f.status());
  return r;
}

StatusOr<LoadRecord> LoadRecordFromJson(std::string_view text) {
  SWAGE_ASSIGN_OR_RETURN(const Json json, Parse(text, "load"));
  LoadRecord r;
  Fields f(json, "load");
  f.Get("queued", &r.queued);
  f.Get("limit", &r.limit);
  SWAGE_RETURN_IF_ERROR(f.status());
  return r;
}

}  // namespace swage
