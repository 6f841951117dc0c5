#include "workers/daemon/devices.h"

#include <algorithm>
#include <set>
#include <utility>

namespace swage {
namespace {

constexpr char kHost[] = "cpu0";
constexpr uint64_t kStepBytes = 64ull << 20;  // of a lowered report, so that it does not change with every breath

std::string Gb(uint64_t bytes) { return HumanBytes(static_cast<double>(bytes)); }

uint64_t BytesOf(const Assignment& assignment, const std::string& device) {
  if (device == kHost) return assignment.memory_limit_bytes;
  uint64_t bytes = 0;
  for (const AssignedDevice& share : assignment.devices) bytes += share.device == device ? share.bytes : 0;
  return bytes;
}

uint64_t Promised(const std::vector<Assignment>& jobs, const std::string& device) {
  uint64_t bytes = 0;
  for (const Assignment& job : jobs) bytes += BytesOf(job, device);
  return bytes;
}

}  // namespace

DeviceBoard::DeviceBoard(int slots, uint64_t host_bytes, std::vector<std::string> wanted)
    : slots_(slots), host_bytes_(host_bytes), wanted_(std::move(wanted)) {
  devices_.push_back({{kHost, "cpu", ""}, host_bytes_});
}

bool DeviceBoard::Wanted(const ProbedDevice& device) const {
  if (device.kind == "cpu" || wanted_.empty()) return true;
  return std::any_of(wanted_.begin(), wanted_.end(),
                     [&](const std::string& name) { return name == device.id || name == device.kind; });
}

void DeviceBoard::Probed(const StatusOr<std::vector<ProbedDevice>>& found, const std::vector<Assignment>& others) {
  for (Device& device : devices_) {
    device.found.problem = found.ok() ? "the device is no longer found" : Cat("the self-test failed: ", MessageOf(found.status()));
  }
  if (!found.ok()) return;
  for (const ProbedDevice& probed : *found) {
    if (!Wanted(probed)) continue;
    auto it = std::find_if(devices_.begin(), devices_.end(), [&](const Device& d) { return d.found.id == probed.id; });
    if (it == devices_.end()) it = devices_.insert(devices_.end(), Device{});
    it->found = probed;
    if (probed.kind == "cpu") continue;
    it->total_bytes = probed.total_bytes;
    const uint64_t used = probed.total_bytes - std::min(probed.free_bytes, probed.total_bytes);
    it->really = probed.free_bytes + std::min(used, Promised(others, probed.id));
  }
}

std::string DeviceBoard::Refusal(const Assignment& assignment, const std::vector<Assignment>& others,
                                 uint64_t host_really) {
  for (Device& device : devices_) {
    const uint64_t limit = BytesOf(assignment, device.found.id);
    if (limit == 0) continue;
    const uint64_t held = Promised(others, device.found.id);
    const uint64_t need = slots_ == 1 ? std::min(limit, kLeastFreeBytes) : limit;
    const uint64_t really = device.found.kind == "cpu" ? host_really : device.really;
    const std::string refusal = RefusalOn(&device, need, limit, held, really);
    if (!refusal.empty()) return refusal;
  }
  return "";
}

std::string DeviceBoard::RefusalOn(Device* device, uint64_t need, uint64_t limit, uint64_t others, uint64_t really) {
  const uint64_t margin = std::max(need / 8, kMarginBytes);
  const uint64_t left = really > others ? really - others : 0;
  if (left + margin >= need) return "";
  device->lowered = true;
  return Cat(device->found.id, " has ", Gb(left), " free (", Gb(really), " for jobs, of ", Gb(device->total_bytes), " offered, ",
             Gb(others), " promised to others), the job is given ", Gb(limit));
}

std::vector<DeviceFields> DeviceBoard::Report(uint64_t host_really) {
  std::vector<DeviceFields> report;
  for (Device& device : devices_) {
    const uint64_t really = device.found.kind == "cpu" ? host_really : device.really;
    if (device.lowered && really >= device.total_bytes / 20 * 19) device.lowered = false;
    const uint64_t bytes =
        device.lowered ? std::min(device.total_bytes, really / kStepBytes * kStepBytes) : device.total_bytes;
    report.push_back({device.found.id, device.found.kind, device.found.numerics_class, bytes, device.found.problem});
  }
  return report;
}

bool DeviceBoard::lowered() const { return devices_.front().lowered; }

std::vector<std::string> DeviceBoard::Features() const {
  std::set<std::string> features;
  for (const Device& device : devices_) {
    features.insert(device.found.features.begin(), device.found.features.end());
    if (!device.found.numerics_class.empty()) features.insert(Cat("numerics=", device.found.numerics_class));
  }
  return {features.begin(), features.end()};
}

std::string FailedDevice(const Assignment& assignment) {
  return assignment.devices.empty() ? kHost : assignment.devices.front().device;
}

}  // namespace swage
