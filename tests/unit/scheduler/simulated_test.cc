// What the simulator has found in the core, each as small as it can be told.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "tests/unit/scheduler/core_harness.h"

namespace swage {
namespace {

class Simulated : public testing::Test, protected CoreHarness {};

// Seed 33: the job was taught to need more than the workers with its devices have, and waited for ever.
TEST_F(Simulated, AJobIsNotTaughtToNeedMoreThanTheWorkersThatCanTakeItHave) {
  worker("large", 16 * kGb, 2);
  FakeWorker& small = worker("small", 8 * kGb, 2);
  small.report.devices.push_back({"cuda0", "cuda", "", 24 * kGb});
  Report("large");
  SubmitAs("t", "a", [](AdmittedJob* job) {
    job->shape.host_bytes = kGb;
    job->shape.device_kind = "cuda";
    job->shape.devices = 1;
    job->shape.device_bytes = 4 * kGb;
  });
  for (int i = 0; i < 20 && !IsFinal(job("a").state); ++i) {
    AdvanceMs(100'000);  // past any back-off
    Report("large");
    const auto orders = Sync("small");
    Step();
    if (orders.empty()) continue;
    Take("small", orders);
    EndWith("small", "a", "", "OOM_PREDICTION");
    Report("small");
    Step();
  }
  EXPECT_EQ(job("a").state, JobState::kFailed);
  EXPECT_EQ(job("a").reason, "OOM_REAL");
  EXPECT_LE(job("a").learned_bytes, 8 * kGb);
}

// Seed 27: likewise a gang, which needs as many such workers as it has members.
TEST_F(Simulated, AGangIsNotTaughtToNeedMoreThanItsLeastWorkerHas) {
  worker("large", 16 * kGb, 2);
  worker("small", 8 * kGb, 2);
  SubmitAs("t", "a", [](AdmittedJob* job) {
    job->shape.host_bytes = 4 * kGb;
    job->shape.gang = 2;
  });
  for (int i = 0; i < 20 && !IsFinal(job("a").state); ++i) {
    AdvanceMs(100'000);
    Report("small");
    const auto orders = Sync("large");
    Sync("small");
    Step();
    if (orders.empty()) continue;
    Take("large", orders);
    EndWith("large", "a", "", "OOM_PREDICTION");
    Report("large");
    Step();
  }
  EXPECT_EQ(job("a").state, JobState::kFailed);
  EXPECT_LE(job("a").learned_bytes, 8 * kGb);
}

// Seed 159: of the places that a gang had found, some were kept for it and the others given away, for
// as long as smaller jobs came.
TEST_F(Simulated, AGangIsNotPassedByForEverByAStreamOfSmallJobs) {
  const std::vector<std::string> names = {"w0", "w1", "w2"};
  std::map<std::string, std::string> runs;
  int submitted = 0;
  for (const std::string& name : names) worker(name, 8 * kGb, 1);
  for (int i = 0; i < 3; ++i) SubmitAs("c", Cat("c", submitted++));
  for (int turn = 0; turn < 2; ++turn) {  // they call, and then are told
    for (const std::string& name : names) {
      const auto orders = Sync(name);
      Step();
      if (orders.empty()) continue;
      Take(name, orders);
      runs[name] = orders[0].job;
    }
  }
  ASSERT_EQ(runs.size(), 3u);
  SubmitAs("a", "gang", [](AdmittedJob* job) { job->shape.gang = 3; });
  Step();
  for (int turn = 0; turn < 12 && job("gang", "a").state == JobState::kQueued; ++turn) {
    SubmitAs("c", Cat("c", submitted++));
    const std::string& name = names[static_cast<size_t>(turn) % 3];
    if (runs.contains(name)) EndWith(name, runs[name], "", "INPUT_CORRUPT");
    runs.erase(name);
    Report(name);
    Step();
    worker(name).report.slots.clear();
    const auto orders = Sync(name);
    Step();
    if (orders.empty()) continue;
    Take(name, orders);
    runs[name] = orders[0].job;
  }
  EXPECT_EQ(job("gang", "a").state, JobState::kStarting) << job("gang", "a").pending_reason;
}

// A new leader on a machine whose clock is hours behind took a back-off of seconds for one of an hour.
TEST_F(Simulated, ABackOffStaysShortUnderALeaderWithAnotherWallClock) {
  worker("w", 8 * kGb, 1);
  SubmitAs("t", "a");
  for (int i = 0; i < 2; ++i) {
    const auto orders = Sync("w");
    Take("w", orders);
    EndWith("w", "a", "", "CHILD_KILLED");
    Report("w");
    Step();
    worker("w").report.slots.clear();
    AdvanceMs(i == 0 ? 5000 : 0);
  }
  ASSERT_EQ(job("a").state, JobState::kQueued);
  ASSERT_GT(job("a").not_before_unix_nanos, 0);
  now.unix_nanos -= int64_t{3} * 3600'000'000'000;
  Restart();
  AdvanceMs(100'000);
  EXPECT_EQ(Sync("w").size(), 1u);
}

// Seed 269: the job was deleted, and a call that came late made it anew.
TEST_F(Simulated, TheRequestIdOfADeletedJobIsKeptAsLongAsItIsPromised) {
  SubmitAs("t", "a", [&](AdmittedJob* job) {
    job->request_id = "r";
    job->create_unix_nanos = now.unix_nanos;
  });
  Step();
  Ask("cancel", "a");
  Step();
  Ask("delete", "a");
  for (const auto& leftover : Step().leftovers) EXPECT_EQ(leftover.job_id, "") << leftover.key;
}

TEST_F(Simulated, AnOldRequestIdGoesWithItsJob) {
  SubmitAs("t", "a", [&](AdmittedJob* job) {
    job->request_id = "r";
    job->create_unix_nanos = now.unix_nanos;
  });
  Step();
  Ask("cancel", "a");
  Step();
  now.unix_nanos += int64_t{limits::kRequestIdHours} * 3600'000'000'000 + 1;
  Ask("delete", "a");
  const auto leftovers = Step().leftovers;
  EXPECT_TRUE(std::any_of(leftovers.begin(), leftovers.end(),
                          [](const auto& l) { return l.key == RequestIdKey("t", "r"); }));
}

}  // namespace
}  // namespace swage
