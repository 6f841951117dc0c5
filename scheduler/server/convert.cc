#include "scheduler/server/convert.h"

#include <algorithm>
#include <cmath>

#include "base/limits.h"
#include "services/kit/rpc.h"

namespace swage {
namespace {

Status BadReport(std::string_view what) {
  return InvalidInput("BAD_REPORT", Cat("SynchronizeRequest: ", what),
                      "update the worker; it speaks another protocol");
}

bool IsName(const std::string& text) {
  return !text.empty() && text.size() <= limits::kWorkerIdBytes &&
         std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return c > 0x20 && c < 0x7f; });
}

// Cut for the records; people read the beginning.
std::string Cut(const std::string& text, size_t bytes) { return text.substr(0, bytes); }

JobToken Of(const v1::Token& token) { return {token.incarnation(), token.epoch(), token.random()}; }

void ToProto(const JobToken& token, v1::Token* out) {
  out->set_incarnation(token.incarnation);
  out->set_epoch(token.epoch);
  out->set_random(token.random);
}

void ToProto(const DeviceReport& device, v1::Device* out) {
  out->set_id(device.id);
  out->set_kind(device.kind);
  out->set_total_bytes(device.total_bytes);
  out->set_numerics_class(device.numerics_class);
  out->set_problem(device.problem);
}

void ToProto(const DeviceShare& share, v1::DeviceShare* out) {
  out->set_device(share.device);
  out->set_bytes(share.bytes);
}

