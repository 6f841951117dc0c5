#include "tests/sim/operator.h"

#include <utility>

namespace swage::sim {
namespace {

constexpr int64_t kOperatorLook = 5 * kSecond;
constexpr double kUncordons = 0.1;  // at each look, while faults go on

}  // namespace

SimOperator::SimOperator(World* world, std::function<std::shared_ptr<SimScheduler>()> leader)
    : world_(world), rng_(world->Stream("operator")), leader_(std::move(leader)) {}

void SimOperator::Start() { Look(); }

void SimOperator::DrainFor(const std::string& worker, bool evict, int64_t nanos) {
  drains_[worker] = evict;
  world_->After(nanos, [this, worker] { drains_.erase(worker); });
}

void SimOperator::Look() {
  if (const auto leader = leader_(); leader != nullptr) {
    SeeToTenants(leader.get());
    SeeToWorkers(leader.get());
  }
  world_->After(kOperatorLook, [this] { Look(); });
}

void SimOperator::SeeToTenants(SimScheduler* leader) {
  std::map<std::string, TenantRecord> known;
  for (const TenantView& view : leader->core()->Tenants({world_->now(), world_->now()}))
    known[view.settings.tenant] = view.settings;
  for (const TenantShape& wanted : Tenants()) {
    TenantRecord settings = known[wanted.name];
    if (settings.weight == wanted.weight && settings.max_running == wanted.max_running) continue;
    settings.tenant = wanted.name;
    settings.weight = wanted.weight;
    settings.max_running = wanted.max_running;
    leader->Command([settings](Core* core, Now now) { (void)core->SetTenant(settings, now); });
  }
}

void SimOperator::SeeToWorkers(SimScheduler* leader) {
  for (const WorkerView& view : leader->core()->Workers()) {
    const auto drain = drains_.find(view.worker_id);
    const bool wanted = drain != drains_.end(), evict = wanted && drain->second;
    if (view.draining != wanted) {
      leader->Command([id = view.worker_id, wanted, evict](Core* core, Now now) {
        (void)core->SetDrain(id, wanted, evict, now);
      });
    }
    for (const DeviceReport& device : view.devices) {
      if (!StartsWith(device.problem, "cordoned")) continue;
      if (world_->faults() && !Chance(&rng_, kUncordons)) continue;
      leader->Command([id = view.worker_id, name = device.id](Core* core, Now now) {
        (void)core->SetCordon(id, name, "", now);
      });
    }
  }
}

}  // namespace swage::sim
