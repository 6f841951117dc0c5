// Gangs: all members or none, one token, a start barrier. And devices.
#include "tests/unit/scheduler/core_harness.h"

namespace swage {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class Gangs : public testing::Test, public CoreHarness {
 protected:
  void SubmitGang(const std::string& id, int members, uint64_t bytes = kGb) {
    SubmitAs("t", id, [&](AdmittedJob* job) {
      job->shape.gang = members;
      job->shape.host_bytes = bytes;
    });
  }
  void AddDevices(const std::string& name, std::vector<uint64_t> bytes) {
    auto& report = worker(name, 64 * kGb, 4).report;
    for (size_t i = 0; i < bytes.size(); ++i)
      report.devices.push_back({Cat("gpu", i), "cuda", "", bytes[i]});
  }
};

TEST_F(Gangs, NothingIsTakenUntilAllMembersHaveAPlace) {
  SubmitGang("g", 3);
  EXPECT_THAT(Sync("a"), IsEmpty());
  EXPECT_THAT(Sync("b"), IsEmpty());
  EXPECT_THAT(job("g").pending_reason, HasSubstr("needs 3 workers"));
  Sync("c");
  const auto a = core().Answer("a"), b = core().Answer("b"), c = core().Answer("c");
  ASSERT_THAT(a, SizeIs(1));
  ASSERT_THAT(b, SizeIs(1));
  ASSERT_THAT(c, SizeIs(1));
  EXPECT_EQ(a[0].token, b[0].token);
  EXPECT_EQ(a[0].token, c[0].token);
  EXPECT_EQ(std::set<int>({a[0].rank, b[0].rank, c[0].rank}), (std::set<int>{0, 1, 2}));
  EXPECT_FALSE(a[0].started);
}

TEST_F(Gangs, TheyComputeOnlyWhenAllAreReady) {
  SubmitGang("g", 2);
  Sync("a");
  auto b = Sync("b");
  auto a = core().Answer("a");
  Take("a", a);
  Sync("a");
  EXPECT_FALSE(job("g").started);
  EXPECT_FALSE(core().NeedsAnswer("a"));
  Take("b", b);
  Sync("b");
  EXPECT_TRUE(stored("g").started);
  EXPECT_TRUE(core().NeedsAnswer("a"));
  EXPECT_TRUE(core().Answer("a")[0].started);
  worker("a").report.slots[0].started = true;
  Report("a");
  EXPECT_FALSE(core().NeedsAnswer("a"));
}

// Both members run and say how they are reached.
TEST_F(Gangs, WhatMembersSayIsPassedOnOnceAllHaveSaidIt) {
  SubmitGang("g", 2);
  Sync("a");
  Take("b", Sync("b"));
  Take("a", core().Answer("a"));
  Sync("a");
  Sync("b");
  const std::string first(job("g").worker()), other = first == "a" ? "b" : "a";
  for (const char* w : {"a", "b"}) worker(w).report.slots[0].started = true;
  worker(first).report.slots[0].rendezvous = "the first's";
  Report(first);
  Report(other);
  EXPECT_THAT(core().Answer(first)[0].rendezvous, IsEmpty());  // half of it is of no use
  EXPECT_FALSE(core().NeedsAnswer(first));
  const auto before = core().Desired(first);
  worker(other).report.slots[0].rendezvous = "the other's";
  Report(other);
  EXPECT_NE(core().Desired(first), before);  // an answer that is held goes out at once
  EXPECT_TRUE(core().NeedsAnswer(first));
  EXPECT_THAT(core().Answer(first)[0].rendezvous, testing::ElementsAre("the first's", "the other's"));
  EXPECT_THAT(core().Answer(first)[0].rendezvous, SizeIs(2));  // again, as the answer may have been lost
  EXPECT_THAT(core().Answer(other)[0].rendezvous, testing::ElementsAre("the first's", "the other's"));
  worker(first).report.slots[0].gathered = true;
  Report(first);
  EXPECT_FALSE(core().NeedsAnswer(first));
  EXPECT_THAT(core().Answer(first)[0].rendezvous, IsEmpty());
  EXPECT_TRUE(core().NeedsAnswer(other));
  // The first word of an attempt stands; and a new leader hears it again from the reports.
  worker(first).report.slots[0].rendezvous = "changed";
  Report(first);
  EXPECT_THAT(core().Answer(other)[0].rendezvous, testing::ElementsAre("the first's", "the other's"));
  worker(first).report.slots[0].rendezvous = "the first's";
  Step();
  Restart();
  Report(other);
  EXPECT_THAT(core().Answer(other)[0].rendezvous, IsEmpty());
  Report(first);
  EXPECT_THAT(core().Answer(other)[0].rendezvous, testing::ElementsAre("the first's", "the other's"));
}

TEST_F(Gangs, WhatWasSaidUnderAnEarlierTokenIsNeverPassedOn) {
  SubmitGang("g", 2);
  Sync("a");
  Take("b", Sync("b"));
  Take("a", core().Answer("a"));
  Sync("a");
  Sync("b");
  const std::string first(job("g").worker()), other = first == "a" ? "b" : "a";
  for (const std::string& w : {first, other}) {
    worker(w).report.slots[0].started = true;
    worker(w).report.slots[0].rendezvous = "epoch 1";
  }
  Report(first);
  const std::vector<SlotReport> stale = worker(first).report.slots;
  EndWith(other, "g", "", "GANG_MEMBER_LOST");
  Report(other);
  Step();
  Take(other, {});
  for (int i = 0; i < 40 && job("g").epoch == 1; ++i) {
    AdvanceMs(5000);
    Sync(other);
    Report(first);  // still runs the old attempt, and says so
    Step();
    Take(first, {});
  }
  ASSERT_EQ(job("g").epoch, 2u);
  Take(other, Sync(other), "load");
  ASSERT_THAT(worker(other).report.slots, SizeIs(1));
  worker(other).report.slots[0].rendezvous = "epoch 2";
  Take(first, core().Answer(first), "load");
  ASSERT_THAT(worker(first).report.slots, SizeIs(1));
  const SlotReport fresh = worker(first).report.slots.at(0);
  worker(first).report.slots = {stale[0], fresh};  // the old attempt on its way out beside the new one
  Report(first);
  Report(other);
  Report(other);
  ASSERT_TRUE(job("g").started);
  ASSERT_THAT(core().Answer(other), SizeIs(1));
  ASSERT_THAT(core().Answer(first), SizeIs(1));
  EXPECT_THAT(core().Answer(other)[0].rendezvous, IsEmpty());
  EXPECT_THAT(core().Answer(first)[0].rendezvous, IsEmpty());
  worker(first).report.slots[1].rendezvous = "epoch 2 too";
  Report(first);
  const std::vector<std::string> told = core().Answer(other)[0].rendezvous;
  ASSERT_THAT(told, SizeIs(2));
  for (const std::string& said : told) EXPECT_THAT(said, HasSubstr("epoch 2"));
}

TEST_F(Gangs, AMemberThatDoesNotComeEndsTheWaitForAll) {
  SubmitGang("g", 2);
  Sync("b");
  Take("a", Sync("a"));
  for (int i = 0; i < 8; ++i) {
    AdvanceMs(8000);
    Sync("a");
    Report("b");  // is there, and takes nothing up; its answers are never told
    Step();
  }
  EXPECT_EQ(job("g").state, JobState::kQueued);
  EXPECT_EQ(job("g").reason, "GANG_TIMEOUT");
  EXPECT_GT(job("g").not_before_unix_nanos, now.unix_nanos);
}

TEST_F(Gangs, TheFirstMembersResultCountsAndTheOthersMustLetGo) {
  SubmitGang("g", 2);
  Sync("a");
  Take("b", Sync("b"));
  Take("a", core().Answer("a"));
  Sync("a");
  Sync("b");
  const std::string first(job("g").worker());
  const std::string other = first == "a" ? "b" : "a";
  EndWith(other, "g", "");  // done, without a result of its own
  worker(other).report.slots[0].outcome->reason = "";
  Sync(other);
  EXPECT_EQ(job("g").state, JobState::kRunning);
  EndWith(first, "g", DigestText('1'));
  Report(first);
  const CoreOutput out = Step();
  ASSERT_THAT(out.publishes, SizeIs(1));
  EXPECT_TRUE(core().NeedsAnswer(other));
  EXPECT_THAT(core().Answer(other), IsEmpty());
}

TEST_F(Gangs, ALostMemberStopsAll) {
  SubmitGang("g", 2);
  Sync("a");
  Take("b", Sync("b"));
  Take("a", core().Answer("a"));
  Sync("a");
  Sync("b");
  AdvanceMs(6000);
  Sync("a");
  AdvanceMs(6000);  // b is silent
  Step();
  EXPECT_EQ(job("g").state, JobState::kQueued);
  EXPECT_EQ(job("g").reason, "GANG_MEMBER_LOST");
  EXPECT_THAT(core().Answer("a"), IsEmpty());
}

TEST_F(Gangs, TwoThatTogetherAreTooLargeRunOneAfterTheOther) {
  for (const char* w : {"a", "b", "c"}) Sync(w);
  SubmitGang("g1", 2);
  SubmitGang("g2", 2);
  Step();
  EXPECT_EQ(job("g1").state, JobState::kStarting);
  EXPECT_EQ(job("g2").state, JobState::kQueued);
  EXPECT_THAT(job("g2").members, IsEmpty());  // not one place is held by half a gang
}

TEST_F(Gangs, DevicesAreGivenByTheByteAndFullestFirst) {
  AddDevices("w", {80 * kGb, 80 * kGb});
  auto gpu_job = [&](const std::string& id, int devices, uint64_t bytes) {
    SubmitAs("t", id, [&](AdmittedJob* job) {
      job->shape.device_kind = "cuda";
      job->shape.devices = devices;
      job->shape.device_bytes = bytes;
    });
  };
  Sync("w");
  gpu_job("a", 1, 50 * kGb);
  Step();
  gpu_job("b", 1, 20 * kGb);
  Step();
  EXPECT_EQ(job("a").members[0].devices[1].device, job("b").members[0].devices[1].device);
  gpu_job("c", 2, 20 * kGb);  // one device has 10 GB left
  Step();
  EXPECT_THAT(job("c").pending_reason, HasSubstr("on one device"));
  Ask("cancel", "c");  // for which the worker is kept
  gpu_job("d", 1, 80 * kGb);
  Step();
  EXPECT_EQ(job("d").state, JobState::kStarting);
}

TEST_F(Gangs, ADeviceThatFailsIsCordonedUntilAnOperatorSaysOtherwise) {
  AddDevices("w", {80 * kGb});
  SubmitAs("t", "a", [](AdmittedJob* job) {
    job->shape.device_kind = "cuda";
    job->shape.devices = 1;
  });
  Take("w", Sync("w"));
  worker("w").report.slots[0].outcome = OutcomeReport{"", "DEVICE_FAILED", "xid 79", "gpu0"};
  Sync("w");
  Take("w", {});
  EXPECT_THAT(Sync("w"), IsEmpty());
  EXPECT_EQ(core().Workers()[0].devices[1].problem, "cordoned: xid 79");
  Restart();
  EXPECT_THAT(Sync("w"), IsEmpty());
  EXPECT_EQ(ReasonOf(core().SetCordon("w", "gpu7", "", now)), "DEVICE_UNKNOWN");
  ASSERT_TRUE(core().SetCordon("w", "gpu0", "", now).ok());
  EXPECT_THAT(Sync("w"), SizeIs(1));
}

TEST_F(Gangs, AnUnhealthyDeviceIsNotUsed) {
  AddDevices("w", {80 * kGb});
  worker("w").report.devices[1].problem = "self-test failed";
  SubmitAs("t", "a", [](AdmittedJob* job) {
    job->shape.device_kind = "cuda";
    job->shape.devices = 1;
  });
  EXPECT_THAT(Sync("w"), IsEmpty());
  worker("w").report.devices[1].problem = "";
  EXPECT_THAT(Sync("w"), SizeIs(1));
}

TEST_F(Gangs, FeaturesAreAskedFor) {
  SubmitAs("t", "a", [](AdmittedJob* job) { job->shape.features = {"sm_90"}; });
  EXPECT_THAT(Sync("w"), IsEmpty());
  EXPECT_THAT(stored("a").pending_reason, HasSubstr("no connected worker offers rtn, sm_90"));
  worker("w").report.features = {"avx512", "sm_90"};
  EXPECT_THAT(Sync("w"), SizeIs(1));
}

TEST_F(Gangs, ALargeModelGoesWhereItIsAlready) {
  worker("tight", 2 * kGb, 2);
  worker("near", 64 * kGb, 2).report.cached = {DigestText('7')};
  Sync("tight");
  Sync("near");
  SubmitAs("t", "a", [](AdmittedJob* job) {
    job->model_digest = DigestText('7');
    job->model_bytes = kGb;
  });
  Step();
  EXPECT_EQ(job("a").worker(), "near");
}

TEST_F(Gangs, AWorkerThatRefusesIsAskedAgainLaterAndOthersAtOnce) {
  Submit("a");
  Take("w", Sync("w"));
  EndWith("w", "a", "", "REFUSED");
  Sync("w");
  Take("w", {});
  EXPECT_THAT(Sync("w"), IsEmpty());
  EXPECT_EQ(job("a").user_failures + job("a").infra_losses, 0);
  EXPECT_THAT(Sync("v"), SizeIs(1));
  EXPECT_EQ(job("a").worker(), "v");
}

TEST_F(Gangs, AJobUnderWhichWorkersDieAtOnePointIsQuarantined) {
  Submit("poison");
  for (int i = 0; i < 3; ++i) {
    const std::string name = Cat("w", i % 2);
    for (int tries = 0; tries < 20 && job("poison").worker() != name; ++tries) {
      AdvanceMs(9000);
      Sync("w0");
      Sync("w1");
      if (!job("poison").worker().empty() && job("poison").worker() != name) break;
    }
    const std::string on(job("poison").worker());
    Take(on, core().Answer(on), "block[3]");
    Sync(on);
    worker(on).report.boot_id += "+";
    worker(on).report.sequence = 0;
    Take(on, {});
    Sync(on);
  }
  EXPECT_EQ(job("poison").state, JobState::kFailed);
  EXPECT_EQ(job("poison").reason, "QUARANTINED");
}

}  // namespace
}  // namespace swage
