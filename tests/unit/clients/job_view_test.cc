#include "clients/cli/job_view.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "clients/cli/exit_code.h"

namespace swage {
namespace {

JobView RunningJob() {
  JobView job;
  job.name = "jobs/01abc";
  job.state = "RUNNING";
  job.model = "models/tiny";
  job.model_digest = std::string(64, 'a');
  job.progress = {.stage = "block[3]", .message = "", .fraction = 0.5, .eta_seconds = 12, .peak_bytes = 1000};
  job.create_unix_nanos = 1700000000123000000;
  job.attempts.push_back({.epoch = 1, .worker = "w1", .reason = "WORKER_LOST", .message = "", .last_stage = "load",
                          .start_unix_nanos = 1, .end_unix_nanos = 2});
  return job;
}

TEST(JobNameTest, TakesAnIdOrAResourceName) {
  EXPECT_EQ(*JobName("01abc"), "jobs/01abc");
  EXPECT_EQ(*JobName("jobs/01abc"), "jobs/01abc");
  for (const char* bad : {"", "jobs/", "a/b", "jobs/a/b", "a b", "\x1b[2J"}) {
    EXPECT_EQ(ReasonOf(JobName(bad).status()), "BAD_JOB_NAME") << bad;
  }
}

TEST(JobTextTest, ShowsStateProgressAndAttempts) {
  const std::string text = JobText(RunningJob());
  EXPECT_NE(text.find("jobs/01abc  RUNNING\n"), std::string::npos);
  EXPECT_NE(text.find("block[3]  50 %  12.0 s left"), std::string::npos);
  EXPECT_NE(text.find("epoch 1  w1"), std::string::npos);
  EXPECT_NE(text.find("WORKER_LOST  in load"), std::string::npos);
}

TEST(JobTextTest, AQueuedJobSaysWhyItWaits) {
  JobView job = RunningJob();
  job.state = "QUEUED";
  job.pending_reason = "no worker has 12 GB free";
  EXPECT_NE(JobText(job).find("waits for no worker has 12 GB free"), std::string::npos);
  EXPECT_NE(JobsTable({job}).find("no worker has 12 GB free"), std::string::npos);
}

TEST(JobJsonTest, HasEveryFieldAndNullForTimesThatAreNotYet) {
  const auto json = nlohmann::json::parse(ToJson(RunningJob()));
  EXPECT_EQ(json["name"], "jobs/01abc");
  EXPECT_EQ(json["progress"]["fraction"], 0.5);
  EXPECT_EQ(json["create_time"], "2023-11-14T22:13:20.123Z");
  EXPECT_TRUE(json["end_time"].is_null());
  EXPECT_EQ(json["attempts"][0]["last_stage"], "load");
  EXPECT_FALSE(json.contains("plan"));
}

TEST(JobJsonTest, AnUnknownEtaIsNull) {
  EventView event;
  event.kind = "progress";
  EXPECT_TRUE(nlohmann::json::parse(ToJson(event))["progress"]["eta_seconds"].is_null());
}

TEST(JobFailureTest, KeepsTheReasonAndItsExitCode) {
  JobView job = RunningJob();
  job.state = "CANCELLED";
  job.reason = "CANCELLED_BY_USER";
  EXPECT_EQ(ExitCodeOf(JobFailure(job)), kExitCancelled);
  EXPECT_EQ(ReasonOf(JobFailure(job)), "CANCELLED_BY_USER");
}

TEST(PlanTextTest, LongListsAreCut) {
  PlanView plan;
  for (int i = 0; i < 100; ++i) plan.modules.push_back({"model.layers." + std::to_string(i), "int4 group 128", ""});
  plan.bits_per_weight = 4.125;
  const std::string text = PlanText(plan);
  EXPECT_NE(text.find("100 linears are quantized"), std::string::npos);
  EXPECT_NE(text.find("... and 88 more"), std::string::npos);
  EXPECT_NE(text.find("4.125 bits a weight"), std::string::npos);
}

}  // namespace
}  // namespace swage
