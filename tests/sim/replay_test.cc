#include "tests/sim/replay.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/core/core.h"
#include "tests/sim/simulation.h"

namespace swage::sim {
namespace {

using ::testing::HasSubstr;

constexpr Now kNow{kSecond, 1'700'000'000 * kSecond};

void Submit(Core* core, const std::string& id, uint64_t host_bytes) {
  JobRecord record;
  record.job.id = id;
  record.job.tenant = "t";
  record.job.shape = SmallJob("t", host_bytes, 0).shape;
  core->HandleCreated(JobKey("t", id), 1, record, kNow);
}

// One worker of 8 GB with two slots, that runs the first of the jobs.
std::string SnapshotWith(const std::vector<uint64_t>& host_bytes) {
  Core core({}, Rng(1));
  for (size_t i = 0; i < host_bytes.size(); ++i) Submit(&core, Cat("job", i), host_bytes[i]);
  WorkerReport report;
  report.worker_id = "w";
  report.boot_id = "b";
  report.sequence = 1;
  report.slot_count = 2;
  report.methods = {"rtn/1"};
  report.devices = {{"cpu0", "cpu", "", 8 * kGb}};
  core.HandleReport(report, kNow);
  core.Tick(kNow);
  (void)core.TakeOutput(kNow);
  return core.Snapshot(kNow);
}

SimResult Replay(const std::string& json) {
  SimOptions options;
  options.profile = FaultProfile::kNone;
  options.hours = 1e-6;
  options.snapshot = std::make_shared<Snapshot>(ParseSnapshot(json).value());
  return Simulate(options);
}

TEST(Replay, ASnapshotGoesOnFromWhereItWasTaken) {
  const SimResult result = Replay(SnapshotWith({kGb, 2 * kGb, 6 * kGb, 8 * kGb}));
  EXPECT_EQ(result.violation.what, "");
  EXPECT_EQ(result.succeeded, 4u);
  EXPECT_THAT(result.ends.at("t/job/job3"), HasSubstr("SUCCEEDED"));
  EXPECT_THAT(result.ends.at("t/job/job3"), HasSubstr("on w"));
}

TEST(Replay, AJobThatFitsNowhereIsNamedWithTheReason) {
  const SimResult result = Replay(SnapshotWith({kGb, 20 * kGb}));
  EXPECT_EQ(result.violation.rule, "G12");
  EXPECT_THAT(result.violation.what, HasSubstr("job1"));
  EXPECT_THAT(result.violation.what, HasSubstr("20.0 GB"));
}

TEST(Replay, WhatIsNoSnapshotIsRefused) {
  for (const char* text :
       {"", "{}", "[1]", R"({"version":2,"workers":[],"records":[]})",
        R"({"version":1,"workers":[{"connected":true}],"records":[]})",
        R"({"version":1,"workers":[],"records":[{"key":1}]})",
        R"({"version":"1","workers":[],"records":[]})",
        R"({"version":1,"workers":[{"connected":true,"id":"w","devices":[]}],"records":[]})"}) {
    EXPECT_FALSE(ParseSnapshot(text).ok()) << text;
  }
}

}  // namespace
}  // namespace swage::sim
