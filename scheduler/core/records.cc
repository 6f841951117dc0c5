#include "scheduler/core/records.h"

#include "base/text.h"

namespace swage {

std::string_view JobStateName(JobState state) {
  switch (state) {
    case JobState::kQueued: return "QUEUED";
    case JobState::kStarting: return "STARTING";
    case JobState::kRunning: return "RUNNING";
    case JobState::kFinalizing: return "FINALIZING";
    case JobState::kPaused: return "PAUSED";
    case JobState::kCancelling: return "CANCELLING";
    case JobState::kSucceeded: return "SUCCEEDED";
    case JobState::kFailed: return "FAILED";
    case JobState::kCancelled: return "CANCELLED";
  }
  return "";
}

bool IsFinal(JobState state) {
  return state == JobState::kSucceeded || state == JobState::kFailed ||
         state == JobState::kCancelled;
}

std::string JobKey(std::string_view tenant, std::string_view id) {
  return Cat(tenant, "/job/", id);
}
std::string RequestIdKey(std::string_view tenant, std::string_view request_id) {
  return Cat(tenant, "/rid/", request_id);
}
std::string RequestKey(std::string_view tenant, std::string_view unique) {
  return Cat(tenant, "/request/", unique);
}
std::string JobStream(std::string_view tenant, std::string_view id) {
  return Cat(tenant, "/job/", id);
}
std::string SpecKey(std::string_view tenant, std::string_view id) {
  return Cat(tenant, "/spec/", id);
}
std::string PlanKey(std::string_view tenant, std::string_view digest) {
  return Cat(tenant, "/plan/", digest);
}
std::string ActionKey(std::string_view tenant, std::string_view action_key) {
  return Cat(tenant, "/action/", action_key);
}
std::string TenantKey(std::string_view tenant) { return Cat("-/tenant/", tenant); }
std::string WorkerKey(std::string_view worker_id) { return Cat("-/worker/", worker_id); }

KeyParts SplitKey(std::string_view key) {
  const size_t first = key.find('/');
  if (first == std::string_view::npos) return {};
  const size_t second = key.find('/', first + 1);
  if (second == std::string_view::npos) return {};
  return {key.substr(0, first), key.substr(first + 1, second - first - 1), key.substr(second + 1)};
}

}  // namespace swage
