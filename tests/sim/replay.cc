#include "tests/sim/replay.h"

#include <algorithm>

#include "nlohmann/json.hpp"
#include "tests/sim/cluster.h"

namespace swage::sim {
namespace {

constexpr int64_t kUnknownRun = kMinute;
constexpr size_t kMostRecords = 5'000'000, kMostWorkers = 100'000;

Status Bad(const std::string& what) {
  return InvalidInput("BAD_SNAPSHOT", Cat("this is no scheduler's snapshot: ", what),
                      "take one with AdminService.GetSchedulerSnapshot");
}

std::vector<std::string> Strings(const nlohmann::json& json, const char* name) {
  std::vector<std::string> strings;
  if (!json.contains(name) || !json[name].is_array()) return strings;
  for (const auto& item : json[name]) {
    if (item.is_string()) strings.push_back(item.get<std::string>());
  }
  return strings;
}

StatusOr<WorkerShape> WorkerOf(const nlohmann::json& json) {
  if (!json.is_object() || !json.contains("id") || !json["id"].is_string() ||
      !json.contains("devices") || !json["devices"].is_array())
    return Bad("a worker has no id or no devices");
  WorkerShape shape;
  shape.id = json["id"].get<std::string>();
  shape.slots = json.value("slot_count", 1);
  shape.methods = Strings(json, "methods");
  shape.features = Strings(json, "features");
  for (const auto& device : json["devices"]) {
    if (!device.is_object() || !device.contains("id") || !device["id"].is_string())
      return Bad("a device has no id");
    shape.devices.push_back({device["id"].get<std::string>(), device.value("kind", ""),
                             device.value("numerics_class", ""),
                             device.value("total_bytes", uint64_t{0}),
                             device.value("problem", "")});
  }
  std::stable_partition(shape.devices.begin(), shape.devices.end(),
                        [](const DeviceReport& d) { return d.kind == "cpu"; });
  if (shape.devices.empty() || shape.devices[0].kind != "cpu")
    return Bad(Cat("worker ", shape.id, " has no memory of its own"));
  return shape;
}

StatusOr<Snapshot> Read(const nlohmann::json& json) {
  if (!json.is_object() || json.value("version", 0) != 1) return Bad("its version is not 1");
  if (!json.contains("workers") || !json["workers"].is_array() || !json.contains("records") ||
      !json["records"].is_array() || json["records"].size() > kMostRecords ||
      json["workers"].size() > kMostWorkers)
    return Bad("it has no workers or no records");
  Snapshot snapshot;
  snapshot.lease_ms = json.value("lease_ms", limits::kLeaseMs);
  for (const auto& worker : json["workers"]) {
    if (!worker.is_object() || !worker.value("connected", false)) continue;
    SWAGE_ASSIGN_OR_RETURN(WorkerShape shape, WorkerOf(worker));
    snapshot.workers.push_back(std::move(shape));
  }
  for (const auto& record : json["records"]) {
    if (!record.is_object() || !record.contains("key") || !record["key"].is_string() ||
        !record.contains("value") || !record["value"].is_string())
      return Bad("a record has no key or no value");
    snapshot.records.emplace_back(record["key"].get<std::string>(),
                                  record["value"].get<std::string>());
  }
  return snapshot;
}

}  // namespace

StatusOr<Snapshot> ParseSnapshot(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  try {  // value() throws when a field is of another type
    return Read(json);
  } catch (const nlohmann::json::exception& error) {
    return Bad(error.what());
  }
}

Workload WorkloadOf(const Snapshot& snapshot) {
  Workload workload;
  for (const auto& [key, value] : snapshot.records) {
    if (SplitKey(key).kind != "job") continue;
    const auto record = JobRecordFromJson(value);
    JobSpec spec;
    spec.run_nanos = kUnknownRun;
    if (record.ok()) {
      spec.tenant = record->job.tenant;
      spec.shape = record->job.shape;
      if (record->job.estimated_seconds > 0)
        spec.run_nanos = static_cast<int64_t>(record->job.estimated_seconds * 1e9);
    }
    spec.steps = 4;
    workload.jobs.push_back(std::move(spec));
  }
  return workload;
}

void AdoptSnapshot(const Snapshot& snapshot, Cluster* cluster) {
  Transaction t;
  int job = 0;
  for (const auto& [key, value] : snapshot.records) {
    t.writes.push_back({key, 0, value});
    if (SplitKey(key).kind != "job") continue;
    SpecRecord spec;
    spec.recipe_json = RecipeOf(job++);
    const auto record = JobRecordFromJson(value);
    if (!record.ok()) continue;
    const AdmittedJob& admitted = record->job;
    t.writes.push_back({SpecKey(admitted.tenant, admitted.id), 0, ToJson(spec)});
    cluster->checker().Adopt(key, *record);
    const bool published = record->state == JobState::kSucceeded;
    if (published || record->state == JobState::kFinalizing)
      cluster->artifacts().Adopt(admitted.tenant, admitted.id, record->artifact, published);
  }
  SWAGE_CHECK(cluster->state().records().Apply(t) == ApplyResult::kOk, "keys of a snapshot repeat");
}

}  // namespace swage::sim
