// What the workers have, and what is free of it. The ledger is in bytes of each device; it is added
// up anew from what is assigned, being let go, kept for somebody or reported whenever one of these
// changes, so that nothing can leak out of it.
#include <algorithm>

#include "scheduler/core/core.h"

namespace swage {
namespace {

bool IsHost(const DeviceReport& device) { return device.kind == "cpu"; }

}  // namespace

uint64_t Core::HostNeed(const JobRecord& record) {
  return std::max(record.job.shape.host_bytes, record.learned_bytes);
}
uint64_t Core::DeviceNeed(const JobRecord& record) {
  return std::max(record.job.shape.device_bytes, record.learned_device_bytes);
}

bool Core::Usable(const Worker& worker, const DeviceReport& device) {
  return device.problem.empty() && !worker.cordoned.contains(device.id);
}

// What is left for `for_job` ("" = for anybody).
Core::Room Core::RoomOf(const Worker& worker, const std::string& for_job) const {
  Room room;
  room.slots = worker.slot_count;
  for (const DeviceReport& device : worker.devices)
    room.bytes.push_back(Usable(worker, device) ? device.total_bytes : 0);
  auto take = [&](const std::vector<DeviceShare>& shares) {
    --room.slots;
    for (const DeviceShare& share : shares) {
      for (size_t i = 0; i < worker.devices.size(); ++i) {
        if (worker.devices[i].id == share.device) room.bytes[i] -= std::min(room.bytes[i], share.bytes);
      }
    }
  };
  std::set<std::pair<std::string, uint64_t>> counted;  // key and epoch
  for (const std::string& key : worker.jobs) {
    const JobRecord& record = jobs_.at(key).record;
    counted.emplace(key, record.token.epoch);
    for (const MemberRecord& member : record.members) {
      if (member.worker == worker.id) take(member.devices);
    }
  }
  for (const Releasing& entry : worker.releasing) {
    counted.emplace(entry.job_key, entry.token.epoch);
    take(entry.devices);
  }
  for (const auto& [job, earmark] : worker.earmarks) {
    if (job != for_job) take(earmark.devices);
  }
  // It says it runs this though nobody wants it to: a lease that ended elsewhere, an earlier
  // leader's.
  for (const Reported& reported : worker.reported) {
    if (reported.ended || counted.contains({reported.job_key, reported.token.epoch})) continue;
    const Job* job = Find(reported.job_key);
    std::vector<DeviceShare> all;
    for (const DeviceReport& device : worker.devices) {
      const bool whole = job == nullptr || worker.slot_count == 1 || !IsHost(device);
      all.push_back({device.id, whole ? device.total_bytes : HostNeed(job->record)});
    }
    if (job != nullptr && job->record.job.shape.devices == 0)
      std::erase_if(all, [&](const DeviceShare& s) {
        return std::none_of(worker.devices.begin(), worker.devices.end(),
                            [&](const auto& d) { return d.id == s.device && IsHost(d); });
      });
    take(all);
  }
  room.slots = std::max(0, room.slots);
  return room;
}

// Where a job would be put: the host's memory, and the fullest devices that still have room for it.
// A worker of one slot gives all it has.
std::optional<std::vector<DeviceShare>> Core::FitInto(const Worker& worker, const Room& room,
                                                      const JobRecord& record) const {
  if (room.slots <= 0) return std::nullopt;
  const ShapeRecord& shape = record.job.shape;
  std::vector<DeviceShare> shares;
  std::vector<std::pair<uint64_t, size_t>> fitting;
  bool host = HostNeed(record) == 0;
  for (size_t i = 0; i < worker.devices.size(); ++i) {
    const DeviceReport& device = worker.devices[i];
    if (IsHost(device)) {
      if (host && !shares.empty()) continue;
      if (!Usable(worker, device) || room.bytes[i] < HostNeed(record)) continue;
      shares.push_back({device.id, worker.slot_count == 1 ? room.bytes[i] : HostNeed(record)});
      host = true;
    } else if (shape.devices > 0 && device.kind == shape.device_kind && Usable(worker, device) &&
               room.bytes[i] > 0 && room.bytes[i] >= DeviceNeed(record)) {
      fitting.emplace_back(room.bytes[i], i);
    }
  }
  if (!host || fitting.size() < static_cast<size_t>(shape.devices)) return std::nullopt;
  std::sort(fitting.begin(), fitting.end());
  fitting.resize(static_cast<size_t>(shape.devices));
  for (const auto& [free, i] : fitting) {
    const bool whole = worker.slot_count == 1 || DeviceNeed(record) == 0;
    shares.push_back({worker.devices[i].id, whole ? free : DeviceNeed(record)});
  }
  return shares;
}

bool Core::Offers(const Group& group, const JobRecord& record) {
  const ShapeRecord& shape = record.job.shape;
  return std::includes(group.methods.begin(), group.methods.end(), shape.methods.begin(),
                       shape.methods.end()) &&
         std::includes(group.features.begin(), group.features.end(), shape.features.begin(),
                       shape.features.end()) &&
         (shape.devices == 0 || group.kinds.contains(shape.device_kind));
}

Core::Group& Core::GroupOf(const Worker& worker) {
  Group& group = groups_[worker.group];
  if (group.connected.empty() && group.open.empty()) {
    group.methods = worker.methods;
    group.features = worker.features;
    group.kinds.clear();
    for (const DeviceReport& device : worker.devices) group.kinds.insert(device.kind);
  }
  return group;
}

void Core::Touch(const std::string& worker_id) { touched_.insert(worker_id); }

void Core::ReindexTouched() {
  if (touched_.empty()) return;
  for (const std::string& id : std::exchange(touched_, {})) Reindex(&workers_.at(id));
  shares_.SetTotals(totals_);
}

// Puts the worker where a search for room finds it.
void Core::Reindex(Worker* worker) {
  if (auto group = groups_.find(worker->group); group != groups_.end()) {
    group->second.connected.erase(worker->id);
    group->second.open.erase({worker->indexed.first, worker->indexed.second, worker->id});
    if (group->second.connected.empty()) groups_.erase(group);
  }
  totals_ -= worker->counted;
  worker->counted = {};
  const Room before = std::exchange(worker->room, RoomOf(*worker, ""));
  const bool was_open = std::exchange(worker->open, false);
  if (!worker->connected) return;
  worker->counted.slots = worker->slot_count;
  std::set<std::string> kinds;
  uint64_t device = 0, host = 0;
  for (size_t i = 0; i < worker->devices.size(); ++i) {
    const DeviceReport& d = worker->devices[i];
    kinds.insert(d.kind);
    (IsHost(d) ? worker->counted.host_bytes : worker->counted.device_bytes) +=
        Usable(*worker, d) ? static_cast<double>(d.total_bytes) : 0;
    uint64_t& most = IsHost(d) ? host : device;
    most = std::max(most, worker->room.bytes[i]);
  }
  totals_ += worker->counted;
  auto words = [](const std::set<std::string>& set) {
    return Join(std::vector<std::string>(set.begin(), set.end()), ",");
  };
  const std::string old_group = worker->group;
  worker->group = Cat(words(kinds), "|", words(worker->methods), "|", words(worker->features));
  Group& group = GroupOf(*worker);
  group.connected.insert(worker->id);
  worker->indexed = {device, host};
  // A worker with something kept for a job is found by that job even without a free slot.
  worker->open = !worker->draining && !worker->drain_wanted && worker->room.slots > 0;
  if (worker->open) group.open.emplace(device, host, worker->id);
  bool gained = worker->open && (!was_open || worker->group != old_group || worker->room.slots > before.slots ||
                                 before.bytes.size() != worker->room.bytes.size());
  for (size_t i = 0; worker->open && !gained && i < before.bytes.size(); ++i)
    gained = worker->room.bytes[i] > before.bytes[i];
  // What is kept for a job may have become free for it, which its room does not show.
  gained_ = gained_ || gained || !worker->earmarks.empty();
}

std::vector<WorkerView> Core::Workers() const {
  std::vector<WorkerView> views;
  for (const auto& [id, w] : workers_) {
    WorkerView& view = views.emplace_back();
    view.worker_id = id;
    view.boot_id = w.boot_id;
    view.connected = w.connected;
    view.draining = w.draining || w.drain_wanted;
    view.slot_count = w.slot_count;
    view.devices = w.devices;
    for (DeviceReport& device : view.devices) {
      if (auto why = w.cordoned.find(device.id); why != w.cordoned.end())
        device.problem = Cat("cordoned: ", why->second);
    }
    view.jobs.assign(w.jobs.begin(), w.jobs.end());
    for (const std::string& key : w.jobs) {
      const Job* job = Find(key);
      if (job == nullptr) continue;
      const JobRecord& record = job->record;
      view.running.push_back({record.job.tenant, record.job.id, record.state, record.progress});
    }
    view.last_seen_unix_nanos = w.last_seen_unix;
    view.features.assign(w.features.begin(), w.features.end());
    if (!w.connected) continue;
    const Room room = RoomOf(w, "");
    view.free_slots = room.slots;
    for (size_t i = 0; i < w.devices.size(); ++i)
      view.free.push_back({w.devices[i].id, room.bytes[i]});
  }
  return views;
}

}  // namespace swage
