#include "clients/cli/admin_view.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace swage {
namespace {

TopView SampleTop() {
  TopView top;
  top.stats.incarnation = 7;
  top.stats.waiting = 12;
  top.stats.wait_p99_seconds = 0.25;
  WorkerEntry worker;
  worker.worker_id = "w1";
  worker.connected = true;
  worker.slot_count = 2;
  worker.free_slots = 1;
  worker.devices.push_back({"cpu0", "cpu", "avx2", "", 16'000'000'000, 4'000'000'000});
  worker.devices.push_back({"gpu0", "cuda", "sm_90", "cordoned: fan \x1b[2J", 80'000'000'000, 0});
  worker.jobs.push_back({"default", "jobs/01abc", "RUNNING", "block[3]", 0.5, 12});
  worker.features = {"avx2", "sm_90"};
  top.workers = {worker};
  TenantEntry tenant;
  tenant.tenant = "default";
  tenant.share = 0.251;
  tenant.entitlement = 0.5;
  top.tenants = {tenant};
  for (int i = 0; i < 7; ++i) {
    top.queue.classes.push_back({"default", "rtn|2000000000|cuda|1|8000000000|sm_90|2", "jobs/01old", "2 jobs ahead", 5});
  }
  return top;
}

TEST(TopTextTest, ShowsLeaderWorkersJobsTenantsAndClasses) {
  const std::string text = TopText(SampleTop(), 0, 0, 0);
  for (const char* part : {"leader 7", "waiting 12", "p99 250 ms", "cpu0 4.0 GB free of 16.0 GB", "jobs/01abc  block[3]  50 %",
                           "25.1 %", "50.0 %", "rtn, 2.0 GB, 1 cuda of 8.0 GB, sm_90, gang of 2", "2 jobs ahead",
                           "and 2 more classes"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

TEST(TopTextTest, OnATerminalNothingGoesOverTheEdge) {
  const std::string text = TopText(SampleTop(), 0, 6, 20);
  int lines = 0;
  size_t begin = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    EXPECT_LE(end - begin, 20u);
    ++lines;
  }
  EXPECT_EQ(lines, 6);
}

TEST(TopJsonTest, NamesWhatRunsWhere) {
  const auto json = nlohmann::json::parse(ToJson(SampleTop()));
  EXPECT_EQ(json["stats"]["incarnation"], 7);
  EXPECT_EQ(json["workers"][0]["jobs"][0], "jobs/01abc");
  EXPECT_EQ(json["workers"][0]["running"][0]["stage"], "block[3]");
  EXPECT_EQ(json["workers"][0]["devices"][0]["free_bytes"], 4'000'000'000);
  EXPECT_EQ(json["queue"]["classes"].size(), 7u);
}

TEST(WorkersTextTest, ALostWorkerShowsNoRoom) {
  auto workers = SampleTop().workers;
  workers[0].connected = false;
  const std::string text = WorkersText(workers);
  EXPECT_NE(text.find("lost"), std::string::npos);
  EXPECT_EQ(text.find("free of"), std::string::npos);
  EXPECT_EQ(WorkersText({}), "no workers\n");
}

TEST(ExplanationTextTest, SaysSummaryFactsAndVerdicts) {
  const ExplanationView view{"jobs/01abc", "QUEUED", "needs 80 GB, largest worker has 16 GB", {"priority 0"}, {{"w1", "is too small"}}};
  EXPECT_EQ(ExplanationText(view),
            "jobs/01abc  QUEUED\n  needs 80 GB, largest worker has 16 GB\n  - priority 0\n  WORKER  SAYS\n  w1      is too small\n");
}

TEST(QueueTextTest, AnEmptyQueueSaysSo) { EXPECT_EQ(QueueText({}), "no job waits\n"); }

TEST(QuotaChangeTest, WhatIsNotGivenStays) {
  TenantEntry tenant;
  tenant.weight = 3;
  tenant.max_running = 5;
  QuotaChange change;
  EXPECT_TRUE(change.empty());
  change.has_max_memory = true;
  change.max_memory = 100;
  EXPECT_FALSE(change.empty());
  change.ApplyTo(&tenant);
  EXPECT_EQ(tenant.weight, 3);
  EXPECT_EQ(tenant.max_running, 5);
  EXPECT_EQ(tenant.max_host_bytes, 100u);
}

TEST(ParseBytesTest, TakesDecimalAndBinaryUnits) {
  EXPECT_EQ(*ParseBytes("0"), 0u);
  EXPECT_EQ(*ParseBytes("1500000"), 1'500'000u);
  EXPECT_EQ(*ParseBytes("16GB"), 16'000'000'000u);
  EXPECT_EQ(*ParseBytes("1.5GiB"), 1'610'612'736u);
  EXPECT_EQ(*ParseBytes("512 MiB"), 512u << 20);
  for (const char* bad : {"", "GB", "-1", "1x", "1e30", "nan", "1 2", "0x10 MB"}) {
    EXPECT_EQ(ReasonOf(ParseBytes(bad).status()), "BAD_SIZE") << bad;
  }
}

}  // namespace
}  // namespace swage
