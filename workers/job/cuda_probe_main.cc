// swage-cuda-probe: the CUDA devices of this machine on fd 3, as workers/job/probe.h says. A program of its own, so that
// the worker needs neither driver nor runtime where there is no device.
#include "kernels/cuda/device_probe.h"
#include "workers/job/probe.h"
#include "workers/job/self_test.h"

int main() {
  const auto test = [](swage::Ops* ops, char* memory, const std::function<swage::Status()>& finish) {
    return swage::SelfTest(ops, {memory, finish});
  };
  std::vector<swage::ProbedDevice> devices;
  for (const auto& info : swage::cuda::ProbeDevices(swage::kSelfTestBytes, test)) {
    devices.push_back({info.uuid, "cuda", info.numerics_class, {info.architecture}, info.total_bytes, info.free_bytes,
                       info.problem});
  }
  return swage::WriteProbe(devices);
}
