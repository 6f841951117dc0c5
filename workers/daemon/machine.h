// What is particular to this machine and this installation.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/env.h"
#include "workers/job/probe.h"

namespace swage {

// For all jobs, when nobody says: 80 % of what this process and its children may have.
uint64_t DefaultMemoryBytes();
// The devices as short-lived child processes see them: `executable` as `__probe THREADS`, and swage-cuda-probe beside
// this program where that was built. Takes up to 30 s where a driver hangs; then it is an error.
StatusOr<std::vector<ProbedDevice>> ProbeDevices(const std::string& executable, int threads);
// Made at the first start, kept in <data>/worker_id.
StatusOr<std::string> WorkerId(Env* env, const std::string& data_dir);
std::string HostName();
// For staged inputs: half of what the disk has free now, at least 1 GB.
uint64_t CacheBytes(Env* env, const std::string& dir);

}  // namespace swage
