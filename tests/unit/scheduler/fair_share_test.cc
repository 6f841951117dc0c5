// Tenants share by weight, over time.
#include "scheduler/core/fair_share.h"

#include "tests/unit/scheduler/core_harness.h"

namespace swage {
namespace {

using testing::HasSubstr;

constexpr int64_t kHour = 3600'000'000'000;

TEST(FairShare, TheAverageHalvesInAHalfLife) {
  FairShare shares(kHour);
  shares.SetTotals({10, 0, 0});
  shares.Restore("a", {8, 0, 0}, 0, 0);
  EXPECT_NEAR(shares.Average("a", kHour).slots, 4, 1e-9);
  EXPECT_NEAR(shares.Average("a", 3 * kHour).slots, 1, 1e-9);
  shares.Restore("b", {8, 0, 0}, 2 * kHour, 0);  // as it was two half-lives ago
  EXPECT_NEAR(shares.Average("b", 0).slots, 2, 1e-9);
}

TEST(FairShare, WhatIsGivenCountsAtOnceAndComesBackWithItsEnd) {
  FairShare shares(kHour);
  shares.SetTotals({10, 0, 0});
  shares.Begin("a", {1, 0, 0}, 0);
  const double with = shares.Share("a", 0);
  EXPECT_GT(with, 0);
  EXPECT_EQ(shares.Share("b", 0), 0);
  EXPECT_NEAR(shares.Share("b", 0, {1, 0, 0}), with, 1e-12);
  shares.End("a", {1, 0, 0}, 0);
  EXPECT_NEAR(shares.Share("a", 0), 0, 1e-12);
}

TEST(FairShare, TheDominantResourceCounts) {
  FairShare shares(kHour);
  shares.SetTotals({100, 1000, 80});
  shares.Begin("slots", {10, 10, 0}, 0);
  shares.Begin("devices", {1, 10, 40}, 0);
  EXPECT_NEAR(shares.Share("devices", 0) / shares.Share("slots", 0), 5, 1e-9);  // 0.5 against 0.1
  shares.SetWeight("devices", 5);
  EXPECT_NEAR(shares.Share("devices", 0), shares.Share("slots", 0), 1e-12);
}

class Tenants : public testing::Test, public CoreHarness {
 protected:
  void Weigh(const std::string& tenant, double weight, int max_running = 0) {
    TenantRecord record;
    record.tenant = tenant;
    record.weight = weight;
    record.max_running = max_running;
    ASSERT_TRUE(core().SetTenant(record, now).ok());
    Step();
  }
};

// Each step one job of a minute ends and another begins; every tenant always has more to do.
TEST_F(Tenants, SlotsFollowTheWeightsWithinFivePercent) {
  const std::map<std::string, double> weights = {{"a", 1}, {"b", 2}, {"c", 5}};
  for (const auto& [tenant, weight] : weights) Weigh(tenant, weight);
  worker("w", 64 * kGb, 8);
  Sync("w");
  std::map<std::string, int> submitted, started;
  std::vector<std::pair<int64_t, std::string>> ends;  // of what runs
  constexpr int kMinutes = 3000;
  for (int minute = 0; minute < kMinutes; ++minute) {
    for (const auto& [tenant, weight] : weights) {
      while (submitted[tenant] - started[tenant] < 10)
        SubmitAs(tenant, Cat(tenant, submitted[tenant]++));
    }
    const auto orders = Sync("w");
    started.clear();
    Take("w", orders);
    for (auto& slot : worker("w").report.slots) slot.outcome = OutcomeReport{DigestText('1'), "", ""};
    Report("w");
    Publish(Step());
    Take("w", {});
    AdvanceMs(6000);
    for (const auto& [tenant, weight] : weights) {
      for (int i = 0; i < submitted[tenant]; ++i)
        started[tenant] += job(Cat(tenant, i), tenant).epoch > 0;
    }
    if (minute > 300) break;
  }
  const double all = started["a"] + started["b"] + started["c"];
  ASSERT_GT(all, 1000);
  for (const auto& [tenant, weight] : weights)
    EXPECT_NEAR(started[tenant] / all, weight / 8, 0.05 * weight / 8 + 0.005) << tenant;
}

TEST_F(Tenants, WhoComesLateIsServedNextAndNotStarved) {
  worker("w", 64 * kGb, 1);
  Sync("w");
  for (int i = 0; i < 50; ++i) SubmitAs("greedy", Cat("g", i), [](AdmittedJob* j) { j->priority = 100; });
  auto orders = Sync("w");
  Take("w", orders);
  Sync("w");
  AdvanceMs(5000);
  SubmitAs("late", "l", [](AdmittedJob* j) { j->priority = -100; });
  EndWith("w", orders[0].job, DigestText('1'));
  Report("w");
  Publish(Step());
  Take("w", {});
  orders = Sync("w");
  ASSERT_EQ(orders.size(), 1u);
  EXPECT_EQ(orders[0].tenant, "late");  // priority is among a tenant's own jobs
}

TEST_F(Tenants, ALimitHoldsBackAndSaysSo) {
  Weigh("t", 1, 2);
  worker("w", 64 * kGb, 8);
  for (int i = 0; i < 4; ++i) Submit(Cat("j", i));
  EXPECT_EQ(Sync("w").size(), 2u);
  EXPECT_THAT(stored("j2").pending_reason, HasSubstr("which is its limit"));
  Restart();  // limits outlive the leader
  Sync("w");
  EXPECT_EQ(job("j2").state, JobState::kQueued);
  Weigh("t", 1, 0);
  EXPECT_EQ(Sync("w").size(), 4u);
}

TEST_F(Tenants, WrongSettingsAreRefused) {
  TenantRecord record;
  record.tenant = "t";
  for (const double weight : {0.0, -1.0, 1e9, std::nan("")}) {
    record.weight = weight;
    EXPECT_EQ(ReasonOf(core().SetTenant(record, now)), "BAD_QUOTA") << weight;
  }
}

TEST_F(Tenants, AllOfAWaitingJobCanBeExplained) {
  worker("small", 2 * kGb, 2);
  worker("large", 8 * kGb, 1);
  Sync("small");
  Sync("large");
  Submit("running", 8 * kGb);
  Submit("waiting", 8 * kGb);
  Step();
  const auto why = core().Explain("t", "waiting", now);
  ASSERT_TRUE(why.ok());
  EXPECT_THAT(why->summary, HasSubstr("all 1 slot is busy"));
  ASSERT_EQ(why->workers.size(), 2u);
  std::map<std::string, std::string> verdicts;
  for (const Verdict& v : why->workers) verdicts[v.worker] = v.text;
  EXPECT_THAT(verdicts["small"], HasSubstr("too small"));
  EXPECT_THAT(verdicts["large"], HasSubstr("runs 1 of 1"));
  EXPECT_EQ(ReasonOf(core().Explain("t", "nobody", now).status()), "JOB_NOT_FOUND");
}

}  // namespace
}  // namespace swage
