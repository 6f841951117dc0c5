#include "scheduler/server/held_calls.h"

#include <algorithm>
#include <utility>

namespace swage {
namespace {

constexpr int64_t kBusyHoldMs = 500;     // at most, of a worker that has progress to tell
constexpr int64_t kRepeatAfterMs = 200;  // the same answer again, not sooner

}  // namespace

HeldCalls::HeldCalls(int64_t lease_ms)
    : lease_ms_(lease_ms),
      hold_ms_(std::max<int64_t>(1, std::min<int64_t>(lease_ms / 3, limits::kSynchronizeHoldMs))),
      // Each answer renews the lease: even a call that starts late in it must be answered well before the fence.
      busy_hold_ms_(std::clamp<int64_t>(lease_ms / 10, 1, kBusyHoldMs)) {}

void HeldCalls::Hold(const WorkerReport& report, std::unique_ptr<HeldCall> call, Now now) {
  Held& held = held_[report.worker_id];
  if (held.call != nullptr) held.call->Answer({{}, {}, lease_ms_, true});
  const int64_t hold_ms = report.slots.empty() ? hold_ms_ : busy_hold_ms_;
  held = {std::move(call), now.mono_nanos + hold_ms * kNanosPerMilli};
}

bool HeldCalls::IsDue(const Core& core, const std::string& worker_id, Held* held, Now now) {
  if (now.mono_nanos >= held->until_mono) return true;
  if (!core.NeedsAnswer(worker_id)) return false;
  // A worker that does not follow its answer is told again, but not as fast as it can call.
  const Said& said = said_[worker_id];
  if (now.mono_nanos - said.mono >= kRepeatAfterMs * kNanosPerMilli) return true;
  if (core.Desired(worker_id) != said.slots) return true;
  held->until_mono = std::min(held->until_mono, said.mono + kRepeatAfterMs * kNanosPerMilli);
  return false;
}

void HeldCalls::AnswerDue(Core* core, Now now, const Complete& complete) {
  for (auto it = held_.begin(); it != held_.end();) {
    if (!IsDue(*core, it->first, &it->second, now)) {
      ++it;
      continue;
    }
    SyncAnswer answer{core->Answer(it->first), core->Stops(it->first), lease_ms_, false};
    said_[it->first] = {core->Desired(it->first), now.mono_nanos};
    Status completed;
    for (AssignmentOrder& order : answer.assignments) {
      if (completed.ok()) completed = complete(&order);
    }
    completed.ok() ? it->second.call->Answer(answer) : it->second.call->Refuse(completed);
    it = held_.erase(it);
  }
}

void HeldCalls::RefuseAll(const Status& status) {
  for (auto& [id, held] : held_) held.call->Refuse(status);
  held_.clear();
  said_.clear();
}

int64_t HeldCalls::Deadline() const {
  int64_t first = INT64_MAX;
  for (const auto& [id, held] : held_) first = std::min(first, held.until_mono);
  return first;
}

}  // namespace swage
