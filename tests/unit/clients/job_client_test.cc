#include "clients/cli/job_client.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>

#include "base/env.h"
#include "services/kit/rpc.h"
#include "swage/v1/job.grpc.pb.h"

namespace swage {
namespace {

// A JobService that answers from a script and remembers what it was asked.
class FakeJobs : public v1::JobService::Service {
 public:
  int events = 6;                    // of the job; the last one is SUCCEEDED
  std::vector<int> cut_after;        // the i-th stream ends as if the server died, after so many events
  bool repeat_old = false;           // sends what the client has already seen, too
  int unavailable_creates = 0;
  std::vector<uint64_t> asked_after;
  std::vector<std::string> request_ids;

  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest* request, v1::Job* job) override {
    if (request->name() != "jobs/1") {
      return ToGrpc(NotFound("JOB_NOT_FOUND", "there is no such job", "'swage jobs' lists them"));
    }
    job->set_name("jobs/1");
    job->set_last_sequence(sent_);
    job->set_state(sent_ >= events ? v1::SUCCEEDED : v1::RUNNING);
    return grpc::Status::OK;
  }

  grpc::Status WatchJob(grpc::ServerContext*, const v1::WatchJobRequest* request,
                        grpc::ServerWriter<v1::JobEvent>* writer) override {
    const size_t stream = asked_after.size();
    asked_after.push_back(request->after_sequence());
    int written = 0;
    for (int i = repeat_old ? 1 : static_cast<int>(request->after_sequence()) + 1; i <= events; ++i) {
      if (stream < cut_after.size() && written == cut_after[stream]) {
        return grpc::Status(grpc::StatusCode::UNAVAILABLE, "socket closed");
      }
      v1::JobEvent event;
      event.set_sequence(i);
      event.set_kind("state");
      event.set_state(i == events ? v1::SUCCEEDED : v1::RUNNING);
      writer->Write(event);
      ++written;
      sent_ = std::max(sent_, i);
    }
    return grpc::Status::OK;
  }

  grpc::Status CreateJob(grpc::ServerContext*, const v1::CreateJobRequest* request, v1::Job* job) override {
    request_ids.push_back(request->request_id());
    if (unavailable_creates-- > 0) return ToGrpc(Unavailable("NO_LEADER", "no leader yet", "try again"));
    job->set_name("jobs/1");
    job->set_state(v1::QUEUED);
    job->mutable_spec()->CopyFrom(request->job());
    return grpc::Status::OK;
  }

  grpc::Status RetryJob(grpc::ServerContext*, const v1::RetryJobRequest*, v1::Job*) override {
    ++retries;
    return ToGrpc(Unavailable("NO_LEADER", "no leader yet", "try again"));
  }
  std::atomic<int> retries{0};

 private:
  int sent_ = 0;
};

class JobClientTest : public ::testing::Test {
 protected:
  void Start() {
    auto server = RpcServer::Start({address_}, {&jobs_});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
  }

  JobClient Client(int away_ms = 20000) {
    JobClientOptions options;
    options.address = [this]() -> StatusOr<std::string> { return address_; };
    options.connect_ms = 50;
    options.away_ms = away_ms;
    return JobClient(std::move(options));
  }

  WatchCallbacks Recording() {
    WatchCallbacks callbacks;
    callbacks.event = [this](const EventView& event) { seen_.push_back(event.sequence); };
    return callbacks;
  }

  TempDir dir_{"job_client"};
  const std::string address_ = Cat("unix:", dir_.path(), "/s");
  FakeJobs jobs_;
  std::unique_ptr<RpcServer> server_;
  std::vector<uint64_t> seen_;
};

TEST_F(JobClientTest, WatchSeesEachEventOnceAcrossCuts) {
  jobs_.cut_after = {3, 0, 2};
  Start();
  const auto job = Client().Watch("jobs/1", 0, Recording());
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->state, "SUCCEEDED");
  EXPECT_EQ(seen_, (std::vector<uint64_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(jobs_.asked_after, (std::vector<uint64_t>{0, 3, 3, 5}));
}

TEST_F(JobClientTest, EventsThatComeAgainAreDropped) {
  jobs_.cut_after = {4};
  jobs_.repeat_old = true;
  Start();
  ASSERT_TRUE(Client().Watch("jobs/1", 0, Recording()).ok());
  EXPECT_EQ(seen_, (std::vector<uint64_t>{1, 2, 3, 4, 5, 6}));
}

TEST_F(JobClientTest, AJobThatEndedBeforeIsNotWatchedForever) {
  Start();
  auto client = Client();
  ASSERT_TRUE(client.Watch("jobs/1", 0, Recording()).ok());
  const auto again = client.Watch("jobs/1", 6, Recording());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(jobs_.asked_after.size(), 1u);
}

TEST_F(JobClientTest, ARestartedServerIsWaitedForAndTheUserIsTold) {
  jobs_.cut_after = {2};
  Start();
  int away = 0, back = 0;
  WatchCallbacks callbacks = Recording();
  callbacks.away = [&](const Status&) {
    ++away;
    server_.reset();
    Start();
  };
  callbacks.back = [&] { ++back; };
  const auto job = Client().Watch("jobs/1", 0, callbacks);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(seen_, (std::vector<uint64_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(away, 1);
  EXPECT_EQ(back, 1);
}

TEST_F(JobClientTest, AServerThatStaysAwayIsGivenUp) {
  jobs_.cut_after = {2};
  Start();
  WatchCallbacks callbacks = Recording();
  callbacks.away = [&](const Status&) { server_.reset(); };
  const auto job = Client(/*away_ms=*/100).Watch("jobs/1", 0, callbacks);
  EXPECT_EQ(ReasonOf(job.status()), "SERVER_AWAY") << job.status();
  EXPECT_NE(NextStepOf(job.status()).find("accepted jobs go on"), std::string::npos);
}

TEST_F(JobClientTest, NobodyThereIsToldAtOnce) {
  const auto job = Client().Get("jobs/1");
  EXPECT_EQ(job.status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(job.status()), "NO_SERVER");
}

TEST_F(JobClientTest, CreateIsRepeatedUnderTheSameRequestId) {
  jobs_.unavailable_creates = 2;
  Start();
  Submission submission;
  submission.model = "models/tiny";
  submission.files["a.txt"] = std::string(64, '0');
  const auto job = Client().Create(submission, "request-7");
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->model, "models/tiny");
  EXPECT_EQ(jobs_.request_ids, (std::vector<std::string>{"request-7", "request-7", "request-7"}));
}

TEST_F(JobClientTest, WhatMustNotBeRepeatedIsNot) {
  Start();
  const auto job = Client().Act(JobClient::Action::kRetry, "jobs/1");
  EXPECT_EQ(ReasonOf(job.status()), "NO_LEADER");
  EXPECT_EQ(jobs_.retries, 1);
}

TEST_F(JobClientTest, AnErrorKeepsReasonAndNextStep) {
  Start();
  const auto job = Client().Get("jobs/2");
  EXPECT_EQ(job.status().code(), StatusCode::kNotFound);
  EXPECT_EQ(ReasonOf(job.status()), "JOB_NOT_FOUND");
  EXPECT_EQ(NextStepOf(job.status()), "'swage jobs' lists them");
}

}  // namespace
}  // namespace swage
