// The worker's one call to the scheduler, without gRPC in the header.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "workers/daemon/devices.h"
#include "workers/daemon/slot.h"

namespace swage {

struct SyncReport {  // swage.v1.SynchronizeRequest
  std::string worker_id, boot_id;
  uint64_t sequence = 0;
  std::vector<DeviceFields> devices;
  std::vector<Slot> slots;
  bool draining = false;
  std::vector<std::string> methods;
  int slot_count = 0;
  std::vector<std::string> features, cached_models;  // these newest first
  std::string address;
};

struct SyncReply {
  std::vector<Assignment> assignments;
  int64_t lease_ms = 0;
  bool superseded = false;
};

class SyncClient {
 public:
  // Of the scheduler, or of several, separated by commas: the one that leads is found by asking in turn.
  explicit SyncClient(const std::string& addresses);
  ~SyncClient();
  // Blocks; one at a time. CANCELLED after Interrupt.
  StatusOr<SyncReply> Synchronize(const SyncReport& report, int deadline_ms);
  void Interrupt();  // ends the call in flight, if any; from any thread

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace swage
