// swage-gpu-test: the op suite of tests/unit/kernels on CUDA device 0. Not part of ctest: it needs
// a GPU, and without one it says so and fails, so that nobody takes silence for success.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/unit/kernels/test_device.h"

namespace swage {
namespace {

void Require(cudaError_t error) { SWAGE_CHECK(error == cudaSuccess, cudaGetErrorString(error)); }

class CudaDevice : public TestDevice {
 public:
  explicit CudaDevice(std::unique_ptr<Ops> ops) : ops_(std::move(ops)) {}
  std::string Name() const override { return "cuda0"; }
  Ops* ops() override { return ops_.get(); }
  void* Allocate(size_t bytes) override {
    void* pointer = nullptr;
    Require(cudaMalloc(&pointer, bytes));
    return pointer;
  }
  void Free(void* pointer) override { Require(cudaFree(pointer)); }
  void Write(void* device, const void* host, size_t bytes) override {
    Require(cudaMemcpy(device, host, bytes, cudaMemcpyHostToDevice));
  }
  void Read(void* host, const void* device, size_t bytes) override {
    Require(cudaMemcpy(host, device, bytes, cudaMemcpyDeviceToHost));
  }

 private:
  std::unique_ptr<Ops> ops_;
};

}  // namespace

const std::vector<std::unique_ptr<TestDevice>>& TestDevices() {
  static const auto* const devices = [] {
    auto* made = new std::vector<std::unique_ptr<TestDevice>>;
    StatusOr<std::unique_ptr<Ops>> ops = NewCudaOps(0);
    if (ops.ok()) {
      made->push_back(std::make_unique<CudaDevice>(std::move(*ops)));
    } else {
      std::fprintf(stderr, "%s\n", MessageOf(ops.status()).c_str());
    }
    return made;
  }();
  return *devices;
}

}  // namespace swage

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (swage::TestDevices().empty()) {
    std::fprintf(stderr, "no device: swage-gpu-test ran nothing\n");
    return 1;
  }
  std::printf("numerics class %s\n", swage::TestDevices()[0]->ops()->NumericsClass().c_str());
  return RUN_ALL_TESTS();
}
