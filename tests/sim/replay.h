// A scheduler's snapshot (`swage queue --snapshot`, AdminService.GetSchedulerSnapshot; the core's
// Snapshot writes it) as the start of a simulation: the same records and workers, and the same
// code deciding. What ran when it was taken begins again, as nothing of it is in the snapshot but
// its record.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "tests/sim/sim_worker.h"
#include "tests/sim/workload.h"

namespace swage::sim {

class Cluster;

struct Snapshot {
  int64_t lease_ms = 0;
  std::vector<WorkerShape> workers;  // those that were connected
  std::vector<std::pair<std::string, std::string>> records;
};

// INVALID_ARGUMENT/BAD_SNAPSHOT.
StatusOr<Snapshot> ParseSnapshot(std::string_view json);
// One spec for each job that is not over: it takes as long as was estimated, or a minute.
Workload WorkloadOf(const Snapshot& snapshot);
void AdoptSnapshot(const Snapshot& snapshot, Cluster* cluster);

}  // namespace swage::sim
