// Records as JSON; the form is in docs/formats/state.md.
#include "scheduler/core/records.h"

#include <cmath>

#include "nlohmann/json.hpp"

namespace swage {
namespace {

using Json = nlohmann::json;

constexpr JobState kAllStates[] = {
    JobState::kQueued,     JobState::kStarting, JobState::kRunning,
    JobState::kFinalizing, JobState::kPaused,   JobState::kCancelling,
    JobState::kSucceeded,  JobState::kFailed,   JobState::kCancelled};

// Reads fields by name. An absent field keeps its default (a record written by an older version),
// an unknown one is skipped (written by a newer one), a field of another type makes the whole
// record an error.
class Fields {
 public:
  Fields(const Json& json, std::string_view what) : json_(json), what_(what) {
    if (!json.is_object()) Fail("", "is not an object");
  }

  void Get(const char* name, std::string* out) {
    if (const Json* v = Find(name); v != nullptr) {
      if (!v->is_string()) return Fail(name, "is not a string");
      *out = v->get_ref<const std::string&>();
    }
  }
  void Get(const char* name, uint64_t* out) {
    if (const Json* v = Find(name); v != nullptr) {
      if (!v->is_number_unsigned()) return Fail(name, "is not an unsigned integer");
      *out = v->get<uint64_t>();
    }
  }
  void Get(const char* name, int64_t* out) {
    if (const Json* v = Find(name); v != nullptr) {
      const bool fits =
          v->is_number_integer() && (!v->is_number_unsigned() || v->get<uint64_t>() <= INT64_MAX);
      if (!fits) return Fail(name, "is not a 64-bit integer");
      *out = v->get<int64_t>();
    }
  }
  void Get(const char* name, int* out) {
    int64_t wide = *out;
    Get(name, &wide);
    if (wide < INT32_MIN || wide > INT32_MAX) return Fail(name, "is out of range");
    *out = static_cast<int>(wide);
  }
  void Get(const char* name, double* out) {
    if (const Json* v = Find(name); v != nullptr) {
      if (!v->is_number()) return Fail(name, "is not a number");
      *out = v->get<double>();
    }
  }
  void Get(const char* name, bool* out) {
    if (const Json* v = Find(name); v != nullptr) {
      if (!v->is_boolean()) return Fail(name, "is not a boolean");
      *out = v->get<bool>();
    }
  }
  void Get(const char* name, std::map<std::string, std::string>* out) {
    const Json* v = Find(name);
    if (v == nullptr) return;
    if (!v->is_object()) return Fail(name, "is not an object");
    for (const auto& [key, value] : v->items()) {
      if (!value.is_string()) return Fail(name, "has a value that is not a string");
      (*out)[key] = value.get_ref<const std::string&>();
    }
  }
  void Get(const char* name, JobState* out) {
    std::string text;
    Get(name, &text);
    for (JobState state : kAllStates) {
      if (JobStateName(state) == text) {
        *out = state;
        return;
      }
    }
    Fail(name, "is not a state");
  }
  const Json* Find(const char* name) {
    if (!json_.is_object()) return nullptr;
    auto it = json_.find(name);
    return it == json_.end() ? nullptr : &*it;
  }
  void Require(const char* name, const std::string& value) {
    if (value.empty()) Fail(name, "is missing");
  }
  void Fail(const char* name, std::string_view problem) {
    if (!status_.ok()) return;
    status_ =
        DataLoss("RECORD_MALFORMED", Cat("a ", what_, " record's field '", name, "' ", problem),
                 "restore the state file from a backup; it was not written by this program");
  }
  void Adopt(const Status& status) {
    if (status_.ok()) status_ = status;
  }
  const Status& status() const { return status_; }

