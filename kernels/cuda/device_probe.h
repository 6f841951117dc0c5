// What CUDA devices there are. For a process that lives for this alone: it makes a context on each.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/api/ops.h"

namespace swage::cuda {

struct DeviceInfo {
  std::string uuid;          // "GPU-..." as nvidia-smi and CUDA_VISIBLE_DEVICES write it
  std::string architecture;  // "sm_90"
  std::string numerics_class;
  uint64_t total_bytes = 0, free_bytes = 0;
  std::string problem;  // "" = it opened, and passed `test`
};

// `test` is given the ops of the device, memory of `bytes` that host and device share, and what waits for the device.
using DeviceTest = std::function<Status(Ops* ops, char* memory, const std::function<Status()>& finish)>;
// No driver, or no device: none.
std::vector<DeviceInfo> ProbeDevices(size_t bytes, const DeviceTest& test);

}  // namespace swage::cuda
