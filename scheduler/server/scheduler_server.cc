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

constexpr size_t kQueueShown = 1000, kClassesShown = 200;

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
    return ToGrpc(leader_->Look([&](const Core& core, Now) {
      for (const WorkerView& view : core.Workers()) ToProto(view, response->add_workers());
      return absl::OkStatus();
    }));
  }

  grpc::Status GetQueue(grpc::ServerContext*, const v1::GetQueueRequest* request,
                        v1::GetQueueResponse* response) override {
    if (request->limit() < 0) {
      return ToGrpc(InvalidInput("BAD_LIMIT", "limit must not be negative", "use 0 for 1000"));
    }
    const size_t limit = request->limit() == 0
                             ? kQueueShown
                             : std::min(kQueueShown, static_cast<size_t>(request->limit()));
    response->set_incarnation(leader_->incarnation());
    return ToGrpc(leader_->Look([&](const Core& core, Now now) {
      for (const QueuedView& view : core.Queue(request->tenant(), limit, now))
        ToProto(view, response->add_queued());
      for (const ClassView& view : core.QueueClasses(request->tenant(), kClassesShown, now))
        ToProto(view, response->add_classes());
      response->set_waiting(core.waiting());
      return absl::OkStatus();
    }));
  }

  grpc::Status ExplainJob(grpc::ServerContext*, const v1::ExplainJobRequest* request,
                          v1::ExplainJobResponse* response) override {
    const auto tenant = CheckTenant(request->tenant());
    if (!tenant.ok()) return ToGrpc(tenant.status());
    const std::string& name = request->job();
    const std::string id = StartsWith(name, "jobs/") ? name.substr(5) : name;
    return ToGrpc(leader_->Look([&](const Core& core, Now now) {
      SWAGE_ASSIGN_OR_RETURN(const Explanation explanation, core.Explain(*tenant, id, now));
      ToProto(explanation, response);
      return absl::OkStatus();
    }));
  }

  grpc::Status DrainWorker(grpc::ServerContext*, const v1::DrainWorkerRequest* request,
                           v1::DrainWorkerResponse*) override {
    return ToGrpc(leader_->Command([r = *request](Core& core, Now now) {
      return core.SetDrain(r.worker_id(), r.drain(), r.evict(), now);
    }));
  }

  grpc::Status CordonDevice(grpc::ServerContext*, const v1::CordonDeviceRequest* request,
                            v1::CordonDeviceResponse*) override {
    return ToGrpc(leader_->Command([r = *request](Core& core, Now now) {
      return core.SetCordon(r.worker_id(), r.device(),
                            r.reason().substr(0, limits::kStatusMessageBytes), now);
    }));
  }

  grpc::Status ListTenants(grpc::ServerContext*, const v1::ListTenantsRequest*,
                           v1::ListTenantsResponse* response) override {
    return ToGrpc(leader_->Look([&](const Core& core, Now now) {
      for (const TenantView& view : core.Tenants(now)) ToProto(view, response->add_tenants());
      return absl::OkStatus();
    }));
  }

  grpc::Status SetTenant(grpc::ServerContext*, const v1::SetTenantRequest* request,
                         v1::Tenant* response) override {
    const auto settings = FromProto(request->tenant());
    if (!settings.ok()) return ToGrpc(settings.status());
    const Status set = leader_->Command(
        [settings = *settings](Core& core, Now now) { return core.SetTenant(settings, now); });
    if (!set.ok()) return ToGrpc(set);
    return ToGrpc(leader_->Look([&](const Core& core, Now now) {
      for (const TenantView& view : core.Tenants(now)) {
        if (view.settings.tenant == settings->tenant) ToProto(view, response);
      }
      return absl::OkStatus();
    }));
  }

  grpc::Status GetSnapshot(grpc::ServerContext*, const v1::GetSnapshotRequest*,
                           grpc::ServerWriter<v1::GetSnapshotResponse>* writer) override {
    std::string json;
    const Status taken = leader_->Look([&](const Core& core, Now now) {
      json = core.Snapshot(now);
      return absl::OkStatus();
    });
    if (!taken.ok()) return ToGrpc(taken);
    v1::GetSnapshotResponse piece;
    for (size_t at = 0; at < json.size(); at += limits::kChunkBytes) {
      piece.set_json(json.substr(at, limits::kChunkBytes));
      if (!writer->Write(piece)) break;
    }
    return grpc::Status::OK;
  }

  grpc::Status GetStats(grpc::ServerContext*, const v1::GetStatsRequest*,
                        v1::Stats* response) override {
    const LeaderStats stats = leader_->Stats();
    response->set_incarnation(stats.incarnation);
    response->set_passes(stats.passes);
    response->set_last_pass_seconds(stats.last_pass_seconds);
    response->set_longest_pass_seconds(stats.longest_pass_seconds);
    response->set_assigned(stats.assigned);
    response->set_assign_wait_p50_seconds(stats.wait_p50_seconds);
    response->set_assign_wait_p99_seconds(stats.wait_p99_seconds);
    return ToGrpc(leader_->Look([&](const Core& core, Now now) {
      response->set_waiting(core.waiting());
      response->set_refused_outcomes(core.refused_outcomes());
      response->set_evictions(core.evictions());
      uint64_t running = 0, workers = 0;
      for (const TenantView& tenant : core.Tenants(now)) running += tenant.running;
      for (const WorkerView& worker : core.Workers()) workers += worker.connected;
      response->set_running(running);
      response->set_workers(workers);
      return absl::OkStatus();
    }));
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