 private:
  const Json& json_;
  std::string_view what_;
  Status status_;
};

// Nothing here comes unchecked from outside, but a message can carry bytes that are not UTF-8: they
// are replaced.
std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

StatusOr<Json> Parse(std::string_view text, std::string_view what) {
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) {
    return DataLoss("RECORD_MALFORMED", Cat("a ", what, " record is not a JSON object"),
                    "restore the state file from a backup; it was not written by this program");
  }
  return json;
}

double Finite(double value, double otherwise) { return std::isfinite(value) ? value : otherwise; }

Json Of(const JobToken& t) {
  return {{"incarnation", t.incarnation}, {"epoch", t.epoch}, {"random", t.random}};
}

Json Of(const ProgressRecord& p) {
  return {{"stage", p.stage},
          {"message", p.message},
          {"fraction", Finite(p.fraction, 0)},
          {"eta_seconds", Finite(p.eta_seconds, -1)},
          {"peak_bytes", p.peak_bytes}};
}

Json Of(const AttemptRecord& a) {
  return {{"epoch", a.epoch},
          {"worker", a.worker},
          {"start_unix_nanos", a.start_unix_nanos},
          {"end_unix_nanos", a.end_unix_nanos},
          {"reason", a.reason},
          {"message", a.message},
          {"last_stage", a.last_stage}};
}

Json Of(const AdmittedJob& j) {
  return {{"id", j.id},
          {"tenant", j.tenant},
          {"model", j.model},
          {"model_digest", j.model_digest},
          {"recipe_yaml", j.recipe_yaml},
          {"recipe_json", j.recipe_json},
          {"files", j.files},
          {"inputs_artifact", j.inputs_artifact},
          {"output_alias", j.output_alias},
          {"labels", j.labels},
          {"priority", j.priority},
          {"peak_host_bytes", j.peak_host_bytes},
          {"estimated_seconds", Finite(j.estimated_seconds, 0)},
          {"create_unix_nanos", j.create_unix_nanos},
          {"traceparent", j.traceparent},
          {"plan_json", j.plan_json}};
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

Status Read(const Json& json, AdmittedJob* j) {
  Fields f(json, "job");
  f.Get("id", &j->id);
  f.Get("tenant", &j->tenant);
  f.Get("model", &j->model);
  f.Get("model_digest", &j->model_digest);
  f.Get("recipe_yaml", &j->recipe_yaml);
  f.Get("recipe_json", &j->recipe_json);
  f.Get("files", &j->files);
  f.Get("inputs_artifact", &j->inputs_artifact);
  f.Get("output_alias", &j->output_alias);
  f.Get("labels", &j->labels);
  f.Get("priority", &j->priority);
  f.Get("peak_host_bytes", &j->peak_host_bytes);
  f.Get("estimated_seconds", &j->estimated_seconds);
  f.Get("create_unix_nanos", &j->create_unix_nanos);
  f.Get("traceparent", &j->traceparent);
  f.Get("plan_json", &j->plan_json);
  f.Require("id", j->id);
  f.Require("tenant", j->tenant);
  return f.status();
}

template <typename T>
void Nested(Fields* fields, const char* name, T* out) {
  if (const Json* v = fields->Find(name); v != nullptr) fields->Adopt(Read(*v, out));
}

}  // namespace

std::string ToJson(const JobRecord& r) {
  Json attempts = Json::array();
  for (const AttemptRecord& a : r.attempts) attempts.push_back(Of(a));
  return Dump({{"job", Of(r.job)},
               {"state", JobStateName(r.state)},
               {"reason", r.reason},
               {"message", r.message},
               {"pending_reason", r.pending_reason},
               {"epoch", r.epoch},
               {"token", Of(r.token)},
               {"worker", r.worker},
               {"worker_boot", r.worker_boot},
               {"reserved_bytes", r.reserved_bytes},
               {"learned_bytes", r.learned_bytes},
               {"user_failures", r.user_failures},
               {"infra_losses", r.infra_losses},
               {"not_before_unix_nanos", r.not_before_unix_nanos},
               {"start_unix_nanos", r.start_unix_nanos},
               {"end_unix_nanos", r.end_unix_nanos},
               {"progress", Of(r.progress)},
               {"attempts", attempts},
               {"artifact", r.artifact}});
}

std::string ToJson(const JobEventRecord& r) {
  return Dump({{"kind", r.kind},
               {"unix_nanos", r.unix_nanos},
               {"state", JobStateName(r.state)},
               {"reason", r.reason},
               {"message", r.message},
               {"artifact", r.artifact},
               {"epoch", r.epoch},
               {"progress", Of(r.progress)}});
}

std::string ToJson(const Request& r) {
  Json json = {{"kind", r.kind}, {"tenant", r.tenant}, {"job_id", r.job_id}, {"reason", r.reason}};
  if (r.kind == "create") json["job"] = Of(r.job);
  return Dump(json);
}

std::string ToJson(const RequestIdRecord& r) {
  return Dump({{"job_id", r.job_id}, {"spec_digest", r.spec_digest}, {"unix_nanos", r.unix_nanos}});
}

std::string ToJson(const WorkerRecord& r) {
  return Dump({{"worker_id", r.worker_id}, {"drain", r.drain}});
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
  f.Get("worker", &r.worker);
  f.Get("worker_boot", &r.worker_boot);
  f.Get("reserved_bytes", &r.reserved_bytes);
  f.Get("learned_bytes", &r.learned_bytes);
  f.Get("user_failures", &r.user_failures);
  f.Get("infra_losses", &r.infra_losses);
  f.Get("not_before_unix_nanos", &r.not_before_unix_nanos);
  f.Get("start_unix_nanos", &r.start_unix_nanos);
  f.Get("end_unix_nanos", &r.end_unix_nanos);
  Nested(&f, "progress", &r.progress);
  f.Get("artifact", &r.artifact);
  if (const Json* attempts = f.Find("attempts"); attempts != nullptr) {
    if (!attempts->is_array()) f.Fail("attempts", "is not an array");
    for (const Json& a : *attempts) f.Adopt(Read(a, &r.attempts.emplace_back()));
  }
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
  if (r.kind == "create") {
    if (f.Find("job") == nullptr) f.Fail("job", "is missing");
    Nested(&f, "job", &r.job);
  }
  f.Require("kind", r.kind);
  f.Require("tenant", r.tenant);
  f.Require("job_id", r.job_id);
  SWAGE_RETURN_IF_ERROR(f.status());
  return r;
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

StatusOr<WorkerRecord> WorkerRecordFromJson(std::string_view text) {
  SWAGE_ASSIGN_OR_RETURN(const Json json, Parse(text, "worker"));
  WorkerRecord r;
  Fields f(json, "worker");
  f.Get("worker_id", &r.worker_id);
  f.Get("drain", &r.drain);
  f.Require("worker_id", r.worker_id);
  SWAGE_RETURN_IF_ERROR(f.status());
  return r;
}

}  // namespace swage
