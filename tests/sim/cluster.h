// The machines of one history and what runs on them: up to three schedulers under a supervisor that
// starts them again, two control planes, both stores, workers of different sizes, and the clients.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/sim/checker.h"
#include "tests/sim/network.h"
#include "tests/sim/operator.h"
#include "tests/sim/replay.h"
#include "tests/sim/sim_artifacts.h"
#include "tests/sim/sim_control.h"
#include "tests/sim/sim_scheduler.h"
#include "tests/sim/sim_state.h"
#include "tests/sim/sim_worker.h"
#include "tests/sim/workload.h"

namespace swage::sim {

struct Machine {  // that a scheduler runs on
  SchedulerPlace place;
  std::unique_ptr<SimClock> clock;
  std::shared_ptr<SimScheduler> process;
  uint64_t starts = 0;
};

class Cluster {
 public:
  // With a snapshot: the workers that it had, and a state store that holds what it tells.
  Cluster(World* world, const Workload* workload, const Snapshot* snapshot);
  void Start();
  void Calm();  // the end of all faults

  World& world() { return *world_; }
  Network& network() { return network_; }
  Checker& checker() { return checker_; }
  SimState& state() { return *state_; }
  SimArtifacts& artifacts() { return *artifacts_; }
  SimClients& clients() { return *clients_; }
  SimOperator& op() { return *operator_; }
  std::vector<Machine>& machines() { return machines_; }
  std::vector<std::unique_ptr<SimControl>>& controls() { return controls_; }
  std::vector<std::unique_ptr<SimWorker>>& workers() { return workers_; }
  const std::vector<WorkerShape>& shapes() const { return shapes_; }
  int64_t lease_nanos() const { return options_.lease_ms * kMillisecond; }
  std::shared_ptr<SimScheduler> Leader();  // one that believes it leads; null: none

 private:
  void AddWorkers(const Workload* workload, const Snapshot* snapshot);
  void DrawOptions(const Snapshot* snapshot);
  WorkerShape DrawWorker(int number);
  void StartScheduler(Machine* machine);
  void Supervise(size_t machine);

  World* const world_;
  Rng rng_;
  Network network_;
  Checker checker_;
  CoreOptions options_;
  std::unique_ptr<SimState> state_;
  std::unique_ptr<SimArtifacts> artifacts_;
  std::vector<Machine> machines_;
  std::vector<std::unique_ptr<SimControl>> controls_;
  std::unique_ptr<SimClients> clients_;
  std::unique_ptr<SimOperator> operator_;
  std::vector<WorkerShape> shapes_;
  std::vector<std::unique_ptr<SimWorker>> workers_;
};

}  // namespace swage::sim
