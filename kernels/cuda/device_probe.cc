#include "kernels/cuda/device_probe.h"

#include <cuda_runtime_api.h>

#include "base/text.h"

namespace swage::cuda {
namespace {

Status Check(cudaError_t error, const char* what) {
  return error == cudaSuccess ? absl::OkStatus() : Internal(Cat(what, ": ", cudaGetErrorString(error)));
}

std::string UuidText(const cudaUUID_t& uuid) {
  const std::string hex = HexLower(uuid.bytes, sizeof(uuid.bytes));
  return Cat("GPU-", hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-", hex.substr(16, 4), "-",
             hex.substr(20));
}

Status TestDevice(int device, size_t bytes, const DeviceTest& test, DeviceInfo* info) {
  SWAGE_RETURN_IF_ERROR(Check(cudaSetDevice(device), "set device"));
  SWAGE_ASSIGN_OR_RETURN(const std::unique_ptr<Ops> ops, NewCudaOps(device));
  info->numerics_class = ops->NumericsClass();
  size_t free_bytes = 0, total_bytes = 0;
  SWAGE_RETURN_IF_ERROR(Check(cudaMemGetInfo(&free_bytes, &total_bytes), "memory"));
  info->free_bytes = free_bytes;
  info->total_bytes = total_bytes;
  void* memory = nullptr;
  SWAGE_RETURN_IF_ERROR(Check(cudaMallocManaged(&memory, bytes), "memory for the self-test"));
  const Status status =
      test(ops.get(), static_cast<char*>(memory), [] { return Check(cudaDeviceSynchronize(), "self-test"); });
  SWAGE_RETURN_IF_ERROR(status);
  return Check(cudaFree(memory), "free");
}

}  // namespace

std::vector<DeviceInfo> ProbeDevices(size_t bytes, const DeviceTest& test) {
  std::vector<DeviceInfo> devices;
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) return devices;
  for (int device = 0; device < count; ++device) {
    DeviceInfo& info = devices.emplace_back();
    cudaDeviceProp properties{};
    if (const Status status = Check(cudaGetDeviceProperties(&properties, device), "properties"); !status.ok()) {
      info.uuid = Cat("cuda", device);
      info.problem = MessageOf(status);
      continue;
    }
    info.uuid = UuidText(properties.uuid);
    info.architecture = Cat("sm_", properties.major, properties.minor);
    info.total_bytes = properties.totalGlobalMem;
    if (const Status status = TestDevice(device, bytes, test, &info); !status.ok()) info.problem = MessageOf(status);
  }
  return devices;
}

}  // namespace swage::cuda
