// What a worker has been given and how far it is: a pure state machine. The daemon feeds it the scheduler's answers and
// the ends of attempts; it says what to start, what to stop and what to report. Not thread-safe, no I/O, no clock.
//
//   waiting -> running -> reporting -> gone      (the outcome is repeated until the scheduler lists it no more)
//         \          \-> stopping  -> gone       (not wanted any more, or the lease ended: no outcome is reported)
//          \              \-> reporting -> gone  (asked to stop, in its own time: it tells of its checkpoint)
//
// A gang's member takes its slot and is listed at once, which is what the scheduler takes for "ready"; it starts (stages
// its inputs) but computes only when the scheduler has said that all are there (Actions::go). Then each member says how it
// is reached (Rendezvous), and is told it of all members under the same token (Actions::met).
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace swage {

struct AttemptToken {  // swage.v1.Token
  uint64_t incarnation = 0, epoch = 0, random = 0;
  auto operator<=>(const AttemptToken&) const = default;
};

struct AssignedDevice {  // swage.v1.DeviceShare
  std::string device;
  uint64_t bytes = 0;
  bool operator==(const AssignedDevice&) const = default;
};

struct Assignment {  // swage.v1.Assignment
  std::string tenant, job;
  AttemptToken token;
  std::string recipe_json, model_digest, traceparent;
  std::map<std::string, std::string> files;  // path in the recipe -> object digest
  uint64_t memory_limit_bytes = 0;
  int attempt = 0;
  bool stop = false;
  int64_t grace_ms = 0;                  // with stop: to write a checkpoint
  std::string stop_reason = {};          // PREEMPTED, DRAINED, PAUSED_BY_USER
  std::vector<AssignedDevice> devices = {};  // beside the host's memory
  std::string checkpoint = {};           // artifact to go on from; "" = none
  int rank = 0, world = 1;
  bool started = true;                   // all members of the gang are there
  std::vector<std::string> peers = {};   // addresses by rank
  std::vector<std::string> rendezvous = {};  // what all members said, by rank; empty: not all have yet
};

struct SlotProgress {
  std::string stage, message;
  double fraction = 0, eta_seconds = -1;
  uint64_t peak_bytes = 0;
};

struct SlotOutcome {
  std::string manifest_digest;  // "" on failure
  std::string reason, message;  // reason: a name of scheduler/core/reason.h
  std::string device = {};      // that failed, with DEVICE_FAILED
};

enum class SlotState { kWaiting, kRunning, kStopping, kReporting };

struct Slot {
  Assignment assignment;
  SlotState state = SlotState::kWaiting;
  SlotProgress progress = {};
  SlotOutcome outcome = {};     // of kReporting
  std::string checkpoint = {};  // artifact with the newest one
  bool winding_down = false;    // of kStopping: it was given time
  std::string rendezvous = {};  // what its gang's other members need to reach it
};

class SlotTable {
 public:
  explicit SlotTable(int slots) : slots_(slots) {}
  // What the jobs of this worker may have together; 0 (as at first): not looked at. While it hears two schedulers in a
  // row it may be given more than fits beside what is still stopping: that waits.
  void LimitMemory(uint64_t bytes) { memory_bytes_ = bytes; }
  void LimitDevice(const std::string& device, uint64_t bytes) { device_bytes_[device] = bytes; }

  struct WindDown {
    AttemptToken token;
    int64_t grace_ms = 0;
    std::string reason;
  };
  struct Actions {
    std::vector<Assignment> start;
    std::vector<AttemptToken> stop;     // at once
    std::vector<WindDown> wind_down;    // after what it is at, within the time given
    std::vector<Assignment> go;         // gangs that are complete
    std::vector<Assignment> met;        // whose members have all said how they are reached: `rendezvous` is filled
    std::vector<Assignment> accepted;   // succeeded, and the scheduler knows: their scratch folders can go
  };
  Actions Converge(const std::vector<Assignment>& desired);  // the scheduler's answer: the whole desired state
  void Progress(const AttemptToken& token, const SlotProgress& progress);
  void Checkpointed(const AttemptToken& token, const std::string& artifact);
  void Rendezvous(const AttemptToken& token, const std::string& said);  // by the attempt's own process, once
  Actions Finished(const AttemptToken& token, const SlotOutcome& outcome);  // the attempt's thread has ended
  Actions Fence();  // the lease is over: everything stops, nothing of it is reported as an outcome
  Actions Drain();  // what has not started never will
  Actions StopAll(const std::string& reason, int64_t grace_ms);  // the end of a drain that was not waited for

  bool MayCommit(const AttemptToken& token) const;  // running, and still wanted as far as is known
  const std::map<AttemptToken, Slot>& slots() const { return by_token_; }  // what is reported
  bool draining() const { return draining_; }

 private:
  void StartWaiting(Actions* actions);
  bool JobBusy(const Assignment& assignment) const;
  bool Fits(const Assignment& assignment) const;

  const int slots_;
  uint64_t memory_bytes_ = 0;
  std::map<std::string, uint64_t> device_bytes_;
  bool draining_ = false;
  std::map<AttemptToken, Slot> by_token_;
};

}  // namespace swage
