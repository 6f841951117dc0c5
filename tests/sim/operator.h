// The operator of a cluster in simulated time: sees to it that tenants have their weights and
// limits, empties workers, and takes devices back into service. What a failover forgets is ordered
// again.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "tests/sim/sim_scheduler.h"
#include "tests/sim/workload.h"

namespace swage::sim {

class SimOperator {
 public:
  SimOperator(World* world, std::function<std::shared_ptr<SimScheduler>()> leader);
  void Start();
  void DrainFor(const std::string& worker, bool evict, int64_t nanos);
  void Calm() { drains_.clear(); }  // the end of all faults; from now on nothing stays cordoned

 private:
  void Look();
  void SeeToTenants(SimScheduler* leader);
  void SeeToWorkers(SimScheduler* leader);

  World* const world_;
  Rng rng_;
  const std::function<std::shared_ptr<SimScheduler>()> leader_;
  std::map<std::string, bool> drains_;  // worker, with eviction
};

}  // namespace swage::sim
