// The kit over real sockets: errors, health, reflection, deadlines, sockets' permissions.
#include "services/kit/rpc.h"

#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <thread>

#include "base/env.h"
#include "base/limits.h"
#include "google/rpc/status.pb.h"
#include "services/kit/deadline.h"
#include "services/kit/faults.h"
#include "swage/v1/job.grpc.pb.h"

namespace swage {
namespace {

// Fails, or waits until its call is cancelled.
class FakeJobs : public v1::JobService::Service {
 public:
  grpc::Status GetJob(grpc::ServerContext* context, const v1::GetJobRequest* request, v1::Job* job) override {
    if (request->name() == "trace") {
      job->set_trace_id(TraceOf(*context).trace_id);
      return grpc::Status::OK;
    }
    if (request->name() == "forever") {
      while (!context->IsCancelled()) std::this_thread::yield();
      return grpc::Status::OK;
    }
    return ToGrpc(InvalidInput("SHARD_MISSING", "model-2.safetensors is not there", "upload the complete folder"));
  }
};

// Counts what reaches it.
class CountingJobs : public v1::JobService::Service {
 public:
  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest*, v1::Job*) override {
    ++calls;
    return grpc::Status::OK;
  }
  std::atomic<int> calls = 0;
};

// Answers when it is told to.
class WaitingJobs : public v1::JobService::Service {
 public:
  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest*, v1::Job*) override {
    entered.set_value();
    go.get_future().wait();
    return grpc::Status::OK;
  }
  std::promise<void> entered, go;
};

// Holds every call until it is told to let go.
class HoldingJobs : public v1::JobService::Service {
 public:
  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest*, v1::Job*) override {
    std::unique_lock lock(mu);
    ++held;
    changed.notify_all();
    changed.wait(lock, [&] { return go; });
    return grpc::Status::OK;
  }
  std::mutex mu;
  std::condition_variable changed;
  int held = 0;
  bool go = false;
};

v1::Job Call(const std::string& address, const std::string& name, Status* status, const SpanContext& trace = {}) {
  const auto stub = v1::JobService::NewStub(NewChannel(address));
  grpc::ClientContext context;
  PrepareContext(&context, 5000, trace);
  v1::GetJobRequest request;
  request.set_name(name);
  v1::Job job;
  *status = FromGrpc(stub->GetJob(&context, request, &job));
  return job;
}

TEST(Rpc, AnErrorArrivesWithCodeReasonMessageAndNextStep) {
  FakeJobs jobs;
  const auto server = RpcServer::Start({"127.0.0.1:0"}, {&jobs});
  ASSERT_TRUE(server.ok()) << server.status();
  Status status;
  Call((*server)->addresses()[0], "x", &status);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(status), "SHARD_MISSING");
  EXPECT_EQ(MessageOf(status), "model-2.safetensors is not there");
  EXPECT_EQ(NextStepOf(status), "upload the complete folder");
}

TEST(Rpc, AnErrorWithoutReasonStaysWithoutOne) {
  const Status there = FromGrpc(ToGrpc(Status(StatusCode::kInternal, "boom")));
  EXPECT_EQ(there.code(), StatusCode::kInternal);
  EXPECT_EQ(ReasonOf(there), "");
  EXPECT_EQ(MessageOf(there), "boom");
  EXPECT_TRUE(FromGrpc(ToGrpc(absl::OkStatus())).ok());
}

TEST(Rpc, NobodyThereIsUnreachable) {
  TempDir dir;
  Status status;
  Call(Cat("unix:", dir.path(), "/none.sock"), "x", &status);
  EXPECT_EQ(ReasonOf(status), "UNREACHABLE");
}

TEST(Rpc, TheTraceTravelsWithTheCall) {
  FakeJobs jobs;
  const auto server = RpcServer::Start({"127.0.0.1:0"}, {&jobs});
  ASSERT_TRUE(server.ok()) << server.status();
  const SpanContext trace = SpanContext::NewTrace();
  Status status;
  EXPECT_EQ(Call((*server)->addresses()[0], "trace", &status, trace).trace_id(), trace.trace_id);
}