void SetTime(int64_t unix_nanos, google::protobuf::Timestamp* out) {
  out->set_seconds(unix_nanos / 1'000'000'000);
  out->set_nanos(static_cast<int32_t>(unix_nanos % 1'000'000'000));
}

SlotReport Of(const v1::SlotReport& slot) {
  SlotReport out;
  out.tenant = Cut(slot.tenant(), limits::kWorkerIdBytes);
  out.job = Cut(slot.job(), limits::kWorkerIdBytes);
  out.token = Of(slot.token());
  out.progress = {Cut(slot.stage(), limits::kStageBytes),
                  Cut(slot.message(), limits::kStatusMessageBytes), slot.fraction(),
                  slot.eta_seconds(), slot.peak_bytes()};
  if (slot.has_outcome()) {
    out.outcome = OutcomeReport{Cut(slot.outcome().manifest_digest(), 65),
                                Cut(slot.outcome().reason(), limits::kStageBytes),
                                Cut(slot.outcome().message(), limits::kStatusMessageBytes),
                                Cut(slot.outcome().device(), limits::kWorkerIdBytes)};
  }
  out.started = slot.started();
  out.stopping = slot.stopping();
  out.checkpoint = Cut(slot.checkpoint(), 65);
  out.rendezvous = slot.rendezvous();
  out.gathered = slot.gathered();
  return out;
}

}  // namespace

StatusOr<WorkerReport> FromProto(const v1::SynchronizeRequest& request) {
  if (!IsName(request.worker_id()) || !IsName(request.boot_id()))
    return BadReport("worker_id or boot_id is not a name");
  if (request.sequence() == 0) return BadReport("sequence starts at 1");
  if (request.slot_count() < 0 || request.slot_count() > limits::kWorkerSlots)
    return BadReport("slot_count is out of range");
  if (request.slots_size() > 2 * limits::kWorkerSlots) return BadReport("too many slots");
  if (request.devices_size() > limits::kWorkerDevices) return BadReport("too many devices");
  if (request.methods_size() > limits::kWorkerMethods) return BadReport("too many methods");
  if (request.features_size() > limits::kWorkerMethods) return BadReport("too many features");
  if (request.cached_models_size() > limits::kWorkerCachedModels)
    return BadReport("too many cached models");
  WorkerReport report;
  report.worker_id = request.worker_id();
  report.boot_id = request.boot_id();
  report.sequence = request.sequence();
  report.draining = request.draining();
  report.slot_count = request.slot_count();
  for (const auto& device : request.devices()) {
    if (device.total_bytes() > limits::kDeviceBytes)
      return BadReport("a device of impossible size");
    report.devices.push_back(
        {Cut(device.id(), limits::kWorkerIdBytes), Cut(device.kind(), limits::kStageBytes),
         Cut(device.numerics_class(), limits::kStatusMessageBytes), device.total_bytes(),
         Cut(device.problem(), limits::kStatusMessageBytes)});
  }
  for (const auto& slot : request.slots()) {
    if (slot.rendezvous().size() > limits::kRendezvousBytes) return BadReport("a rendezvous is too long");
    report.slots.push_back(Of(slot));
  }
  for (const auto& method : request.methods())
    report.methods.push_back(Cut(method, limits::kStageBytes));
  for (const auto& feature : request.features())
    report.features.push_back(Cut(feature, limits::kStageBytes));
  for (const auto& model : request.cached_models()) report.cached.push_back(Cut(model, 65));
  report.address = Cut(request.address(), limits::kWorkerIdBytes);
  return report;
}

void ToProto(const SyncAnswer& answer, v1::SynchronizeResponse* response) {
  response->set_lease_ms(answer.lease_ms);
  response->set_superseded(answer.superseded);
  for (const AssignmentOrder& order : answer.assignments) {
    v1::Assignment* out = response->add_assignments();
    out->set_tenant(order.tenant);
    out->set_job(order.job);
    ToProto(order.token, out->mutable_token());
    out->set_recipe_json(order.spec.recipe_json);
    out->set_model_digest(order.model_digest);
    for (const auto& [path, digest] : order.spec.files) (*out->mutable_files())[path] = digest;
    out->set_memory_limit_bytes(order.memory_limit_bytes);
    out->set_traceparent(order.traceparent);
    out->set_attempt(order.attempt);
    for (const DeviceShare& share : order.devices) ToProto(share, out->add_devices());
    out->set_checkpoint(order.checkpoint);
    out->set_rank(order.rank);
    out->set_world(order.world);
    out->set_started(order.started);
    for (const std::string& peer : order.peers) out->add_peers(peer);
    for (const std::string& said : order.rendezvous) out->add_rendezvous(said);
  }
  for (const StopOrder& stop : answer.stops) {
    v1::Assignment* out = response->add_assignments();
    out->set_tenant(stop.tenant);
    out->set_job(stop.job);
    ToProto(stop.token, out->mutable_token());
    out->set_stop(true);
    out->set_grace_ms(stop.grace_ms);
    out->set_stop_reason(stop.reason);
  }
}

void ToProto(const WorkerView& view, v1::WorkerInfo* info) {
  info->set_worker_id(view.worker_id);
  info->set_boot_id(view.boot_id);
  info->set_connected(view.connected);
  info->set_draining(view.draining);
  info->set_slot_count(view.slot_count);
  for (const DeviceReport& device : view.devices) ToProto(device, info->add_devices());
  for (const std::string& job : view.jobs) info->add_jobs(job);
  for (const DeviceShare& share : view.free) ToProto(share, info->add_free());
  info->set_free_slots(view.free_slots);
  for (const std::string& feature : view.features) info->add_features(feature);
  for (const WorkerJobView& job : view.running) {
    v1::WorkerJob* out = info->add_running();
    out->set_tenant(job.tenant);
    out->set_job(Cat("jobs/", job.job));
    out->set_state(std::string(JobStateName(job.state)));
    out->set_stage(job.progress.stage);
    out->set_fraction(job.progress.fraction);
    out->set_eta_seconds(job.progress.eta_seconds);
  }
  SetTime(view.last_seen_unix_nanos, info->mutable_last_seen());
}

void ToProto(const QueuedView& view, v1::QueuedJob* out) {
  out->set_tenant(view.tenant);
  out->set_job(Cat("jobs/", view.job));
  out->set_pending_reason(view.pending_reason);
  out->set_priority(view.priority);
  SetTime(view.queued_unix_nanos, out->mutable_queued_since());
}

void ToProto(const ClassView& view, v1::QueueClass* out) {
  out->set_tenant(view.tenant);
  out->set_shape(view.shape);
  out->set_jobs(view.jobs);
  out->set_oldest(Cat("jobs/", view.oldest));
  out->set_pending_reason(view.pending_reason);
}

void ToProto(const TenantView& view, v1::Tenant* out) {
  const TenantRecord& settings = view.settings;
  out->set_tenant(settings.tenant);
  out->set_weight(settings.weight);
  out->set_max_running(settings.max_running);
  out->set_max_host_bytes(settings.max_host_bytes);
  out->set_max_device_bytes(settings.max_device_bytes);
  out->set_max_queued(settings.max_queued);
  out->set_running(view.running);
  out->set_waiting(view.waiting);
  out->set_share(view.share * settings.weight);
  out->set_entitlement(view.entitlement);
  out->set_host_bytes(view.present.host_bytes);
  out->set_device_bytes(view.present.device_bytes);
}

StatusOr<TenantRecord> FromProto(const v1::Tenant& tenant) {
  SWAGE_ASSIGN_OR_RETURN(const std::string name, CheckTenant(tenant.tenant()));
  TenantRecord record;
  record.tenant = name;
  record.weight = tenant.weight();
  record.max_running = tenant.max_running();
  record.max_host_bytes = tenant.max_host_bytes();
  record.max_device_bytes = tenant.max_device_bytes();
  record.max_queued = tenant.max_queued();
  return record;
}

void ToProto(const Explanation& explanation, v1::ExplainJobResponse* out) {
  out->set_state(explanation.state);
  out->set_summary(explanation.summary);
  for (const std::string& fact : explanation.facts) out->add_facts(fact);
  for (const Verdict& verdict : explanation.workers) {
    v1::WorkerVerdict* worker = out->add_workers();
    worker->set_worker(verdict.worker);
    worker->set_verdict(verdict.text);
  }
}

}  // namespace swage
