#include "workers/daemon/devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/env.h"
#include "base/host_memory.h"

namespace swage {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

constexpr uint64_t kGb = 1ull << 30;

ProbedDevice Cpu() { return {"cpu0", "cpu", "cpu/test/t2", {"avx2"}}; }
ProbedDevice Gpu(const std::string& id, uint64_t free_bytes = 80 * kGb) {
  return {id, "cuda", "cuda/sm_90", {"sm_90"}, 80 * kGb, free_bytes};
}
Assignment Needs(uint64_t host, uint64_t gpu = 0) {
  Assignment a;
  a.memory_limit_bytes = host;
  if (gpu > 0) a.devices = {{"GPU-1", gpu}};
  return a;
}

TEST(DeviceBoard, ReportsWhatTheProbeFound) {
  DeviceBoard board(2, 8 * kGb, {});
  board.Probed({{Cpu(), Gpu("GPU-1"), Gpu("GPU-2")}}, {});
  const auto report = board.Report(8 * kGb);
  ASSERT_EQ(report.size(), 3u);
  EXPECT_EQ(report[0].id, "cpu0");
  EXPECT_EQ(report[0].total_bytes, 8 * kGb);
  EXPECT_EQ(report[0].numerics_class, "cpu/test/t2");
  EXPECT_EQ(report[2].total_bytes, 80 * kGb);
  EXPECT_THAT(board.Features(), Contains("avx2"));
  EXPECT_THAT(board.Features(), Contains("sm_90"));
  EXPECT_THAT(board.Features(), Contains("numerics=cpu/test/t2"));
}

TEST(DeviceBoard, OnlyTheAcceleratorsAskedForAreUsed) {
  const auto count = [](std::vector<std::string> wanted) {
    DeviceBoard board(1, kGb, std::move(wanted));
    board.Probed({{Cpu(), Gpu("GPU-1"), Gpu("GPU-2")}}, {});
    return board.Report(kGb).size();
  };
  EXPECT_EQ(count({}), 3u);
  EXPECT_EQ(count({"cuda"}), 3u);
  EXPECT_EQ(count({"GPU-2"}), 2u);
  EXPECT_EQ(count({"none"}), 1u);
}

TEST(DeviceBoard, AFailedOrMissingDeviceHasAProblemUntilItIsWellAgain) {
  DeviceBoard board(1, kGb, {});
  ProbedDevice sick = Gpu("GPU-1");
  sick.problem = "wrong values";
  board.Probed({{Cpu(), sick}}, {});
  EXPECT_EQ(board.Report(kGb)[1].problem, "wrong values");
  board.Probed({{Cpu()}}, {});
  EXPECT_THAT(board.Report(kGb)[1].problem, HasSubstr("no longer found"));
  board.Probed(Internal("the probe died"), {});
  EXPECT_THAT(board.Report(kGb)[0].problem, HasSubstr("the probe died"));
  board.Probed({{Cpu(), Gpu("GPU-1")}}, {});
  for (const DeviceFields& device : board.Report(kGb)) EXPECT_EQ(device.problem, "");
}

TEST(DeviceBoard, AWorkerOfOneSlotRefusesOnlyWhenNextToNothingIsFree) {
  DeviceBoard board(1, 8 * kGb, {});
  EXPECT_EQ(board.Refusal(Needs(8 * kGb), {}, kGb), "");  // the limit is a cap, not what it needs
  EXPECT_EQ(board.Refusal(Needs(8 * kGb), {}, 300ull << 20), "");
  EXPECT_NE(board.Refusal(Needs(8 * kGb), {}, 200ull << 20), "");
}

TEST(DeviceBoard, ARefusalLowersTheReportUntilTheMemoryComesBack) {
  DeviceBoard board(4, 16 * kGb, {});
  EXPECT_EQ(board.Refusal(Needs(4 * kGb), {Needs(4 * kGb)}, 8 * kGb), "");
  EXPECT_EQ(board.Refusal(Needs(4 * kGb), {Needs(4 * kGb)}, 8 * kGb - kGb / 4), "") << "within the margin";
  EXPECT_FALSE(board.lowered());
  const std::string refusal = board.Refusal(Needs(4 * kGb), {Needs(4 * kGb)}, 6 * kGb);
  EXPECT_THAT(refusal, HasSubstr("cpu0 has 2.1 GB free (6.4 GB for jobs"));
  EXPECT_TRUE(board.lowered());
  EXPECT_EQ(board.Report(6 * kGb)[0].total_bytes, 6 * kGb);
  EXPECT_EQ(board.Report(10 * kGb)[0].total_bytes, 10 * kGb);
  EXPECT_EQ(board.Report(16 * kGb)[0].total_bytes, 16 * kGb);
  EXPECT_FALSE(board.lowered());
  EXPECT_EQ(board.Report(6 * kGb)[0].total_bytes, 16 * kGb) << "lowered by a refusal only";
}

TEST(DeviceBoard, AnotherProgramOnTheGpuIsARefusalWithItsNumbers) {
  DeviceBoard board(2, 16 * kGb, {});
  const std::vector<Assignment> others = {Needs(kGb, 30 * kGb)};
  board.Probed({{Cpu(), Gpu("GPU-1", 50 * kGb)}}, others);
  EXPECT_EQ(board.Refusal(Needs(kGb, 50 * kGb), others, 16 * kGb), "");
  board.Probed({{Cpu(), Gpu("GPU-1", 20 * kGb)}}, others);  // 30 of ours, 30 of somebody's
  EXPECT_THAT(board.Refusal(Needs(kGb, 50 * kGb), others, 16 * kGb), HasSubstr("GPU-1 has 21.5 GB free"));
  EXPECT_EQ(board.Report(16 * kGb)[1].total_bytes, 50 * kGb);
  board.Probed({{Cpu(), Gpu("GPU-1")}}, {});
  EXPECT_EQ(board.Report(16 * kGb)[1].total_bytes, 80 * kGb);
}

TEST(DeviceBoard, AFailedDeviceIsTheAcceleratorWhereThereIsOne) {
  EXPECT_EQ(FailedDevice(Needs(kGb)), "cpu0");
  EXPECT_EQ(FailedDevice(Needs(kGb, kGb)), "GPU-1");
}

class HostMemoryTest : public ::testing::Test {
 protected:
  void Put(const std::string& path, const std::string& text) {
    const std::string file = dir_.path() + path;
    ASSERT_TRUE(Env::Posix()->CreateDirs(DirName(file)).ok());
    ASSERT_TRUE(WriteFileAtomic(Env::Posix(), file, text).ok());
  }
  MachineMemory Read() { return ReadHostMemory(dir_.path()); }
  TempDir dir_;
};

TEST_F(HostMemoryTest, IsTheMachinesWithoutAGroup) {
  Put("/proc/meminfo", "MemTotal:  1000 kB\nMemFree: 10 kB\nMemAvailable:  600 kB\n");
  Put("/proc/self/cgroup", "0::/\n");
  EXPECT_EQ(Read().total, 1000u * 1024);
  EXPECT_EQ(Read().available, 600u * 1024);
}

TEST_F(HostMemoryTest, IsTheTightestGroupsWhoseCacheCanBeDropped) {
  Put("/proc/meminfo", "MemTotal:  1000000 kB\nMemAvailable:  600000 kB\n");
  Put("/proc/self/cgroup", "0::/kube/pod\n");
  Put("/sys/fs/cgroup/kube/memory.max", "400000\n");
  Put("/sys/fs/cgroup/kube/memory.current", "350000\n");
  Put("/sys/fs/cgroup/kube/memory.stat", "anon 50000\ninactive_file 200000\n");
  Put("/sys/fs/cgroup/kube/pod/memory.max", "max\n");
  EXPECT_EQ(Read().total, 400000u);
  EXPECT_EQ(Read().available, 250000u);
}

TEST_F(HostMemoryTest, UnderstandsVersionOne) {
  Put("/proc/meminfo", "MemTotal:  1000000 kB\nMemAvailable:  600000 kB\n");
  Put("/proc/self/cgroup", "12:pids:/docker/x\n5:memory:/docker/x\n");
  Put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "300000\n");  // what a container sees of itself
  Put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "100000\n");
  Put("/sys/fs/cgroup/memory/memory.stat", "cache 5\ntotal_inactive_file 40000\n");
  EXPECT_EQ(Read().total, 300000u);
  EXPECT_EQ(Read().available, 240000u);
}

TEST_F(HostMemoryTest, ThisProcessHasMemory) {
  EXPECT_GT(ReadHostMemory().total, 0u);
  EXPECT_GT(AnonymousBytesOf(::getpid()), 0u);
  EXPECT_EQ(AnonymousBytesOf(-1), 0u);
}

}  // namespace
}  // namespace swage
