// A job's whole way, in one process: upload, submit, watch, download; and what must be refused at submit.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <utility>

#include "base/digest.h"
#include "tests/unit/services/platform_fixture.h"

namespace swage {
namespace {

TEST_F(PlatformTest, AJobGoesFromUploadToDownload) {
  UseEngine();
  UploadModel();
  Submission submission = SmallJob();
  submission.output_alias = "models/tiny-int4";
  const auto created = jobs_->Create(submission, "r1");
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_EQ(created->state, "QUEUED");

  std::vector<std::string> states, stages;
  uint64_t sequence = 0;
  WatchCallbacks callbacks;
  callbacks.event = [&](const EventView& event) {
    EXPECT_GT(event.sequence, sequence);
    sequence = event.sequence;
    if (states.empty() || states.back() != event.state) states.push_back(event.state);
    if (!event.progress.stage.empty()) stages.push_back(event.progress.stage);
  };
  const auto done = jobs_->Watch(created->name, 0, callbacks);
  ASSERT_TRUE(done.ok()) << done.status();
  ASSERT_EQ(done->state, "SUCCEEDED") << done->reason << ": " << done->message;
  EXPECT_EQ(states.front(), "QUEUED");
  EXPECT_EQ(states.back(), "SUCCEEDED");
  EXPECT_EQ(done->last_sequence, sequence);
  EXPECT_FALSE(stages.empty());
  EXPECT_EQ(done->artifact_alias, "models/tiny-int4");

  const std::string out = JoinPath(dir_.path(), "out");
  const Status downloaded = store_->Download("models/tiny-int4", out, nullptr);
  ASSERT_TRUE(downloaded.ok()) << downloaded;
  for (const char* file : {"model.safetensors", "config.json", "tokenizer.json", "report.json"}) {
    EXPECT_TRUE(Env::Posix()->Exists(JoinPath(out, file))) << file;
  }
  EXPECT_EQ(store_->Get("models/tiny-int4")->id, done->artifact);
  EXPECT_EQ(BuildManifest(Env::Posix(), out, "model", nullptr)->Id().Hex(), done->artifact);

  // A watch that comes late gets everything and ends; one that has seen the end ends at once.
  size_t replayed = 0;
  callbacks.event = [&](const EventView&) { ++replayed; };
  ASSERT_TRUE(jobs_->Watch(created->name, 0, callbacks).ok());
  EXPECT_GE(replayed, 4u);
  replayed = 0;
  ASSERT_TRUE(jobs_->Watch(created->name, sequence, callbacks).ok());
  EXPECT_EQ(replayed, 0u);
}

TEST_F(PlatformTest, ARequestIdMakesOneJobHoweverOftenItIsSent) {
  UploadModel();
  const Submission submission = SmallJob();
  const auto first = jobs_->Create(submission, "same");
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = jobs_->Create(submission, "same");
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(first->name, second->name);
  EXPECT_EQ(jobs_->List(100)->size(), 1u);
  Submission other = submission;
  other.priority = 5;
  EXPECT_EQ(ReasonOf(jobs_->Create(other, "same").status()), "REQUEST_ID_REUSED");
}

TEST_F(PlatformTest, ValidatingTellsThePlanAndCreatesNothing) {
  UploadModel();
  const auto plan = jobs_->Validate(SmallJob());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_FALSE(plan->modules.empty());
  EXPECT_GT(plan->artifact_bytes, 0u);
  EXPECT_NEAR(plan->bits_per_weight, 4.1, 0.3);
  EXPECT_TRUE(jobs_->List(100)->empty());
}

// Watches until the job runs, then does something to it.
void OnceRunning(JobClient* jobs, const std::string& name, const std::function<void()>& act) {
  bool done = false;
  WatchCallbacks callbacks;
  callbacks.event = [&](const EventView& event) {
    if (event.state != "RUNNING" || std::exchange(done, true)) return;
    act();
  };
  ASSERT_TRUE(jobs->Watch(name, 0, callbacks).ok());
  EXPECT_TRUE(done);
}

TEST_F(PlatformTest, ARunningJobIsCancelledAndItsChildStopped) {
  UploadModel();
  const auto created = jobs_->Create(SmallJob(3), "r1");
  ASSERT_TRUE(created.ok()) << created.status();
  JobClientOptions options;
  options.address = [this] { return StatusOr<std::string>(platform_->address()); };
  options.tenant = "default";
  JobClient watcher(options);
  OnceRunning(&watcher, created->name, [&] { EXPECT_TRUE(jobs_->Act(JobClient::Action::kCancel, created->name).ok()); });
  EXPECT_EQ(jobs_->Get(created->name)->state, "CANCELLED");
}

TEST_F(PlatformTest, AFailureOfTheEngineIsToldAndNotRepeated) {
  UploadModel();
  const auto created = jobs_->Create(SmallJob(2), "r1");
  ASSERT_TRUE(created.ok()) << created.status();
  const JobView job = WatchToEnd(created->name);
  EXPECT_EQ(job.state, "FAILED");
  EXPECT_EQ(job.reason, "INVALID_SPEC");
  EXPECT_NE(job.message.find("NAN_WEIGHTS"), std::string::npos) << job.message;
  EXPECT_NE(job.message.find("repair the checkpoint"), std::string::npos) << job.message;
  EXPECT_EQ(job.attempts.size(), 1u);
}

TEST_F(PlatformTest, AJobPausedWhileItRunsStopsAndGoesOnWhenResumed) {
  UploadModel();
  const auto created = jobs_->Create(SmallJob(3), "r1");
  ASSERT_TRUE(created.ok()) << created.status();
  JobClientOptions options;
  options.address = [this] { return StatusOr<std::string>(platform_->address()); };
  options.tenant = "default";
  JobClient watcher(options);
  std::vector<std::string> states;
  WatchCallbacks callbacks;
  callbacks.event = [&](const EventView& event) {
    if (event.kind != "state" || (!states.empty() && states.back() == event.state)) return;
    states.push_back(event.state);
    if (event.state == "RUNNING" && std::count(states.begin(), states.end(), "RUNNING") == 1) {
      EXPECT_TRUE(jobs_->Act(JobClient::Action::kPause, created->name).ok());
    } else if (event.state == "PAUSED") {
      EXPECT_TRUE(jobs_->Act(JobClient::Action::kResume, created->name).ok());
    } else if (event.state == "RUNNING") {
      EXPECT_TRUE(jobs_->Act(JobClient::Action::kCancel, created->name).ok());
    }
  };
  ASSERT_TRUE(watcher.Watch(created->name, 0, callbacks).ok());
  EXPECT_EQ(states.back(), "CANCELLED");
  EXPECT_EQ(std::count(states.begin(), states.end(), "PAUSED"), 1);
}

TEST_F(PlatformTest, ACancelledJobIsCancelledAndLeavesNoArtifact) {
  UploadModel();
  Submission submission = SmallJob(3);
  submission.output_alias = "models/never";
  const auto created = jobs_->Create(submission, "r1");
  ASSERT_TRUE(created.ok()) << created.status();
  const auto cancelled = jobs_->Act(JobClient::Action::kCancel, created->name);
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_EQ(WatchToEnd(created->name).state, "CANCELLED");
  EXPECT_EQ(store_->Get("models/never").status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(jobs_->Act(JobClient::Action::kCancel, created->name).ok());  // says what holds already
  EXPECT_TRUE(jobs_->Delete(created->name).ok());
  EXPECT_EQ(ReasonOf(jobs_->Get(created->name).status()), "JOB_NOT_FOUND");
}

TEST_F(PlatformTest, WhatIsWrongIsSaidAtSubmit) {
  UploadModel();
  const auto reason = [&](const std::function<void(Submission*)>& spoil) {
    Submission submission = SmallJob();
    spoil(&submission);
    return ReasonOf(jobs_->Validate(submission).status());
  };
  EXPECT_EQ(reason([](Submission* s) { s->model = "models/tinny"; }), "UNKNOWN_MODEL");
  EXPECT_EQ(reason([](Submission* s) { s->files.clear(); }), "FILE_NOT_GIVEN");
  EXPECT_EQ(reason([](Submission* s) { s->files["other.txt"] = s->files["t.txt"]; }), "FILE_NOT_IN_RECIPE");
  EXPECT_EQ(reason([](Submission* s) { s->files["t.txt"] = std::string(64, 'a'); }), "INPUT_MISSING");
  EXPECT_EQ(reason([&](Submission* s) { s->files["t.txt"] = UploadText(0); }), "TEXT_EMPTY");
  EXPECT_EQ(reason([](Submission* s) { s->output_alias = "../up"; }), "BAD_ALIAS");
  EXPECT_EQ(reason([](Submission* s) { s->priority = 1000; }), "BAD_PRIORITY");
  EXPECT_FALSE(jobs_->Validate([&] {
                       Submission s = SmallJob();
                       s.recipe_yaml = "steps:\n- {kind: quantize, method: rtn, format: int4, group_size: 7, granularity: group}\n";
                       s.files.clear();
                       return s;
                     }())
                   .ok());
  EXPECT_TRUE(jobs_->List(100)->empty());
}

TEST_F(PlatformTest, AConfigurationThatContradictsTheTensorsIsFoundFromHeaders) {
  const std::string bad = CopyOfModel(JoinPath(dir_.path(), "bad"));
  const std::string path = JoinPath(bad, "config.json");
  std::string config = *ReadFile(Env::Posix(), path, 1 << 20);
  const size_t at = config.find("\"num_hidden_layers\":");
  ASSERT_NE(at, std::string::npos);
  config.insert(at + 20, " 1");  // "6" becomes "16", or " 16"
  ASSERT_TRUE(WriteFileAtomic(Env::Posix(), path, config).ok());
  ASSERT_TRUE(store_->UploadFolder(bad, "model", "models/bad", nullptr).ok());
  Submission submission = SmallJob();
  submission.model = "models/bad";
  const Status status = jobs_->Validate(submission).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status;
  EXPECT_FALSE(NextStepOf(status).empty() && MessageOf(status).empty());
}

TEST_F(PlatformTest, WhatWasDoneIsThereAfterARestart) {
  UploadModel();
  const auto created = jobs_->Create(SmallJob(), "r1");
  ASSERT_TRUE(created.ok()) << created.status();
  const JobView done = WatchToEnd(created->name);
  ASSERT_EQ(done.state, "SUCCEEDED") << done.message;
  Stop();
  Start();
  const auto again = jobs_->Get(created->name);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->state, "SUCCEEDED");
  EXPECT_EQ(again->artifact, done.artifact);
  EXPECT_EQ(store_->Get(created->name)->id, done.artifact);
  EXPECT_EQ(jobs_->Create(SmallJob(), "r1")->name, created->name);
}

TEST_F(PlatformTest, AJobThatWasInterruptedByAStopIsFinishedAfterTheNextStart) {
  UploadModel();
  const auto created = jobs_->Create(SmallJob(), "r1");
  ASSERT_TRUE(created.ok()) << created.status();
  Stop();
  Start();
  const JobView done = WatchToEnd(created->name);
  EXPECT_EQ(done.state, "SUCCEEDED") << done.message;
}

TEST_F(PlatformTest, ASecondPlatformOnTheSameDataIsRefusedAndSaysWhoHoldsIt) {
  const Status second = EmbeddedPlatform::Start(Options()).status();
  EXPECT_EQ(ReasonOf(second), "ALREADY_RUNNING");
  EXPECT_NE(MessageOf(second).find(Cat("process ", ::getpid())), std::string::npos) << second;
  EXPECT_TRUE(jobs_->ServerInfo().ok());  // the first one is not disturbed
}

}  // namespace
}  // namespace swage
