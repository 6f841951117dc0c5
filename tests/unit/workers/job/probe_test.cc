#include "workers/job/probe.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/api/ops.h"
#include "workers/job/self_test.h"

namespace swage {
namespace {

TEST(Probe, TheProcessorPassesItsSelfTestAndIsNamed) {
  const ProbedDevice cpu = ProbeCpu(2);
  EXPECT_EQ(cpu.problem, "");
  EXPECT_EQ(cpu.id, "cpu0");
  EXPECT_EQ(cpu.kind, "cpu");
  EXPECT_EQ(cpu.numerics_class, NewCpuOps(2)->NumericsClass());
}

TEST(Probe, ItsLineComesBackAsItWasSent) {
  const ProbedDevice gpu{"GPU-1", "cuda", "cuda/sm_90", {"sm_90"}, 80, 70, "wrong \"values\"\n"};
  const std::string line = EncodeProbe({gpu, gpu});
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const auto devices = DecodeProbe(line);
  ASSERT_TRUE(devices.ok()) << devices.status();
  ASSERT_EQ(devices->size(), 2u);
  EXPECT_EQ((*devices)[1].id, gpu.id);
  EXPECT_EQ((*devices)[1].features, gpu.features);
  EXPECT_EQ((*devices)[1].total_bytes, 80u);
  EXPECT_EQ((*devices)[1].free_bytes, 70u);
  EXPECT_EQ((*devices)[1].problem, gpu.problem);
  for (const char* garbage : {"", "{}", "[]", "{\"devices\": [{}]}", "{\"devices\": 3}"}) {
    EXPECT_FALSE(DecodeProbe(garbage).ok()) << garbage;
  }
}

TEST(SelfTest, TheReferencePasses) {
  const Status status = SelfTestCpu(NewRefOps().get());
  EXPECT_TRUE(status.ok()) << status;
}

// One wrong bit in what the device wrote is seen.
TEST(SelfTest, AWrongBitIsFound) {
  std::vector<char> bytes(kSelfTestBytes + 256);
  SelfTestMemory memory;
  memory.bytes = bytes.data() + (256 - reinterpret_cast<uintptr_t>(bytes.data()) % 256) % 256;
  const auto ops = NewCpuOps(1);
  EXPECT_TRUE(SelfTest(ops.get(), memory).ok());
  // The product lies behind its factors; the codes lie behind weights and values.
  for (const int wrong : {1, 2, 3}) {
    int ended = 0;
    memory.finish = [&] {
      if (++ended == wrong) memory.bytes[wrong == 1 ? 70000 : 40000] ^= 1;
      return absl::OkStatus();
    };
    EXPECT_EQ(ReasonOf(SelfTest(ops.get(), memory)), "SELF_TEST_FAILED") << wrong;
    EXPECT_EQ(ended, wrong);
  }
}

}  // namespace
}  // namespace swage
