#include "clients/cli/admin_view.h"
#include "clients/cli/json_output.h"

namespace swage {
namespace {

template <typename Entry>
OutputJson ListOf(const std::vector<Entry>& entries, OutputJson (*of)(const Entry&)) {
  OutputJson list = OutputJson::array();
  for (const Entry& entry : entries) list.push_back(of(entry));
  return list;
}

OutputJson Of(const DeviceEntry& device) {
  return {{"id", device.id},
          {"kind", device.kind},
          {"numerics_class", device.numerics_class},
          {"total_bytes", device.total_bytes},
          {"free_bytes", device.free_bytes},
          {"problem", device.problem}};
}

OutputJson Of(const WorkerJobEntry& job) {
  return {{"job", job.job},
          {"tenant", job.tenant},
          {"state", job.state},
          {"stage", job.stage},
          {"fraction", job.fraction},
          {"eta_seconds", job.eta_seconds < 0 ? OutputJson(nullptr) : OutputJson(job.eta_seconds)}};
}

OutputJson Of(const WorkerEntry& worker) {
  OutputJson jobs = OutputJson::array();
  for (const WorkerJobEntry& job : worker.jobs) jobs.push_back(job.job);
  return {{"worker_id", worker.worker_id},
          {"boot_id", worker.boot_id},
          {"connected", worker.connected},
          {"draining", worker.draining},
          {"slot_count", worker.slot_count},
          {"free_slots", worker.free_slots},
          {"devices", ListOf<DeviceEntry>(worker.devices, Of)},
          {"jobs", jobs},
          {"running", ListOf<WorkerJobEntry>(worker.jobs, Of)},
          {"features", worker.features},
          {"last_seen", TimeOutput(worker.last_seen_unix_nanos)}};
}

OutputJson Of(const QueuedEntry& job) {
  return {{"job", job.job},
          {"tenant", job.tenant},
          {"priority", job.priority},
          {"queued_since", TimeOutput(job.queued_unix_nanos)},
          {"pending_reason", job.pending_reason}};
}

OutputJson Of(const ClassEntry& c) {
  return {{"tenant", c.tenant},
          {"shape", c.shape},
          {"jobs", c.jobs},
          {"oldest", c.oldest},
          {"pending_reason", c.pending_reason}};
}

OutputJson Of(const QueueView& queue) {
  return {{"incarnation", queue.incarnation},
          {"waiting", queue.waiting},
          {"classes", ListOf<ClassEntry>(queue.classes, Of)},
          {"jobs", ListOf<QueuedEntry>(queue.jobs, Of)}};
}

OutputJson Of(const TenantEntry& tenant) {
  return {{"tenant", tenant.tenant},
          {"weight", tenant.weight},
          {"max_running", tenant.max_running},
          {"max_host_bytes", tenant.max_host_bytes},
          {"max_device_bytes", tenant.max_device_bytes},
          {"max_queued", tenant.max_queued},
          {"running", tenant.running},
          {"waiting", tenant.waiting},
          {"share", tenant.share},
          {"entitlement", tenant.entitlement},
          {"host_bytes", tenant.host_bytes},
          {"device_bytes", tenant.device_bytes}};
}

OutputJson Of(const StatsView& stats) {
  return {{"incarnation", stats.incarnation},
          {"waiting", stats.waiting},
          {"running", stats.running},
          {"workers", stats.workers},
          {"refused_outcomes", stats.refused_outcomes},
          {"evictions", stats.evictions},
          {"passes", stats.passes},
          {"last_pass_seconds", stats.last_pass_seconds},
          {"longest_pass_seconds", stats.longest_pass_seconds},
          {"assigned", stats.assigned},
          {"assign_wait_p50_seconds", stats.wait_p50_seconds},
          {"assign_wait_p99_seconds", stats.wait_p99_seconds}};
}

}  // namespace

std::string ToJson(const std::vector<WorkerEntry>& workers) {
  return DumpOutput({{"workers", ListOf<WorkerEntry>(workers, Of)}});
}
std::string ToJson(const QueueView& queue) { return DumpOutput(Of(queue)); }
std::string ToJson(const std::vector<TenantEntry>& tenants) {
  return DumpOutput({{"tenants", ListOf<TenantEntry>(tenants, Of)}});
}
std::string ToJson(const TenantEntry& tenant) { return DumpOutput(Of(tenant)); }

std::string ToJson(const ExplanationView& explanation) {
  OutputJson workers = OutputJson::array();
  for (const auto& [worker, verdict] : explanation.workers) {
    workers.push_back({{"worker", worker}, {"verdict", verdict}});
  }
  return DumpOutput({{"job", explanation.job},
               {"state", explanation.state},
               {"summary", explanation.summary},
               {"facts", explanation.facts},
               {"workers", workers}});
}

std::string ToJson(const TopView& top) {
  return DumpOutput({{"stats", Of(top.stats)},
               {"workers", ListOf<WorkerEntry>(top.workers, Of)},
               {"tenants", ListOf<TenantEntry>(top.tenants, Of)},
               {"queue", Of(top.queue)}});
}

}  // namespace swage
