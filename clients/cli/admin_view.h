// What operators see of the scheduler, and its two outward forms: text and JSON (docs/operations/queue.md).
// No gRPC here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace swage {

struct DeviceEntry {
  std::string id, kind, numerics_class, problem;  // problem "": healthy
  uint64_t total_bytes = 0, free_bytes = 0;
};

struct WorkerJobEntry {
  std::string tenant, job, state, stage;
  double fraction = 0, eta_seconds = -1;
};

struct WorkerEntry {
  std::string worker_id, boot_id;
  bool connected = false, draining = false;
  int slot_count = 0, free_slots = 0;
  std::vector<DeviceEntry> devices;
  std::vector<WorkerJobEntry> jobs;
  std::vector<std::string> features;
  int64_t last_seen_unix_nanos = 0;
};

struct QueuedEntry {
  std::string tenant, job, pending_reason;
  int priority = 0;
  int64_t queued_unix_nanos = 0;
};

struct ClassEntry {  // waiting jobs of one tenant that need the same of a worker
  std::string tenant, shape, oldest, pending_reason;
  uint64_t jobs = 0;
};

struct QueueView {
  uint64_t incarnation = 0, waiting = 0;
  std::vector<ClassEntry> classes;
  std::vector<QueuedEntry> jobs;  // the first of them
};

struct ExplanationView {
  std::string job, state, summary;
  std::vector<std::string> facts;
  std::vector<std::pair<std::string, std::string>> workers;  // worker, what it says; nearest fit first
};

struct TenantEntry {
  std::string tenant;
  double weight = 1;
  int max_running = 0, max_queued = 0;                // 0: no limit; max_queued 0: 100,000
  uint64_t max_host_bytes = 0, max_device_bytes = 0;  // 0: no limit
  uint64_t running = 0, waiting = 0;
  double share = 0, entitlement = 0;
  double host_bytes = 0, device_bytes = 0;
};

struct StatsView {
  uint64_t incarnation = 0, waiting = 0, running = 0, workers = 0, refused_outcomes = 0, evictions = 0, passes = 0,
           assigned = 0;
  double last_pass_seconds = 0, longest_pass_seconds = 0, wait_p50_seconds = 0, wait_p99_seconds = 0;
};

struct TopView {
  StatsView stats;
  std::vector<WorkerEntry> workers;
  std::vector<TenantEntry> tenants;
  QueueView queue;
};

// What `swage quota set` changes; unset members stay as they are.
struct QuotaChange {
  bool has_weight = false, has_max_running = false, has_max_memory = false, has_max_device_memory = false,
       has_max_queued = false;
  double weight = 1;
  int max_running = 0, max_queued = 0;
  uint64_t max_memory = 0, max_device_memory = 0;
  bool empty() const {
    return !has_weight && !has_max_running && !has_max_memory && !has_max_device_memory && !has_max_queued;
  }
  void ApplyTo(TenantEntry* tenant) const;
};

// "1500000", "16GB" (10^9), "1.5GiB" (2^30), "512 MiB". INVALID_ARGUMENT/BAD_SIZE.
StatusOr<uint64_t> ParseBytes(const std::string& text);

std::string ToJson(const std::vector<WorkerEntry>& workers);
std::string ToJson(const QueueView& queue);
std::string ToJson(const ExplanationView& explanation);
std::string ToJson(const std::vector<TenantEntry>& tenants);
std::string ToJson(const TenantEntry& tenant);
std::string ToJson(const TopView& top);

std::string WorkersText(const std::vector<WorkerEntry>& workers);
std::string QueueText(const QueueView& queue);
std::string ExplanationText(const ExplanationView& explanation);
std::string TenantsText(const std::vector<TenantEntry>& tenants);
// At most `rows` lines when rows > 0, each cut to `columns` characters when columns > 0 (a terminal).
std::string TopText(const TopView& top, int64_t unix_nanos, int rows, int columns);

}  // namespace swage
