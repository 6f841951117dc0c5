// What this worker offers: the devices that the probe found, and how much of each jobs may use. The scheduler's ledger
// is in bytes of what is reported here; where less is really there (another program took it), an assignment is refused
// and the report is lowered until the memory comes back. Pure and not thread-safe; what is free is measured by the caller.
//
// How much less is too little: a worker of one slot is given all its memory for each job, whatever the job needs, so
// that nothing follows from the limit being more than what is free: such an assignment is refused only when less than
// kLeastFreeBytes is there. With several slots the limit is what was reserved for the job; it is refused when an eighth
// of it (256 MiB at least) is missing.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "workers/daemon/slot.h"
#include "workers/job/probe.h"

namespace swage {

struct DeviceFields {  // swage.v1.Device
  std::string id, kind, numerics_class;
  uint64_t total_bytes = 0;
  std::string problem = {};
};

class DeviceBoard {
 public:
  static constexpr uint64_t kLeastFreeBytes = 512ull << 20;
  static constexpr uint64_t kMarginBytes = 256ull << 20;

  // `host_bytes` for all jobs. `wanted`: accelerators by id or kind; empty: all that there are; {"none"}: none.
  DeviceBoard(int slots, uint64_t host_bytes, std::vector<std::string> wanted);

  // What the probe said. What it does not name any more keeps its place, with a problem. An error: all have one.
  // `others` ran on them meanwhile.
  void Probed(const StatusOr<std::vector<ProbedDevice>>& found, const std::vector<Assignment>& others);
  // "" = there is room beside `others`; else why not, in numbers, and the report is lowered. `host_really`: what all
  // jobs together could have now (free memory, and what they hold already).
  std::string Refusal(const Assignment& assignment, const std::vector<Assignment>& others, uint64_t host_really);
  // The devices to report.
  std::vector<DeviceFields> Report(uint64_t host_really);
  bool lowered() const;  // the host's memory: whether Report looks at `host_really`
  std::vector<std::string> Features() const;

 private:
  struct Device {
    ProbedDevice found;
    uint64_t total_bytes = 0;   // what it offers when all is well
    bool lowered = false;
    uint64_t really = 0;        // of accelerators: for all jobs together, as of the last probe
  };
  bool Wanted(const ProbedDevice& device) const;
  static std::string RefusalOn(Device* device, uint64_t need, uint64_t limit, uint64_t others, uint64_t really);

  const int slots_;
  const uint64_t host_bytes_;
  const std::vector<std::string> wanted_;
  std::vector<Device> devices_;  // the host first
};

// The device that a job's failure DEVICE_FAILED is about: the first accelerator given to it, else the host.
std::string FailedDevice(const Assignment& assignment);

}  // namespace swage
