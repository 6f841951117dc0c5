// Jobs as the CLI sees them, and their two outward forms: text and JSON (docs/cli.md). No gRPC here.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace swage {

struct ProgressView {
  std::string stage, message;
  double fraction = 0, eta_seconds = -1;
  uint64_t peak_bytes = 0;
};

struct AttemptView {
  uint64_t epoch = 0;
  std::string worker, reason, message, last_stage;
  int64_t start_unix_nanos = 0, end_unix_nanos = 0;
};

struct PlanView {
  struct Module {
    std::string module, weights, activations;
  };
  std::vector<Module> modules;
  std::vector<std::string> kept_dense, stages;
  uint64_t peak_host_bytes = 0, artifact_bytes = 0;
  double seconds = 0, bits_per_weight = 0;
  std::string recipe_json;
};

struct JobView {
  std::string name, tenant, model, model_digest, state, reason, message, pending_reason;
  std::string artifact, artifact_alias, trace_id, recipe_json;
  std::map<std::string, std::string> labels;
  std::vector<std::string> after;  // jobs that it waits for
  int priority = 0, evictions = 0;
  bool shared_result = false;      // an equal job had made the artifact before
  int64_t create_unix_nanos = 0, start_unix_nanos = 0, end_unix_nanos = 0;
  ProgressView progress;
  std::vector<AttemptView> attempts;
  PlanView plan;
  uint64_t last_sequence = 0;
};

struct EventView {
  uint64_t sequence = 0, epoch = 0;
  int64_t unix_nanos = 0;
  std::string kind, state, reason, message, artifact;
  ProgressView progress;
};

bool IsFinalState(std::string_view state);

// "01h..." or "jobs/01h..." -> "jobs/01h..."; INVALID_ARGUMENT/BAD_JOB_NAME.
StatusOr<std::string> JobName(const std::string& text);

std::string ToJson(const JobView& job);
std::string ToJson(const EventView& event);
std::string ToJson(const PlanView& plan);
std::string ToJson(const std::vector<JobView>& jobs);

std::string JobText(const JobView& job);    // several lines
std::string PlanText(const PlanView& plan);
std::string JobsTable(const std::vector<JobView>& jobs);

// A job that ended FAILED or CANCELLED, as an error to show: its message, its reason.
Status JobFailure(const JobView& job);

}  // namespace swage
