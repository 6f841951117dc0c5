// What is in the state store, and under which key. Values are JSON (docs/formats/state.md). Control
// writes requests, request ids, specs and plans; the leader writes everything else. Shared by control
// (which reads job records to answer) and the scheduler.
//
//   <tenant>/rid/<request_id>   RequestIdRecord  by control, in one Apply with its create request
//   <tenant>/request/<ulid>     Request          by control; deleted by the leader once it is applied
//   <tenant>/spec/<id>          SpecRecord       by control with the create request; never changes
//   <tenant>/plan/<digest>      text             by control, for display; shared by equal plans
//   <tenant>/job/<id>           JobRecord        by the leader; small, as it is rewritten often
//   <tenant>/action/<key>       ActionRecord     by the leader: which artifact an action made
//   -/tenant/<tenant>           TenantRecord     by the leader: weight, quota, decayed usage
//   -/worker/<id>               WorkerRecord     by the leader: what operators want of it
//   -/load/all                  LoadRecord       by the leader, once a second: how full the queue is
// ("-" is no tenant's name.)
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

// What one member of a job needs of a worker.
struct ShapeRecord {
  std::vector<std::string> methods;  // sorted; a worker must offer all
  uint64_t host_bytes = 0;
  std::string device_kind;    // "cuda" | "" (the host's memory is all it needs)
  int devices = 0;            // of that kind, per member
  uint64_t device_bytes = 0;  // on each of them
  // Every one must be among the worker's features, e.g. "sm_90", "numerics=avx512-bf16"; sorted.
  std::vector<std::string> features;
  int gang = 1;  // members, each on a worker of its own; all start together or none does
};

// What was admitted; never changes afterwards, but for model_digest where the model is another
// job's result.
struct AdmittedJob {
  std::string id, tenant;
  std::string model;         // as the client wrote it
  std::string model_digest;  // pinned, 64 hex; "" until the job it comes from has succeeded
  std::string model_job;     // id of the job whose result is the model, "" = none
  uint64_t model_bytes = 0;  // what a worker without it must fetch
  std::string output_alias;
  int priority = 0;
  bool preemptible = true;
  ShapeRecord shape;
  std::vector<std::string> after;  // ids of jobs that must have succeeded before
  std::string action_key;          // digest of everything that decides the result; "" = never shared
  std::string request_id;          // of the client's call, "" = none
  std::string plan_digest;
  double estimated_seconds = 0;
  int64_t create_unix_nanos = 0;
  std::string traceparent;  // of the client's call; every attempt is in this trace
};

// The bulky part of what was admitted, which no decision needs.
struct SpecRecord {
  std::string recipe_yaml, recipe_json;
  std::map<std::string, std::string> files;  // path in recipe -> object digest
  std::string inputs_artifact;               // pins the files; "" when there are none
  std::map<std::string, std::string> labels;
};

struct DeviceShare {
  std::string device;
  uint64_t bytes = 0;
  bool operator==(const DeviceShare&) const = default;
};

// One member's place in the present assignment.
struct MemberRecord {
  std::string worker, boot;          // boot of `worker` that was given the assignment
  std::vector<DeviceShare> devices;  // what is reserved for it
};

struct JobRecord {
  AdmittedJob job;
  JobState state = JobState::kQueued;
  std::string reason, message, pending_reason;
  uint64_t epoch = 0;                       // of the last assignment
  JobToken token;                           // of the current assignment; zero when none
  std::vector<MemberRecord> members;        // of the current assignment, by rank
  bool started = false;                     // all members were there: they may compute
  int user_failures = 0, infra_losses = 0;  // budgets used
  int crashes = 0;          // workers lost in a row while the job made no progress
  std::string crash_stage;  // where
  int evictions = 0;        // preempted so often
  int gang_failures = 0;    // start barriers missed, in a row
  int64_t not_before_unix_nanos = 0;  // back-off
  int64_t start_unix_nanos = 0, end_unix_nanos = 0;
  ProgressRecord progress;
  std::vector<AttemptRecord> attempts;  // the last 20
  std::string artifact;                 // decided by finish (FINALIZING), published when SUCCEEDED
  bool shared = false;        // `artifact` is another job's: the action had been done before
  std::string follows;        // id of the job that is doing the same; its result will be this one's
  std::string checkpoint;     // artifact a next attempt goes on from, "" = none
  uint64_t learned_bytes = 0;         // host bytes that earlier attempts showed it to need
  uint64_t learned_device_bytes = 0;  // on each device

