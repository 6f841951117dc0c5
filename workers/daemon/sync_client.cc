#include "workers/daemon/sync_client.h"

#include <algorithm>
#include <mutex>

#include "services/kit/rpc.h"
#include "swage/v1/worker.grpc.pb.h"

namespace swage {
namespace {

void Fill(const AttemptToken& token, v1::Token* out) {
  out->set_incarnation(token.incarnation);
  out->set_epoch(token.epoch);
  out->set_random(token.random);
}

void Fill(const Slot& slot, v1::SlotReport* out) {
  out->set_tenant(slot.assignment.tenant);
  out->set_job(slot.assignment.job);
  Fill(slot.assignment.token, out->mutable_token());
  out->set_stage(slot.progress.stage);
  out->set_fraction(slot.progress.fraction);
  out->set_eta_seconds(slot.progress.eta_seconds);
  out->set_message(slot.progress.message);
  out->set_peak_bytes(slot.progress.peak_bytes);
  out->set_started(slot.assignment.started);
  out->set_stopping(slot.state == SlotState::kStopping && slot.winding_down);
  out->set_checkpoint(slot.checkpoint);
  out->set_rendezvous(slot.rendezvous);
  out->set_gathered(!slot.assignment.rendezvous.empty());
  if (slot.state != SlotState::kReporting) return;
  v1::SlotOutcome* outcome = out->mutable_outcome();
  outcome->set_manifest_digest(slot.outcome.manifest_digest);
  outcome->set_reason(slot.outcome.reason);
  outcome->set_message(slot.outcome.message);
  outcome->set_device(slot.outcome.device);
}

v1::SynchronizeRequest ToProto(const SyncReport& report) {
  v1::SynchronizeRequest request;
  request.set_worker_id(report.worker_id);
  request.set_boot_id(report.boot_id);
  request.set_sequence(report.sequence);
  for (const DeviceFields& device : report.devices) {
    v1::Device* out = request.add_devices();
    out->set_id(device.id);
    out->set_kind(device.kind);
    out->set_total_bytes(device.total_bytes);
    out->set_numerics_class(device.numerics_class);
    out->set_problem(device.problem);
  }
  for (const Slot& slot : report.slots) Fill(slot, request.add_slots());
  request.set_draining(report.draining);
  for (const std::string& method : report.methods) request.add_methods(method);
  request.set_slot_count(report.slot_count);
  for (const std::string& feature : report.features) request.add_features(feature);
  for (const std::string& model : report.cached_models) request.add_cached_models(model);
  request.set_address(report.address);
  return request;
}

Assignment FromProto(const v1::Assignment& in) {
  Assignment out;
  out.tenant = in.tenant();
  out.job = in.job();
  out.token = {in.token().incarnation(), in.token().epoch(), in.token().random()};
  out.recipe_json = in.recipe_json();
  out.model_digest = in.model_digest();
  out.traceparent = in.traceparent();
  out.files.insert(in.files().begin(), in.files().end());
  out.memory_limit_bytes = in.memory_limit_bytes();
  out.attempt = in.attempt();
  out.stop = in.stop();
  out.grace_ms = in.grace_ms();
  out.stop_reason = in.stop_reason();
  for (const auto& share : in.devices()) out.devices.push_back({share.device(), share.bytes()});
  out.checkpoint = in.checkpoint();
  out.rank = in.rank();
  out.world = std::max(1, in.world());
  out.started = in.started() || out.world == 1;
  out.peers.assign(in.peers().begin(), in.peers().end());
  out.rendezvous.assign(in.rendezvous().begin(), in.rendezvous().end());
  return out;
}

}  // namespace

struct SyncClient::State {
  std::vector<std::string> addresses;
  size_t at = 0;
  std::unique_ptr<v1::WorkerService::Stub> stub;
  std::mutex mutex;
  grpc::ClientContext* call = nullptr;  // in flight
};

SyncClient::SyncClient(const std::string& addresses) : state_(std::make_unique<State>()) {
  for (const std::string& address : Split(addresses, ',')) state_->addresses.emplace_back(Trim(address));
  state_->stub = v1::WorkerService::NewStub(NewChannel(state_->addresses[0]));
}
SyncClient::~SyncClient() = default;

StatusOr<SyncReply> SyncClient::Synchronize(const SyncReport& report, int deadline_ms) {
  grpc::ClientContext context;
  PrepareContext(&context, deadline_ms);
  {
    std::lock_guard<std::mutex> lock(state_->mutex);
    state_->call = &context;
  }
  v1::SynchronizeResponse response;
  const grpc::Status status = state_->stub->Synchronize(&context, ToProto(report), &response);
  {
    std::lock_guard<std::mutex> lock(state_->mutex);
    state_->call = nullptr;
  }
  const bool away = status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                    status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
  if (away && state_->addresses.size() > 1) {  // it does not lead, or is no more: perhaps the next one does
    state_->at = (state_->at + 1) % state_->addresses.size();
    state_->stub = v1::WorkerService::NewStub(NewChannel(state_->addresses[state_->at]));
  }
  SWAGE_RETURN_IF_ERROR(FromGrpc(status));
  SyncReply reply;
  for (const auto& assignment : response.assignments()) reply.assignments.push_back(FromProto(assignment));
  reply.lease_ms = response.lease_ms();
  reply.superseded = response.superseded();
  return reply;
}

void SyncClient::Interrupt() {
  std::lock_guard<std::mutex> lock(state_->mutex);
  if (state_->call != nullptr) state_->call->TryCancel();
}

}  // namespace swage
