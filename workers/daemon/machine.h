// What this machine offers to jobs.
#pragma once

#include <cstdint>
#include <string>

#include "base/env.h"
#include "workers/daemon/sync_client.h"

namespace swage {

// `memory_bytes` 0: 80 % of the machine's. The numerics class names what can change low bits (DESIGN 2.6).
DeviceFields CpuDevice(uint64_t memory_bytes, int threads);
// Made at the first start, kept in <data>/worker_id.
StatusOr<std::string> WorkerId(Env* env, const std::string& data_dir);
// For staged inputs: half of what the disk has free now, at least 1 GB.
uint64_t CacheBytes(Env* env, const std::string& dir);

}  // namespace swage
