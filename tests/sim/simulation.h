// One history: clients, schedulers, workers and stores under faults (the safety phase), then
// without (the liveness phase: everything must end, and all that workers have must be free again).
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/faults.h"
#include "tests/sim/replay.h"
#include "tests/sim/workload.h"
#include "tests/sim/world.h"

namespace swage::sim {

struct SimResult;

struct SimOptions {
  uint64_t seed = 1;
  double hours = 0.1;  // of simulated time with faults
  FaultProfile profile = FaultProfile::kHeavy;
  double jobs_per_hour = 1200;
  bool traced = false;
  // Instead of what the seed draws.
  std::optional<Workload> workload;
  std::shared_ptr<const Snapshot> snapshot;
  // A part of what the seed draws, for a history that is repeated with less.
  std::optional<std::vector<Fault>> faults;
  std::optional<std::vector<ClientAct>> acts;
  // A rule of a test's own, looked at when all is over: true is a violation of "planted".
  std::function<bool(const SimResult&)> planted_rule;
};

struct SimResult {
  Violation violation;  // empty: all invariants held
  uint64_t jobs = 0, faults = 0, disturbed_messages = 0, steps = 0;
  uint64_t succeeded = 0, failed = 0, cancelled = 0;
  uint64_t lost_writes = 0, vanished = 0;  // by failovers: acknowledged writes, accepted jobs
  uint64_t preemptions = 0, gangs = 0, shared = 0;  // gangs: times that one was started
  std::map<std::string, double> slot_seconds;       // by tenant, of the safety phase
  std::map<std::string, std::string> ends;          // by job: how it ended, and where it began
  int64_t nanos = 0, quiet_nanos = 0;      // simulated: of all, of the liveness phase
  std::deque<std::string> trace;           // the last lines, when traced
  std::vector<Fault> injected;             // what happened of the plan
  std::vector<ClientAct> acts;
  Workload workload;
};

SimResult Simulate(const SimOptions& options);

}  // namespace swage::sim
