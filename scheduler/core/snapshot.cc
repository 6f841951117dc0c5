// Everything that decisions rest on, in one JSON text: what operators look at when a decision
// surprises them, and what the simulator starts from (`swage-sim --replay`).
#include "nlohmann/json.hpp"
#include "scheduler/core/core.h"

namespace swage {

std::string Core::Snapshot(Now now) const {
  using Json = nlohmann::json;
  Json out = {{"version", 1},
              {"incarnation", options_.incarnation},
              {"lease_ms", options_.lease_ms},
              {"unix_nanos", now.unix_nanos},
              {"workers", Json::array()},
              {"records", Json::array()}};
  for (const auto& [id, worker] : workers_) {
    Json devices = Json::array();
    for (const DeviceReport& d : worker.devices) {
      devices.push_back({{"id", d.id},
                         {"kind", d.kind},
                         {"numerics_class", d.numerics_class},
                         {"total_bytes", d.total_bytes},
                         {"problem", d.problem}});
    }
    out["workers"].push_back({{"id", id},
                              {"connected", worker.connected},
                              {"draining", worker.draining},
                              {"slot_count", worker.slot_count},
                              {"methods", worker.methods},
                              {"features", worker.features},
                              {"cached", worker.cached},
                              {"devices", std::move(devices)}});
    const WorkerRecord record{id, worker.drain_wanted, worker.cordoned};
    out["records"].push_back({{"key", WorkerKey(id)}, {"value", ToJson(record)}});
  }
  for (const auto& [name, tenant] : tenants_)
    out["records"].push_back({{"key", TenantKey(name)}, {"value", ToJson(tenant.settings)}});
  for (const auto& [key, action] : actions_) {
    if (!action.deleted) out["records"].push_back({{"key", key}, {"value", ToJson(action.record)}});
  }
  for (const auto& [key, job] : jobs_) {
    if (!job.deleted) out["records"].push_back({{"key", key}, {"value", ToJson(job.record)}});
  }
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace swage
