// Which faults a round has. Drawn from the seed alone, so that a seed gives the same faults again (what they meet
// depends on the machine).
#pragma once

#include <string>
#include <vector>

#include "base/rng.h"

namespace swage::chaos {

struct Fault {
  enum class Kind { kKill, kStop, kRpc } kind = Kind::kKill;
  std::string name;     // "kill leader", "stop-long store", "rpc-dup"
  std::string target;   // "worker", "machine" (a worker with its jobs), "child", "leader", "standby", "control",
                        // "store", "redis"; of kRpc: "all"
  int at_ms = 0;        // from the round's begin
  int for_ms = 0;       // until it is started again, continued, switched off
  std::string rpc;      // what is written to the fault files
  uint64_t choice = 0;  // which of several workers
};

struct FaultPlanOptions {
  bool redis = false;
  int lease_ms = 2000;
  std::vector<std::string> only;  // names; empty: all
};

// All kinds, each with its name, in no order that matters.
std::vector<Fault> AllFaults(const FaultPlanOptions& options);
// One to three of them, with times.
std::vector<Fault> DrawRound(const FaultPlanOptions& options, Rng* rng);

}  // namespace swage::chaos
