// Every instruction set that this CPU has and the build contains, each as a device of its own.
#include <cstdlib>
#include <cstring>

#include "hwy/targets.h"
#include "tests/unit/kernels/test_device.h"

namespace swage {
namespace {

class CpuDevice : public TestDevice {
 public:
  CpuDevice(int64_t target, int threads)
      : target_(target), threads_(threads), ops_(NewCpuOps(threads)) {}
  std::string Name() const override {
    return std::string("cpu_") + hwy::TargetName(target_) + "_t" + std::to_string(threads_);
  }
  Ops* ops() override {
    hwy::SetSupportedTargetsForTest(target_);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    return ops_.get();
  }
  void* Allocate(size_t bytes) override { return std::malloc(bytes); }
  void Free(void* pointer) override { std::free(pointer); }
  void Write(void* device, const void* host, size_t bytes) override {
    if (bytes > 0) std::memcpy(device, host, bytes);
  }
  void Read(void* host, const void* device, size_t bytes) override {
    if (bytes > 0) std::memcpy(host, device, bytes);
  }

 private:
  const int64_t target_;
  const int threads_;
  std::unique_ptr<Ops> ops_;
};

}  // namespace

const std::vector<std::unique_ptr<TestDevice>>& TestDevices() {
  static const auto* const devices = [] {
    auto* made = new std::vector<std::unique_ptr<TestDevice>>;
    int threads = 1;
    // All of x86's and Arm's that Highway knows; those that the build lacks fall back to another
    // one of the list.
    for (int64_t target : {HWY_AVX3, HWY_AVX2, HWY_NEON, HWY_SCALAR}) {
      if ((hwy::SupportedTargets() & target) == 0 && target != HWY_SCALAR) continue;
      made->push_back(std::make_unique<CpuDevice>(target, threads++));
    }
    return made;
  }();
  return *devices;
}

}  // namespace swage
