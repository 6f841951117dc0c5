// Clients and the control planes that they call, in simulated time. The control plane's own code
// (services/control/directory.h) writes the requests. A client that hears nothing, or of an error,
// calls again with the same request_id, perhaps another control plane.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "services/control/directory.h"
#include "tests/sim/checker.h"
#include "tests/sim/network.h"
#include "tests/sim/sim_state.h"
#include "tests/sim/workload.h"

namespace swage::sim {

class SimControl {  // one process; it has no state of its own
 public:
  SimControl(World* world, SimState* state, NodeId node, const std::string& name);
  NodeId node() const { return node_; }
  SimClock& clock() { return clock_; }

  // The id of the job, a new one or the one that this request_id had made.
  StatusOr<std::string> Submit(int job, AdmittedJob admitted);
  Status Act(const std::string& kind, const std::string& tenant, const std::string& id);

 private:
  const NodeId node_;
  SimClock clock_;
  Rng rng_;
  JobDirectory directory_;
};

class SimClients {
 public:
  SimClients(World* world, Network* network, Checker* checker, NodeId node,
             std::vector<std::unique_ptr<SimControl>>* controls, const Workload* workload);

  void Do(const ClientAct& act);
  void Ask(const std::string& kind, const std::string& tenant, const std::string& id,
           int attempt = 0);

 private:
  void Submit(int job, int attempt);
  std::optional<AdmittedJob> Admit(int job) const;  // none: it names a job whose id is not known yet

  World* const world_;
  Network* const network_;
  Checker* const checker_;
  const NodeId node_;
  std::vector<std::unique_ptr<SimControl>>* const controls_;
  const Workload* const workload_;
  std::vector<std::string> ids_;  // by job; "": not told yet
};

}  // namespace swage::sim