  std::string_view worker() const { return members.empty() ? "" : std::string_view(members[0].worker); }
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
  std::string kind;  // cancel | pause | resume | retry | delete
  std::string tenant, job_id, reason;
};

// Which artifact an action has made: an equal job need not run.
struct ActionRecord {
  std::string artifact, job;
  int64_t unix_nanos = 0;
};

struct TenantRecord {
  std::string tenant;
  double weight = 1;             // 0.001 to 1000
  // Limits of what it may use at one time; 0 = none.
  int max_running = 0;
  uint64_t max_host_bytes = 0, max_device_bytes = 0;
  int max_queued = 0;            // 0 = limits::kQueuedJobsPerTenant
  // Usage that decays, as of `usage_unix_nanos`; see fair_share.h.
  double slots = 0, host_bytes = 0, device_bytes = 0;
  int64_t usage_unix_nanos = 0;
};

// How full the queue is, for control's admission. At most a second old while a leader lives.
struct LoadRecord {
  std::map<std::string, uint64_t> queued;  // by tenant; jobs that have not ended
  std::map<std::string, uint64_t> limit;   // by tenant, where it is not the default
};

struct RequestIdRecord {
  std::string job_id;
  std::string spec_digest;  // SHA-256 of the canonical spec: the same request, or another one
  int64_t unix_nanos = 0;
};

// What an operator wants of a worker; outlives the leader.
struct WorkerRecord {
  std::string worker_id;
  bool drain = false;
  std::map<std::string, std::string> cordoned;  // device -> why; nothing new is put there
};

std::string ToJson(const JobRecord& record);
std::string ToJson(const SpecRecord& record);
std::string ToJson(const JobEventRecord& record);
std::string ToJson(const Request& record);
std::string ToJson(const RequestIdRecord& record);
std::string ToJson(const ActionRecord& record);
std::string ToJson(const TenantRecord& record);
std::string ToJson(const WorkerRecord& record);
std::string ToJson(const LoadRecord& record);
StatusOr<JobRecord> JobRecordFromJson(std::string_view json);
StatusOr<SpecRecord> SpecRecordFromJson(std::string_view json);
StatusOr<JobEventRecord> JobEventFromJson(std::string_view json);
StatusOr<Request> RequestFromJson(std::string_view json);
StatusOr<RequestIdRecord> RequestIdFromJson(std::string_view json);
StatusOr<ActionRecord> ActionRecordFromJson(std::string_view json);
StatusOr<TenantRecord> TenantRecordFromJson(std::string_view json);
StatusOr<WorkerRecord> WorkerRecordFromJson(std::string_view json);
StatusOr<LoadRecord> LoadRecordFromJson(std::string_view json);

std::string JobKey(std::string_view tenant, std::string_view id);
std::string SpecKey(std::string_view tenant, std::string_view id);
std::string PlanKey(std::string_view tenant, std::string_view digest);
std::string ActionKey(std::string_view tenant, std::string_view action_key);
std::string RequestIdKey(std::string_view tenant, std::string_view request_id);
std::string RequestKey(std::string_view tenant, std::string_view unique);
std::string JobStream(std::string_view tenant, std::string_view id);
std::string WorkerKey(std::string_view worker_id);
std::string TenantKey(std::string_view tenant);
inline constexpr std::string_view kLoadKey = "-/load/all";
inline constexpr std::string_view kRequestStream = "requests";

// "<tenant>/<kind>/<name>" taken apart; all empty when it is not of that form.
struct KeyParts {
  std::string_view tenant, kind, name;
};
KeyParts SplitKey(std::string_view key);

}  // namespace swage
