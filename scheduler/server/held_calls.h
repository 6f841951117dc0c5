// Workers' calls that wait for an answer, one a worker: answered when the worker's desired state
// differs from what it reported, or when their time is up. For one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "scheduler/core/core.h"

namespace swage {

struct SyncAnswer {
  std::vector<AssignmentOrder> assignments;
  std::vector<StopOrder> stops;
  int64_t lease_ms = 0;
  bool superseded = false;
};

class HeldCall {  // a worker's call, answered once
 public:
  virtual ~HeldCall() = default;
  virtual void Answer(const SyncAnswer& answer) = 0;
  virtual void Refuse(const Status& status) = 0;
};

class HeldCalls {
 public:
  explicit HeldCalls(int64_t lease_ms);

  // The report has been handled by the core. An earlier call of the worker is answered as
  // superseded.
  void Hold(const WorkerReport& report, std::unique_ptr<HeldCall> call, Now now);
  // Completes an order with what the core does not hold. An error: the worker is told to call again.
  using Complete = std::function<Status(AssignmentOrder*)>;
  // Only after everything that the core has decided is durable.
  void AnswerDue(Core* core, Now now, const Complete& complete);
  void RefuseAll(const Status& status);
  bool empty() const { return held_.empty(); }
  int64_t Deadline() const;  // of the first, by the monotonic clock; INT64_MAX: none

 private:
  struct Held {
    std::unique_ptr<HeldCall> call;
    int64_t until_mono = 0;
  };
  struct Said {  // the last answer to a worker
    std::vector<DesiredSlot> slots;
    int64_t mono = 0;
  };
  bool IsDue(const Core& core, const std::string& worker_id, Held* held, Now now);

  const int64_t lease_ms_, hold_ms_, busy_hold_ms_;
  std::map<std::string, Held> held_;
  std::map<std::string, Said> said_;
};

}  // namespace swage
