// AdminService for the commands: plain structs outside, gRPC inside. Not thread-safe. Of several schedulers the one
// that leads is found; while none does, as during a takeover, it is waited for.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "clients/cli/admin_view.h"

namespace swage {

struct AdminClientOptions {
  // Of the scheduler, or of several, separated by commas; asked when the client is first used.
  std::function<StatusOr<std::string>()> addresses;
  int patience_ms = 15000;  // how long a leader is looked for; a takeover is over within 10 s
};

class AdminClient {
 public:
  explicit AdminClient(AdminClientOptions options);
  ~AdminClient();

  StatusOr<std::vector<WorkerEntry>> Workers();
  StatusOr<QueueView> Queue(const std::string& tenant, int limit);  // "" = all tenants; 0 = no job one by one
  StatusOr<ExplanationView> Explain(const std::string& tenant, const std::string& job);
  Status Drain(const std::string& worker_id, bool drain, bool evict);
  Status Cordon(const std::string& worker_id, const std::string& device, const std::string& reason);  // "" = undo
  StatusOr<std::vector<TenantEntry>> Tenants();
  StatusOr<TenantEntry> SetTenant(const TenantEntry& tenant);  // of its settings; the rest is not looked at
  StatusOr<StatsView> Stats();
  StatusOr<TopView> Top();
  // The pieces as they come. After an error part of it may have been given.
  Status Snapshot(const std::function<Status(std::string_view)>& piece);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace swage
