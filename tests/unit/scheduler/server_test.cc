// The scheduler over gRPC: what only the edge can get wrong.
#include "scheduler/server/scheduler_server.h"

#include "base/env.h"
#include "gtest/gtest.h"
#include "scheduler/core/records.h"
#include "services/kit/rpc.h"
#include "swage/v1/admin.grpc.pb.h"
#include "swage/v1/artifact.grpc.pb.h"
#include "swage/v1/worker.grpc.pb.h"
#include "tests/unit/scheduler/creation.h"

namespace swage {
namespace {

class FakeStore : public v1::ArtifactService::Service {
 public:
  grpc::Status Reconcile(grpc::ServerContext*, const v1::ReconcileRequest* request,
                         v1::ReconcileResponse* response) override {
    std::lock_guard lock(mu_);
    highest_ = std::max(highest_, request->incarnation());
    response->set_highest_incarnation(highest_);
    for (const auto& [job, artifact] : published_) {
      if (Cat("t/", job) <= request->after()) continue;
      auto* p = response->add_published();
      p->set_tenant("t");
      p->set_job(job);
      p->set_artifact(artifact);
    }
    return grpc::Status::OK;
  }
  grpc::Status Publish(grpc::ServerContext*, const v1::PublishRequest* request,
                       v1::Artifact* response) override {
    std::lock_guard lock(mu_);
    auto [it, added] = published_.try_emplace(request->job(), request->artifact());
    if (it->second != request->artifact())
      return ToGrpc(Precondition("ALREADY_PUBLISHED", "another"));
    response->set_id(it->second);
    return grpc::Status::OK;
  }
  void Preset(const std::string& job, const std::string& artifact) {
    std::lock_guard lock(mu_);
    published_[job] = artifact;
  }

 private:
  std::mutex mu_;
  uint64_t highest_ = 0;
  std::map<std::string, std::string> published_;
};

class SchedulerServerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto store = RpcServer::Start({"unix:" + dir_.path() + "/store"}, {&store_});
    ASSERT_TRUE(store.ok()) << MessageOf(store.status());
    store_rpc_ = std::move(*store);
    SchedulerOptions options;
    options.state = state_;
    options.store_address = store_rpc_->addresses()[0];
    scheduler_ = SchedulerServer::Start(options).value();
    auto rpc = RpcServer::Start({"unix:" + dir_.path() + "/scheduler"}, scheduler_->services());
    ASSERT_TRUE(rpc.ok()) << MessageOf(rpc.status());
    rpc_ = std::move(*rpc);
    channel_ = NewChannel(rpc_->addresses()[0]);
    workers_ = v1::WorkerService::NewStub(channel_);
  }
  void TearDown() override {
    scheduler_->Shutdown();
    rpc_->Drain(1000);
    store_rpc_->Drain(1000);
  }

  grpc::Status Synchronize(v1::SynchronizeRequest request, v1::SynchronizeResponse* response) {
    grpc::ClientContext context;
    PrepareContext(&context, 20000);
    return workers_->Synchronize(&context, request, response);
  }
  v1::SynchronizeRequest Idle() {
    v1::SynchronizeRequest request;
    request.set_worker_id("w");
    request.set_boot_id("b");
    request.set_sequence(++sequence_);
    request.set_slot_count(1);
    return request;
  }
  void Submit(const std::string& id) {
    SpecRecord spec;
    spec.recipe_json = "{}";
    spec.files = {{"text.txt", std::string(64, 'a')}};
    ASSERT_EQ(state_->Apply(CreationOf(id, spec)), ApplyResult::kOk);
  }
  JobRecord UntilSucceeded(const std::string& id) {
    uint64_t position = 0;
    JobRecord job;
    for (int i = 0; i < 200 && job.state != JobState::kSucceeded; ++i) {
      position = state_->WaitForEvents(position, 50).value();
      const auto record = state_->Get(JobKey("t", id)).value();
      if (record.has_value()) job = JobRecordFromJson(record->value).value();
    }
    return job;
  }
  // Runs the job the way a worker does, and reports this result.
  void RunJob(const std::string& digest) {
    v1::SynchronizeResponse response;
    while (response.assignments_size() == 0) ASSERT_TRUE(Synchronize(Idle(), &response).ok());
    const v1::Assignment& given = response.assignments(0);
    EXPECT_EQ(given.files().at("text.txt"), std::string(64, 'a'));
    v1::SynchronizeRequest report = Idle();
    v1::SlotReport* slot = report.add_slots();
    slot->set_tenant(given.tenant());
    slot->set_job(given.job());
    *slot->mutable_token() = given.token();
    slot->mutable_outcome()->set_manifest_digest(digest);
    v1::SynchronizeResponse last;
    ASSERT_TRUE(Synchronize(report, &last).ok());
    EXPECT_EQ(last.assignments_size(), 0);
  }

