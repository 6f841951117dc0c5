// What is in the state store, and under which key. Values are JSON. Control writes requests only;
// the leader writes everything else. Shared by control (which reads job records to answer) and the
// scheduler.
//
//   <tenant>/rid/<request_id>   RequestId   by control, in one Apply with its create request
//   <tenant>/request/<ulid>     Request     by control; deleted by the leader once it is applied
//   <tenant>/job/<id>           JobRecord   by the leader
// Event streams: "requests" (value: the request's key; wakes the leader), "<tenant>/job/<id>"
// (value: JobEventRecord).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace swage {

struct JobToken {  // names one assignment; compared whole
  uint64_t incarnation = 0, epoch = 0, random = 0;
  bool operator==(const JobToken&) const = default;
};

enum class JobState {
  kQueued = 1,
  kStarting,
  kRunning,
  kFinalizing,
  kPaused,
  kCancelling,
  kSucceeded,
  kFailed,
  kCancelled
};
std::string_view JobStateName(JobState state);
bool IsFinal(JobState state);

struct ProgressRecord {
  std::string stage, message;
  double fraction = 0, eta_seconds = -1;
  uint64_t peak_bytes = 0;
};

struct AttemptRecord {
  uint64_t epoch = 0;
  std::string worker;
  int64_t start_unix_nanos = 0, end_unix_nanos = 0;  // end 0: running
  std::string reason, message, last_stage;
};

// What was admitted; never changes afterwards.
struct AdmittedJob {
  std::string id, tenant;
  std::string model;         // as the client wrote it
  std::string model_digest;  // pinned, 64 hex
  std::string recipe_yaml, recipe_json;
  std::map<std::string, std::string> files;  // path in recipe -> object digest
  std::string inputs_artifact;               // pins the files; "" when there are none
  std::string output_alias;
  std::map<std::string, std::string> labels;
  int priority = 0;
  uint64_t peak_host_bytes = 0;
  double estimated_seconds = 0;
  int64_t create_unix_nanos = 0;
  std::string traceparent;  // of the client's call; every attempt is in this trace
  std::string plan_json;    // serialised swage.v1.Plan as JSON, for display
};

struct JobRecord {
  AdmittedJob job;
  JobState state = JobState::kQueued;
  std::string reason, message, pending_reason;
  uint64_t epoch = 0;                       // of the last assignment
  JobToken token;                           // of the current assignment; zero when none
  std::string worker;                       // of the current assignment
  int user_failures = 0, infra_losses = 0;  // budgets used
  int64_t not_before_unix_nanos = 0;        // back-off
  int64_t start_unix_nanos = 0, end_unix_nanos = 0;
  ProgressRecord progress;
  std::vector<AttemptRecord> attempts;  // the last 20
  std::string artifact;                 // decided by finish (FINALIZING), published when SUCCEEDED
  std::string worker_boot;              // boot of `worker` that was given the assignment
  uint64_t reserved_bytes = 0;          // of the worker's memory, by the current or last assignment
  uint64_t learned_bytes = 0;  // what earlier attempts showed it to need, when more than estimated
};

struct JobEventRecord {
  std::string kind;  // "state" | "progress" | "attempt"
  int64_t unix_nanos = 0;
  JobState state = JobState::kQueued;
  std::string reason, message, artifact;
  uint64_t epoch = 0;
  ProgressRecord progress;
};

struct Request {
  std::string kind;  // create | cancel | pause | resume | retry | delete
  std::string tenant, job_id, reason;
  AdmittedJob job;  // for create
};

struct RequestIdRecord {
  std::string job_id;
  std::string spec_digest;  // SHA-256 of the canonical spec: the same request, or another one
  int64_t unix_nanos = 0;
};

std::string ToJson(const JobRecord& record);
std::string ToJson(const JobEventRecord& record);
std::string ToJson(const Request& record);
std::string ToJson(const RequestIdRecord& record);
StatusOr<JobRecord> JobRecordFromJson(std::string_view json);
StatusOr<JobEventRecord> JobEventFromJson(std::string_view json);
StatusOr<Request> RequestFromJson(std::string_view json);
StatusOr<RequestIdRecord> RequestIdFromJson(std::string_view json);

std::string JobKey(std::string_view tenant, std::string_view id);
std::string RequestIdKey(std::string_view tenant, std::string_view request_id);
std::string RequestKey(std::string_view tenant, std::string_view unique);
std::string JobStream(std::string_view tenant, std::string_view id);
inline constexpr std::string_view kRequestStream = "requests";

// What an operator wants of a worker; outlives the leader. Key "-/worker/<id>" ("-" is no tenant's
// name).
struct WorkerRecord {
  std::string worker_id;
  bool drain = false;
};
std::string ToJson(const WorkerRecord& record);
StatusOr<WorkerRecord> WorkerRecordFromJson(std::string_view json);
std::string WorkerKey(std::string_view worker_id);

// "<tenant>/<kind>/<name>" taken apart; all empty when it is not of that form.
struct KeyParts {
  std::string_view tenant, kind, name;
};
KeyParts SplitKey(std::string_view key);

}  // namespace swage
