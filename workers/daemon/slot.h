// What a worker has been given and how far it is: a pure state machine. The daemon feeds it the scheduler's answers and
// the ends of attempts; it says what to start, what to stop and what to report. Not thread-safe, no I/O, no clock.
//
//   waiting -> running -> reporting -> gone      (the outcome is repeated until the scheduler lists it no more)
//         \          \-> stopping  -> gone      (not wanted any more, or the lease ended: no outcome is reported)
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

struct Assignment {  // swage.v1.Assignment
  std::string tenant, job;
  AttemptToken token;
  std::string recipe_json, model_digest, traceparent;
  std::map<std::string, std::string> files;  // path in the recipe -> object digest
  uint64_t memory_limit_bytes = 0;
  int attempt = 0;
  bool stop = false;
};

struct SlotProgress {
  std::string stage, message;
  double fraction = 0, eta_seconds = -1;
  uint64_t peak_bytes = 0;
};

struct SlotOutcome {
  std::string manifest_digest;  // "" on failure
  std::string reason, message;  // reason: a name of scheduler/core/reason.h
};

enum class SlotState { kWaiting, kRunning, kStopping, kReporting };

struct Slot {
  Assignment assignment;
  SlotState state = SlotState::kWaiting;
  SlotProgress progress;
  SlotOutcome outcome;  // of kReporting
};

class SlotTable {
 public:
  explicit SlotTable(int slots) : slots_(slots) {}
  // What the jobs of this worker may have together; 0 (as at first): not looked at. While it hears two schedulers in a
  // row it may be given more than fits beside what is still stopping: that waits.
  void LimitMemory(uint64_t bytes) { memory_bytes_ = bytes; }

  struct Actions {
    std::vector<Assignment> start;
    std::vector<AttemptToken> stop;
    std::vector<Assignment> accepted;  // succeeded, and the scheduler knows: their scratch folders can go
  };
  Actions Converge(const std::vector<Assignment>& desired);  // the scheduler's answer: the whole desired state
  void Progress(const AttemptToken& token, const SlotProgress& progress);
  Actions Finished(const AttemptToken& token, const SlotOutcome& outcome);  // the attempt's thread has ended
  Actions Fence();  // the lease is over: everything stops, nothing of it is reported as an outcome
  Actions Drain();  // what has not started never will

  bool MayCommit(const AttemptToken& token) const;  // running, and still wanted as far as is known
  const std::map<AttemptToken, Slot>& slots() const { return by_token_; }  // what is reported
  bool draining() const { return draining_; }

 private:
  void StartWaiting(Actions* actions);
  bool JobBusy(const Assignment& assignment) const;

  const int slots_;
  uint64_t memory_bytes_ = 0;
  bool draining_ = false;
  std::map<AttemptToken, Slot> by_token_;
};

}  // namespace swage