  TempDir dir_{"sched"};
  std::shared_ptr<StateStore> state_ = NewMemoryStateStore();
  FakeStore store_;
  std::unique_ptr<RpcServer> store_rpc_, rpc_;
  std::unique_ptr<SchedulerServer> scheduler_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::WorkerService::Stub> workers_;
  uint64_t sequence_ = 0;
};

TEST_F(SchedulerServerTest, AJobIsRunAndPublishedOverTheWire) {
  Submit("job1");
  RunJob(std::string(64, '1'));
  EXPECT_EQ(UntilSucceeded("job1").artifact, std::string(64, '1'));
}

TEST_F(SchedulerServerTest, AResultThatTheStoreHasAlreadyIsTakenFromIt) {
  Submit("job2");
  v1::SynchronizeResponse ready;
  ASSERT_TRUE(Synchronize(Idle(), &ready).ok());
  store_.Preset("job1", std::string(64, '7'));
  store_.Preset("job2", std::string(64, '8'));
  RunJob(std::string(64, '1'));
  EXPECT_EQ(UntilSucceeded("job2").artifact, std::string(64, '8'));
}

TEST_F(SchedulerServerTest, AnImpossibleReportIsRefusedWithAReason) {
  v1::SynchronizeResponse response;
  v1::SynchronizeRequest nameless = Idle();
  nameless.clear_worker_id();
  EXPECT_EQ(ReasonOf(FromGrpc(Synchronize(nameless, &response))), "BAD_REPORT");
  v1::SynchronizeRequest greedy = Idle();
  greedy.set_slot_count(1 << 30);
  EXPECT_EQ(ReasonOf(FromGrpc(Synchronize(greedy, &response))), "BAD_REPORT");
}

TEST_F(SchedulerServerTest, OperatorsAreAnswered) {
  v1::SynchronizeResponse response;
  ASSERT_TRUE(Synchronize(Idle(), &response).ok());
  auto admin = v1::AdminService::NewStub(channel_);
  grpc::ClientContext list, drain, queue;
  for (grpc::ClientContext* context : {&list, &drain, &queue}) PrepareContext(context, 10000);
  v1::ListWorkersResponse workers;
  ASSERT_TRUE(admin->ListWorkers(&list, {}, &workers).ok());
  ASSERT_EQ(workers.workers_size(), 1);
  EXPECT_EQ(workers.workers(0).worker_id(), "w");
  v1::DrainWorkerRequest request;
  request.set_worker_id("nobody");
  v1::DrainWorkerResponse drained;
  EXPECT_EQ(ReasonOf(FromGrpc(admin->DrainWorker(&drain, request, &drained))), "WORKER_UNKNOWN");
  v1::GetQueueResponse queued;
  ASSERT_TRUE(admin->GetQueue(&queue, {}, &queued).ok());
  EXPECT_EQ(queued.incarnation(), 1u);
}

}  // namespace
}  // namespace swage
