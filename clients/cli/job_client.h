// JobService for the commands: plain structs outside, gRPC inside. Not thread-safe.
// Every call has a deadline. A server that is restarted is waited for: calls that may be repeated are, with back-off.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/telemetry/trace.h"
#include "clients/cli/job_view.h"

namespace swage {

struct Submission {
  std::string model, recipe_yaml, output_alias;
  std::map<std::string, std::string> files;  // path as written in the recipe -> object, 64 hex digits
  std::map<std::string, std::string> labels;
  int priority = 0;
  bool skip_cache = false;  // run it even when an equal job has been done
  bool never_preempt = false;
  std::vector<std::string> after;  // jobs that must have succeeded before
  // What the estimate does not say; 0 and "": by the estimate, no device, any worker, one worker.
  uint64_t memory_bytes = 0, device_bytes = 0;
  std::string device_kind;
  int devices = 0, gang = 0;
  std::vector<std::string> features;
};

struct ServerInfoView {
  std::string version, address;
  std::string store_address, scheduler_address;  // complete: the address that answered where the server says none
};

struct JobClientOptions {
  std::function<StatusOr<std::string>()> address;  // asked again after a cut: a restarted server may have another
  std::string tenant;
  SpanContext trace;
  int connect_ms = 1000;   // how long a server that has not answered yet is tried
  int away_ms = 120000;    // how long one that has answered may be away
};

struct WatchCallbacks {
  std::function<void(const EventView&)> event;
  std::function<void(const Status&)> away;  // once for each absence
  std::function<void()> back;
};

class JobClient {
 public:
  explicit JobClient(JobClientOptions options);
  ~JobClient();

  StatusOr<ServerInfoView> ServerInfo();
  // `request_id` must not be empty: it is what makes the call repeatable.
  StatusOr<JobView> Create(const Submission& submission, const std::string& request_id);
  StatusOr<PlanView> Validate(const Submission& submission);
  StatusOr<JobView> Get(const std::string& name);
  StatusOr<std::vector<JobView>> List(int limit, bool newest_first = false);
  enum class Action { kCancel, kPause, kResume, kRetry };
  StatusOr<JobView> Act(Action action, const std::string& name);
  Status Delete(const std::string& name);
  // Events after `after_sequence`, each once and in order, across cuts and restarts; returns the job in its final
  // state. UNAVAILABLE/SERVER_AWAY when the server stays away: the job itself is not harmed by that.
  StatusOr<JobView> Watch(const std::string& name, uint64_t after_sequence, const WatchCallbacks& callbacks);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace swage
