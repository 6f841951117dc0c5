#include "clients/cli/admin_client.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/limits.h"
#include "base/text.h"
#include "services/kit/rpc.h"
#include "clients/cli/convert.h"
#include "swage/v1/admin.grpc.pb.h"

namespace swage {
namespace {

using SteadyClock = std::chrono::steady_clock;
using Stub = v1::AdminService::Stub;

constexpr int kAdminFirstWaitMs = 20, kAdminLongestWaitMs = 500;
constexpr int kShownInTop = 1;  // jobs one by one: none is shown, and 0 would mean all

WorkerEntry ToView(const v1::WorkerInfo& worker) {
  WorkerEntry view;
  view.worker_id = worker.worker_id();
  view.boot_id = worker.boot_id();
  view.connected = worker.connected();
  view.draining = worker.draining();
  view.slot_count = worker.slot_count();
  view.free_slots = worker.free_slots();
  for (const v1::Device& device : worker.devices()) {
    DeviceEntry& entry = view.devices.emplace_back();
    entry = {device.id(), device.kind(), device.numerics_class(), device.problem(), device.total_bytes(), 0};
    for (const v1::DeviceShare& share : worker.free()) {
      if (share.device() == device.id()) entry.free_bytes = share.bytes();
    }
  }
  for (const v1::WorkerJob& job : worker.running()) {
    view.jobs.push_back({job.tenant(), job.job(), job.state(), job.stage(), job.fraction(), job.eta_seconds()});
  }
  view.features.assign(worker.features().begin(), worker.features().end());
  view.last_seen_unix_nanos = Nanos(worker.last_seen());
  return view;
}

TenantEntry ToView(const v1::Tenant& t) {
  TenantEntry view;
  view.tenant = t.tenant();
  view.weight = t.weight();
  view.max_running = t.max_running();
  view.max_queued = t.max_queued();
  view.max_host_bytes = t.max_host_bytes();
  view.max_device_bytes = t.max_device_bytes();
  view.running = t.running();
  view.waiting = t.waiting();
  view.share = t.share();
  view.entitlement = t.entitlement();
  view.host_bytes = t.host_bytes();
  view.device_bytes = t.device_bytes();
  return view;
}

StatsView ToView(const v1::Stats& s) {
  StatsView view;
  view.incarnation = s.incarnation();
  view.waiting = s.waiting();
  view.running = s.running();
  view.workers = s.workers();
  view.refused_outcomes = s.refused_outcomes();
  view.evictions = s.evictions();
  view.passes = s.passes();
  view.assigned = s.assigned();
  view.last_pass_seconds = s.last_pass_seconds();
  view.longest_pass_seconds = s.longest_pass_seconds();
  view.wait_p50_seconds = s.assign_wait_p50_seconds();
  view.wait_p99_seconds = s.assign_wait_p99_seconds();
  return view;
}

}  // namespace

struct AdminClient::State {
  AdminClientOptions options;
  std::vector<std::string> addresses;
  size_t at = 0;
  std::unique_ptr<Stub> stub;

  Status Connect() {
    if (addresses.empty()) {
      SWAGE_ASSIGN_OR_RETURN(const std::string text, options.addresses());
      for (const std::string& address : Split(text, ',')) addresses.emplace_back(Trim(address));
    }
    if (stub == nullptr) stub = v1::AdminService::NewStub(NewChannel(addresses[at % addresses.size()]));
    return absl::OkStatus();
  }

  // Of the next scheduler, when this one does not lead or does not answer. True after a whole round.
  bool Next() {
    stub.reset();
    return ++at % addresses.size() == 0;
  }

  // All calls may be repeated: what they set is set twice to the same.
  Status Retry(const std::function<grpc::Status(Stub*, grpc::ClientContext*)>& call) {
    const auto give_up = SteadyClock::now() + std::chrono::milliseconds(options.patience_ms);
    int wait_ms = kAdminFirstWaitMs;
    while (true) {
      SWAGE_RETURN_IF_ERROR(Connect());
      grpc::ClientContext context;
      PrepareContext(&context, std::min(limits::kUnaryDeadlineMs, options.patience_ms));
      const Status status = FromGrpc(call(stub.get(), &context));
      if (status.code() != StatusCode::kUnavailable && status.code() != StatusCode::kDeadlineExceeded) return status;
      if (!Next()) continue;
      if (SteadyClock::now() >= give_up) return Away(status);
      std::this_thread::sleep_for(std::chrono::milliseconds(wait_ms));
      wait_ms = std::min(2 * wait_ms, kAdminLongestWaitMs);
    }
  }

  Status Away(const Status& status) const {
    return Unavailable("NO_LEADER", Cat("no scheduler leads at ", Join(addresses, ", "), " (", MessageOf(status), ")"),
                       "see whether swage-scheduler runs and reaches the state store; running jobs go on meanwhile");
  }