TEST(Rpc, AUnixSocketIsTheUsersOnlyAndAStaleOneIsReplaced) {
  TempDir dir;
  const std::string path = JoinPath(dir.path(), "run/s.sock");
  FakeJobs jobs;
  {
    const auto first = RpcServer::Start({Cat("unix:", path)}, {&jobs});
    ASSERT_TRUE(first.ok()) << first.status();
    struct stat info {};
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
    ASSERT_EQ(::stat(DirName(path).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0700u);
    FakeJobs other;
    EXPECT_EQ(ReasonOf(RpcServer::Start({Cat("unix:", path)}, {&other}).status()), "ADDRESS_IN_USE");
    Status status;
    Call(Cat("unix:", path), "x", &status);
    EXPECT_EQ(ReasonOf(status), "SHARD_MISSING");
  }
  // A socket that nobody listens on, as a killed server leaves it.
  ::unlink(path.c_str());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ::close(fd);
  FakeJobs again;
  EXPECT_TRUE(RpcServer::Start({Cat("unix:", path)}, {&again}).ok());
}

TEST(Rpc, ATakenPortIsAnErrorNotAShare) {
  FakeJobs jobs, more;
  const auto server = RpcServer::Start({"127.0.0.1:0"}, {&jobs});
  ASSERT_TRUE(server.ok());
  EXPECT_EQ(ReasonOf(RpcServer::Start({(*server)->addresses()[0]}, {&more}).status()), "ADDRESS_IN_USE");
}

// The health protocol, spoken without its stubs: request {1: service}, response {1: status}; 1 is SERVING.
StatusOr<std::string> Health(const std::string& address, const std::string& service) {
  const auto channel = NewChannel(address);
  grpc::Slice request = service.empty() ? grpc::Slice("") : grpc::Slice(Cat("\x0a", static_cast<char>(service.size()), service));
  grpc::ByteBuffer out(&request, 1), in;
  grpc::ClientContext context;
  PrepareContext(&context, 5000);
  std::promise<grpc::Status> answered;
  grpc::GenericStub(channel).UnaryCall(&context, "/grpc.health.v1.Health/Check", grpc::StubOptions(), &out, &in,
                                       [&](grpc::Status status) { answered.set_value(std::move(status)); });
  const grpc::Status status = answered.get_future().get();
  if (!status.ok()) return FromGrpc(status);
  std::vector<grpc::Slice> slices;
  (void)in.Dump(&slices);
  std::string bytes;
  for (const auto& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

TEST(Rpc, HealthSpeaksForTheServerAndForEachService) {
  FakeJobs jobs;
  const auto server = RpcServer::Start({"127.0.0.1:0"}, {&jobs});
  ASSERT_TRUE(server.ok());
  const std::string address = (*server)->addresses()[0];
  for (const char* name : {"", "swage.v1.JobService"}) {
    const auto serving = Health(address, name);
    ASSERT_TRUE(serving.ok()) << name << " " << serving.status();
    EXPECT_EQ(*serving, std::string("\x08\x01"));
  }
  EXPECT_EQ(Health(address, "swage.v1.ArtifactService").status().code(), StatusCode::kNotFound);
  (*server)->SetServing(false);
  EXPECT_EQ(*Health(address, ""), std::string("\x08\x02"));
}

TEST(Rpc, TenantsArePlainNames) {
  EXPECT_EQ(*CheckTenant(""), "default");
  EXPECT_EQ(*CheckTenant("team-7"), "team-7");
  for (const std::string bad : {"Team", "7up", "a/b", "-", "a.b", std::string(64, 'a').c_str()}) {
    EXPECT_EQ(ReasonOf(CheckTenant(bad).status()), "BAD_TENANT") << bad;
  }
}

TEST(Deadline, ACallThatBringsNoneIsGivenOneAndOneThatBringsItsOwnKeepsIt) {
  FakeJobs jobs;
  auto keeper = std::make_shared<DeadlineKeeper>(50, 50);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(DeadlineKeeper::Factory(keeper));
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&jobs);
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  const auto server = builder.BuildAndStart();
  const auto stub = v1::JobService::NewStub(NewChannel(Cat("127.0.0.1:", port)));
  v1::GetJobRequest request;
  request.set_name("forever");
  v1::Job job;
  grpc::ClientContext without;
  EXPECT_EQ(stub->GetJob(&without, request, &job).error_code(), grpc::StatusCode::CANCELLED);
  grpc::ClientContext with;
  PrepareContext(&with, 300);
  EXPECT_EQ(stub->GetJob(&with, request, &job).error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST(Rpc, ADrainWaitsForCallsNotForIdleConnections) {
  CountingJobs jobs;
  auto server = RpcServer::Start({"127.0.0.1:0"}, {&jobs});
  ASSERT_TRUE(server.ok());
  const auto channel = NewChannel((*server)->addresses()[0]);
  const auto stub = v1::JobService::NewStub(channel);
  grpc::ClientContext context;
  PrepareContext(&context, 5000);
  v1::Job job;
  ASSERT_TRUE(stub->GetJob(&context, {}, &job).ok());
  const auto before = std::chrono::steady_clock::now();
  (*server)->Drain(20000);  // the channel is open and nobody reads from it
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(10));
}

TEST(Rpc, ADrainLetsACallFinish) {
  WaitingJobs jobs;
  auto server = RpcServer::Start({"127.0.0.1:0"}, {&jobs});
  ASSERT_TRUE(server.ok());
  auto answer = std::async(std::launch::async, [&] {
    Status status;
    Call((*server)->addresses()[0], "x", &status);
    return status;
  });
  jobs.entered.get_future().wait();
  auto drained = std::async(std::launch::async, [&] { (*server)->Drain(20000); });
  jobs.go.set_value();
  EXPECT_TRUE(answer.get().ok());
  drained.get();
}

TEST(Faults, ADroppedRequestNeverArrivesALostAnswerDoes) {
  for (const bool lose : {false, true}) {
    CountingJobs jobs;
    const auto server = RpcServer::Start({"127.0.0.1:0"}, {&jobs});
    ASSERT_TRUE(server.ok());
    const auto faults = ParseRpcFaults(lose ? "GetJob:lose:1" : "GetJob:drop:1");
    ASSERT_TRUE(faults.ok()) << faults.status();
    const auto stub = v1::JobService::NewStub(grpc::experimental::CreateCustomChannelWithInterceptors(
        (*server)->addresses()[0], grpc::InsecureChannelCredentials(), {}, MakeFaultInterceptors(*faults)));
    grpc::ClientContext context;
    PrepareContext(&context, 5000);
    v1::Job job;
    EXPECT_EQ(stub->GetJob(&context, {}, &job).error_code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_EQ(jobs.calls, lose ? 1 : 0);
    grpc::ClientContext other;
    PrepareContext(&other, 5000);
    v1::ServerInfo info;  // another method is left alone: the service answers that it lacks it
    EXPECT_EQ(stub->GetServerInfo(&other, {}, &info).error_code(), grpc::StatusCode::UNIMPLEMENTED);
  }
}

TEST(Faults, ADoubledRequestArrivesTwiceAndTheFirstAnswerIsSeen) {
  CountingJobs jobs;
  const auto server = RpcServer::Start({"127.0.0.1:0"}, {&jobs});
  ASSERT_TRUE(server.ok());
  const auto stub = v1::JobService::NewStub(grpc::experimental::CreateCustomChannelWithInterceptors(
      (*server)->addresses()[0], grpc::InsecureChannelCredentials(), {}, MakeFaultInterceptors(*ParseRpcFaults("*:dup:1"))));
  for (int i = 1; i <= 10; ++i) {
    grpc::ClientContext context;
    PrepareContext(&context, 5000);
    v1::Job job;
    ASSERT_TRUE(stub->GetJob(&context, {}, &job).ok());
  }
  (*server)->Drain(5000);  // the seconds that are on their way are let in
  EXPECT_GT(jobs.calls, 10);
  EXPECT_LE(jobs.calls, 20);
}

TEST(Faults, ARareRpcMeetsItsFaultAsOftenAsIsAskedFor) {
  CountingJobs jobs;
  const auto server = RpcServer::Start({"127.0.0.1:0"}, {&jobs});
  ASSERT_TRUE(server.ok());
  const auto stub = v1::JobService::NewStub(grpc::experimental::CreateCustomChannelWithInterceptors(
      (*server)->addresses()[0], grpc::InsecureChannelCredentials(), {},
      MakeFaultInterceptors(*ParseRpcFaults("*:drop:0:min=3"))));
  int failed = 0;
  for (int i = 0; i < 200; ++i) {
    grpc::ClientContext context;
    PrepareContext(&context, 5000);
    v1::Job job;
    failed += !stub->GetJob(&context, {}, &job).ok();
  }
  EXPECT_EQ(failed, 3);
}

TEST(Faults, AFileSwitchesThemWhileTheProcessRuns) {
  CountingJobs jobs;
  const auto server = RpcServer::Start({"127.0.0.1:0"}, {&jobs});
  ASSERT_TRUE(server.ok());
  TempDir dir("faults");
  const std::string file = JoinPath(dir.path(), "faults");
  const auto stub = v1::JobService::NewStub(grpc::experimental::CreateCustomChannelWithInterceptors(
      (*server)->addresses()[0], grpc::InsecureChannelCredentials(), {}, FaultInterceptorsFromFile(file)));
  const auto call = [&] {
    grpc::ClientContext context;
    PrepareContext(&context, 5000);
    v1::Job job;
    return stub->GetJob(&context, {}, &job).ok();
  };
  const auto becomes = [&](bool wanted) {  // the file is looked at every few milliseconds
    for (int i = 0; i < 100000; ++i) {
      if (call() == wanted) return true;
    }
    return false;
  };
  EXPECT_TRUE(call());
  ASSERT_TRUE(WriteFileAtomic(Env::Posix(), file, "GetJob:drop:1").ok());
  EXPECT_TRUE(becomes(false));
  ASSERT_TRUE(WriteFileAtomic(Env::Posix(), file, "").ok());
  EXPECT_TRUE(becomes(true));
}

TEST(Faults, OnlyWhatIsWellFormedIsTaken) {
  EXPECT_TRUE(ParseRpcFaults("")->empty());
  const auto faults = ParseRpcFaults("Write:drop:0.25, *:delay:1:20");
  ASSERT_TRUE(faults.ok()) << faults.status();
  ASSERT_EQ(faults->size(), 2u);
  EXPECT_EQ((*faults)[0].probability, 0.25);
  EXPECT_EQ((*faults)[1].delay_ms, 20);
  EXPECT_EQ(ParseRpcFaults("a:dup:0.5:min=3")->front().at_least, 3);
  EXPECT_EQ(ParseRpcFaults("a:delay:0.5:7:min=3")->front().delay_ms, 7);
  for (const char* bad : {"a:drop:1:min=0", "a:dup:1:2", "Write", "Write:drop", "Write:drop:2", "Write:drop:x", "Write:delay:1", "Write:eat:1", ":drop:1"}) {
    EXPECT_EQ(ReasonOf(ParseRpcFaults(bad).status()), "BAD_FAULTS") << bad;
  }
}

TEST(Rpc, TenTimesWhatAServerCanHoldIsRefusedAndTheRestIsServed) {
  HoldingJobs service;
  const auto server = RpcServer::Start({"127.0.0.1:0"}, {&service});
  ASSERT_TRUE(server.ok()) << server.status();
  const auto stub = v1::JobService::NewStub(NewChannel((*server)->addresses()[0]));
  struct Flight {
    grpc::ClientContext context;
    v1::GetJobRequest request;
    v1::Job job;
  };
  constexpr int kCalls = 10 * limits::kServerThreads;
  std::vector<std::unique_ptr<Flight>> flights;
  std::mutex mu;
  std::condition_variable changed;
  int ended = 0, refused = 0, served = 0;
  for (int i = 0; i < kCalls; ++i) {
    Flight* flight = flights.emplace_back(std::make_unique<Flight>()).get();
    PrepareContext(&flight->context, 60000);
    stub->async()->GetJob(&flight->context, &flight->request, &flight->job, [&](grpc::Status status) {
      std::lock_guard lock(mu);
      ++ended;
      refused += status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
      served += status.ok();
      changed.notify_all();
    });
  }
  {
    // Everything beyond the server's threads comes back at once, while the others are still held.
    std::unique_lock lock(mu);
    ASSERT_TRUE(changed.wait_for(lock, std::chrono::seconds(30), [&] { return refused >= kCalls - limits::kServerThreads; }));
    EXPECT_EQ(served, 0);
  }
  {
    std::lock_guard lock(service.mu);
    EXPECT_LE(service.held, limits::kServerThreads);
    EXPECT_GT(service.held, 0);
    service.go = true;
    service.changed.notify_all();
  }
  std::unique_lock lock(mu);
  ASSERT_TRUE(changed.wait_for(lock, std::chrono::seconds(30), [&] { return ended == kCalls; }));
  EXPECT_EQ(refused + served, kCalls);
  lock.unlock();
  Status status;
  Call((*server)->addresses()[0], "after", &status);
  EXPECT_TRUE(status.ok()) << status;
}

TEST(Rpc, ARefusalForWantOfRoomSaysWhenToTryAgain) {
  for (const auto code : {StatusCode::kUnavailable, StatusCode::kResourceExhausted, StatusCode::kInvalidArgument}) {
    google::rpc::Status rich;
    ASSERT_TRUE(rich.ParseFromString(ToGrpc(Error(code, "WHY", "message")).error_details()));
    google::rpc::RetryInfo retry;
    bool found = false;
    for (const auto& detail : rich.details()) found = found || detail.UnpackTo(&retry);
    EXPECT_EQ(found, code != StatusCode::kInvalidArgument);
    if (found) EXPECT_GT(retry.retry_delay().seconds() * 1000 + retry.retry_delay().nanos() / 1000000, 0);
  }
}

}  // namespace
}  // namespace swage
