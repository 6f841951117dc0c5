// WorkerService by callback (a held call takes no thread) and AdminService, over the leader.
#include "scheduler/server/scheduler_server.h"

#include "scheduler/server/artifact_store.h"
#include "scheduler/server/convert.h"
#include "scheduler/server/leader.h"
#include "services/kit/rpc.h"
#include "swage/v1/admin.grpc.pb.h"
#include "swage/v1/worker.grpc.pb.h"

namespace swage {
namespace {

constexpr size_t kQueueShown = 1000;

// The reactor of a call lives until gRPC is done with it, the HeldCall until it is answered:
// whichever is later.
class SynchronizeReactor : public grpc::ServerUnaryReactor {
 public:
  void OnDone() override { delete this; }
};

class GrpcHeldCall : public HeldCall {
 public:
  GrpcHeldCall(SynchronizeReactor* reactor, v1::SynchronizeResponse* response)
      : reactor_(reactor), response_(response) {}
  ~GrpcHeldCall() override {
    if (reactor_ != nullptr)
      Refuse(Unavailable("SHUTTING_DOWN", "the scheduler is stopping", "try again"));
  }
  void Answer(const SyncAnswer& answer) override {
    ToProto(answer, response_);
    std::exchange(reactor_, nullptr)->Finish(grpc::Status::OK);
  }
  void Refuse(const Status& status) override {
    std::exchange(reactor_, nullptr)->Finish(ToGrpc(status));
  }

 private:
  SynchronizeReactor* reactor_;
  v1::SynchronizeResponse* response_;
};

class WorkerServiceImpl : public v1::WorkerService::CallbackService {
 public:
  explicit WorkerServiceImpl(Leader* leader) : leader_(leader) {}
  grpc::ServerUnaryReactor* Synchronize(grpc::CallbackServerContext*,
                                        const v1::SynchronizeRequest* request,
                                        v1::SynchronizeResponse* response) override {
    auto* reactor = new SynchronizeReactor;
    auto call = std::make_unique<GrpcHeldCall>(reactor, response);
    auto report = FromProto(*request);
    if (report.ok()) {
      leader_->Synchronize(std::move(*report), std::move(call));
    } else {
      call->Refuse(report.status());
    }
    return reactor;
  }

 private:
  Leader* const leader_;
};

class AdminServiceImpl : public v1::AdminService::Service {
 public:
  explicit AdminServiceImpl(Leader* leader) : leader_(leader) {}

  grpc::Status ListWorkers(grpc::ServerContext*, const v1::ListWorkersRequest*,
                           v1::ListWorkersResponse* response) override {
    auto workers = leader_->Workers();
    if (!workers.ok()) return ToGrpc(workers.status());
    for (const WorkerView& view : *workers) ToProto(view, response->add_workers());
    return grpc::Status::OK;
  }

  grpc::Status GetQueue(grpc::ServerContext*, const v1::GetQueueRequest* request,
                        v1::GetQueueResponse* response) override {
    auto queue = leader_->Queue(request->tenant(), kQueueShown);
    if (!queue.ok()) return ToGrpc(queue.status());
    for (const QueuedView& view : *queue) {
      v1::QueuedJob* job = response->add_queued();
      job->set_tenant(view.tenant);
      job->set_job(Cat("jobs/", view.job));
      job->set_pending_reason(view.pending_reason);
    }
    response->set_incarnation(leader_->incarnation());
    return grpc::Status::OK;
  }

  grpc::Status DrainWorker(grpc::ServerContext*, const v1::DrainWorkerRequest* request,
                           v1::DrainWorkerResponse*) override {
    return ToGrpc(leader_->Drain(request->worker_id(), request->drain()));
  }

 private:
  Leader* const leader_;
};

class SchedulerServerImpl : public SchedulerServer {
 public:
  explicit SchedulerServerImpl(const SchedulerOptions& options)
      : artifacts_(NewRemoteArtifactStore(options.store_address)),
        leader_(LeaderOptions{options.state, artifacts_.get(), options.lease_ms, options.clock,
                              options.tracer}),
        workers_(&leader_),
        admin_(&leader_) {}
  ~SchedulerServerImpl() override { Shutdown(); }
  std::vector<grpc::Service*> services() override { return {&workers_, &admin_}; }
  void Shutdown() override { leader_.Stop(); }

 private:
  const std::unique_ptr<ArtifactStore> artifacts_;
  Leader leader_;
  WorkerServiceImpl workers_;
  AdminServiceImpl admin_;
};

}  // namespace

StatusOr<std::unique_ptr<SchedulerServer>> SchedulerServer::Start(const SchedulerOptions& options) {
  if (options.state == nullptr) return Internal("the scheduler was given no state store");
  if (options.lease_ms < limits::kLeastLeaseMs) {
    return InvalidInput("LEASE_TOO_SHORT", Cat("a lease of ", options.lease_ms, " ms"),
                        Cat("--lease-ms takes at least ", limits::kLeastLeaseMs));
  }
  return std::unique_ptr<SchedulerServer>(std::make_unique<SchedulerServerImpl>(options));
}

}  // namespace swage
