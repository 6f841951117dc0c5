// The fixture of the op suite: a device and the reference, and how their results are compared.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "base/status.h"
#include "tests/unit/kernels/test_device.h"

namespace swage {

// Runs `call` (a Status); an op that the device leaves to others is skipped, any other error fails.
#define RUN_OP(call)                                                                             \
  do {                                                                                           \
    const Status swage_run_op = (call);                                                          \
    if (swage_run_op.code() == StatusCode::kUnimplemented) GTEST_SKIP() << "not on this device"; \
    ASSERT_TRUE(swage_run_op.ok()) << MessageOf(swage_run_op);                                   \
  } while (0)

// |got - want| <= absolute + relative * |want| everywhere.
inline void ExpectClose(const std::vector<float>& got, const std::vector<float>& want,
                        double relative, double absolute) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(got[i], want[i], absolute + relative * std::fabs(want[i])) << "at " << i;
  }
}

template <typename T>
void ExpectSameBytes(const std::vector<T>& got, const std::vector<T>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(std::memcmp(&got[i], &want[i], sizeof(T)), 0)
        << "at " << i << ": " << +got[i] << " instead of " << +want[i];
  }
}

// Parameters: the index of a device, whether arrays are shifted from their alignment.
class OpTest : public testing::TestWithParam<std::tuple<int, bool>> {
 protected:
  TestDevice* device() { return TestDevices()[std::get<0>(GetParam())].get(); }
  bool shifted() const { return std::get<1>(GetParam()); }
  Ops* ops() { return device()->ops(); }
  Ops* ref() { return ref_.get(); }
  template <typename T>
  DeviceArray<T> On(const std::vector<T>& values) {
    return DeviceArray<T>(device(), values, shifted());
  }
  template <typename T>
  DeviceArray<T> Space(int64_t size) {
    return DeviceArray<T>(device(), static_cast<size_t>(size), shifted());
  }

 private:
  std::unique_ptr<Ops> ref_ = NewRefOps();
};

inline std::string DeviceTestName(const testing::TestParamInfo<std::tuple<int, bool>>& info) {
  return TestDevices()[std::get<0>(info.param)]->Name() +
         (std::get<1>(info.param) ? "_shifted" : "_aligned");
}

#define INSTANTIATE_ON_DEVICES(fixture)                                           \
  GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(fixture);                         \
  INSTANTIATE_TEST_SUITE_P(                                                       \
      Devices, fixture,                                                           \
      testing::Combine(testing::Range(0, static_cast<int>(TestDevices().size())), \
                       testing::Bool()),                                          \
      DeviceTestName)

}  // namespace swage
