#include "scheduler/server/convert.h"

#include <algorithm>
#include <cmath>

#include "base/limits.h"

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
                                Cut(slot.outcome().message(), limits::kStatusMessageBytes)};
  }
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
         Cut(device.numerics_class(), limits::kStatusMessageBytes), device.total_bytes()});
  }
  for (const auto& slot : request.slots()) report.slots.push_back(Of(slot));
  for (const auto& method : request.methods())
    report.methods.push_back(Cut(method, limits::kStageBytes));
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
    out->set_recipe_json(order.recipe_json);
    out->set_model_digest(order.model_digest);
    for (const auto& [path, digest] : order.files) (*out->mutable_files())[path] = digest;
    out->set_memory_limit_bytes(order.memory_limit_bytes);
    out->set_traceparent(order.traceparent);
    out->set_attempt(order.attempt);
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
  info->mutable_last_seen()->set_seconds(view.last_seen_unix_nanos / 1'000'000'000);
  info->mutable_last_seen()->set_nanos(
      static_cast<int32_t>(view.last_seen_unix_nanos % 1'000'000'000));
}

}  // namespace swage