  template <typename Method, typename Request, typename Response>
  Status Call(Method method, const Request& request, Response* response) {
    return Retry([&](Stub* on, grpc::ClientContext* context) { return (on->*method)(context, request, response); });
  }
};

AdminClient::AdminClient(AdminClientOptions options) : state_(std::make_unique<State>()) {
  state_->options = std::move(options);
}
AdminClient::~AdminClient() = default;

StatusOr<std::vector<WorkerEntry>> AdminClient::Workers() {
  v1::ListWorkersResponse response;
  SWAGE_RETURN_IF_ERROR(state_->Call(&Stub::ListWorkers, v1::ListWorkersRequest(), &response));
  std::vector<WorkerEntry> workers;
  for (const v1::WorkerInfo& worker : response.workers()) workers.push_back(ToView(worker));
  return workers;
}

StatusOr<QueueView> AdminClient::Queue(const std::string& tenant, int limit) {
  v1::GetQueueRequest request;
  request.set_tenant(tenant);
  request.set_limit(std::max(limit, kShownInTop));
  v1::GetQueueResponse response;
  SWAGE_RETURN_IF_ERROR(state_->Call(&Stub::GetQueue, request, &response));
  QueueView view;
  view.incarnation = response.incarnation();
  view.waiting = response.waiting();
  for (const v1::QueueClass& c : response.classes()) {
    view.classes.push_back({c.tenant(), c.shape(), c.oldest(), c.pending_reason(), c.jobs()});
  }
  for (const v1::QueuedJob& job : response.queued()) {
    if (static_cast<int>(view.jobs.size()) == limit) break;
    view.jobs.push_back({job.tenant(), job.job(), job.pending_reason(), job.priority(), Nanos(job.queued_since())});
  }
  return view;
}

StatusOr<ExplanationView> AdminClient::Explain(const std::string& tenant, const std::string& job) {
  v1::ExplainJobRequest request;
  request.set_tenant(tenant);
  request.set_job(job);
  v1::ExplainJobResponse response;
  SWAGE_RETURN_IF_ERROR(state_->Call(&Stub::ExplainJob, request, &response));
  ExplanationView view{job, response.state(), response.summary(), {response.facts().begin(), response.facts().end()}, {}};
  for (const v1::WorkerVerdict& verdict : response.workers()) {
    view.workers.emplace_back(verdict.worker(), verdict.verdict());
  }
  return view;
}

Status AdminClient::Drain(const std::string& worker_id, bool drain, bool evict) {
  v1::DrainWorkerRequest request;
  request.set_worker_id(worker_id);
  request.set_drain(drain);
  request.set_evict(evict);
  v1::DrainWorkerResponse response;
  return state_->Call(&Stub::DrainWorker, request, &response);
}

Status AdminClient::Cordon(const std::string& worker_id, const std::string& device, const std::string& reason) {
  v1::CordonDeviceRequest request;
  request.set_worker_id(worker_id);
  request.set_device(device);
  request.set_reason(reason);
  v1::CordonDeviceResponse response;
  return state_->Call(&Stub::CordonDevice, request, &response);
}

StatusOr<std::vector<TenantEntry>> AdminClient::Tenants() {
  v1::ListTenantsResponse response;
  SWAGE_RETURN_IF_ERROR(state_->Call(&Stub::ListTenants, v1::ListTenantsRequest(), &response));
  std::vector<TenantEntry> tenants;
  for (const v1::Tenant& tenant : response.tenants()) tenants.push_back(ToView(tenant));
  return tenants;
}

StatusOr<TenantEntry> AdminClient::SetTenant(const TenantEntry& tenant) {
  v1::SetTenantRequest request;
  v1::Tenant* out = request.mutable_tenant();
  out->set_tenant(tenant.tenant);
  out->set_weight(tenant.weight);
  out->set_max_running(tenant.max_running);
  out->set_max_queued(tenant.max_queued);
  out->set_max_host_bytes(tenant.max_host_bytes);
  out->set_max_device_bytes(tenant.max_device_bytes);
  v1::Tenant response;
  SWAGE_RETURN_IF_ERROR(state_->Call(&Stub::SetTenant, request, &response));
  return ToView(response);
}

StatusOr<StatsView> AdminClient::Stats() {
  v1::Stats response;
  SWAGE_RETURN_IF_ERROR(state_->Call(&Stub::GetStats, v1::GetStatsRequest(), &response));
  return ToView(response);
}

StatusOr<TopView> AdminClient::Top() {
  TopView top;
  SWAGE_ASSIGN_OR_RETURN(top.stats, Stats());
  SWAGE_ASSIGN_OR_RETURN(top.workers, Workers());
  SWAGE_ASSIGN_OR_RETURN(top.tenants, Tenants());
  SWAGE_ASSIGN_OR_RETURN(top.queue, Queue("", 0));
  return top;
}

Status AdminClient::Snapshot(const std::function<Status(std::string_view)>& piece) {
  bool begun = false;
  Status written;
  const Status status = state_->Retry([&](Stub* stub, grpc::ClientContext* context) {
    if (begun) {  // of another leader it would not fit together
      return ToGrpc(Error(StatusCode::kAborted, "SNAPSHOT_CUT", "the scheduler went away amid the snapshot", "try again"));
    }
    const auto stream = stub->GetSnapshot(context, v1::GetSnapshotRequest());
    v1::GetSnapshotResponse response;
    while (written.ok() && stream->Read(&response)) {
      begun = true;
      written = piece(response.json());
    }
    if (!written.ok()) context->TryCancel();
    const grpc::Status finished = stream->Finish();
    return written.ok() ? finished : grpc::Status::OK;
  });
  SWAGE_RETURN_IF_ERROR(written);
  return status;
}

}  // namespace swage
