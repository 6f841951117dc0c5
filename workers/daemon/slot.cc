#include "workers/daemon/slot.h"

#include <algorithm>

namespace swage {

SlotTable::Actions SlotTable::Converge(const std::vector<Assignment>& desired) {
  Actions actions;
  const auto wanted = [&](const AttemptToken& token) {
    return std::any_of(desired.begin(), desired.end(),
                       [&](const Assignment& a) { return a.token == token && !a.stop; });
  };
  for (auto it = by_token_.begin(); it != by_token_.end();) {
    Slot& slot = it->second;
    if (wanted(it->first)) {
      ++it;
      continue;
    }
    switch (slot.state) {
      case SlotState::kReporting:
        if (!slot.outcome.manifest_digest.empty()) actions.accepted.push_back(slot.assignment);
        it = by_token_.erase(it);
        continue;
      case SlotState::kWaiting:
        it = by_token_.erase(it);
        continue;
      case SlotState::kRunning:
        slot.state = SlotState::kStopping;
        actions.stop.push_back(it->first);
        break;
      case SlotState::kStopping:
        break;
    }
    ++it;
  }
  for (const Assignment& assignment : desired) {
    if (assignment.stop || draining_) continue;
    by_token_.try_emplace(assignment.token, Slot{assignment, SlotState::kWaiting, {}, {}});
  }
  StartWaiting(&actions);
  return actions;
}

void SlotTable::Progress(const AttemptToken& token, const SlotProgress& progress) {
  const auto it = by_token_.find(token);
  if (it != by_token_.end()) it->second.progress = progress;
}

SlotTable::Actions SlotTable::Finished(const AttemptToken& token, const SlotOutcome& outcome) {
  Actions actions;
  const auto it = by_token_.find(token);
  if (it != by_token_.end()) {
    if (it->second.state == SlotState::kRunning) {
      it->second.state = SlotState::kReporting;
      it->second.outcome = outcome;
    } else {
      by_token_.erase(it);
    }
  }
  StartWaiting(&actions);
  return actions;
}

SlotTable::Actions SlotTable::Fence() {
  Actions actions;
  for (auto it = by_token_.begin(); it != by_token_.end();) {
    if (it->second.state == SlotState::kRunning) {
      it->second.state = SlotState::kStopping;
      actions.stop.push_back(it->first);
    }
    // An outcome that was not accepted within the lease is not reported after it.
    it = it->second.state == SlotState::kStopping ? std::next(it) : by_token_.erase(it);
  }
  return actions;
}

SlotTable::Actions SlotTable::Drain() {
  draining_ = true;
  for (auto it = by_token_.begin(); it != by_token_.end();) {
    it = it->second.state == SlotState::kWaiting ? by_token_.erase(it) : std::next(it);
  }
  return {};
}

bool SlotTable::MayCommit(const AttemptToken& token) const {
  const auto it = by_token_.find(token);
  return it != by_token_.end() && it->second.state == SlotState::kRunning;
}

// An earlier attempt of the same job that has not ended yet: it holds the scratch folder.
bool SlotTable::JobBusy(const Assignment& assignment) const {
  return std::any_of(by_token_.begin(), by_token_.end(), [&](const auto& entry) {
    const Slot& slot = entry.second;
    return slot.assignment.tenant == assignment.tenant && slot.assignment.job == assignment.job &&
           entry.first != assignment.token &&
           (slot.state == SlotState::kRunning || slot.state == SlotState::kStopping);
  });
}

void SlotTable::StartWaiting(Actions* actions) {
  int busy = 0;
  uint64_t used = 0;
  for (const auto& [token, slot] : by_token_) {
    if (slot.state != SlotState::kRunning && slot.state != SlotState::kStopping) continue;
    ++busy;
    used += slot.assignment.memory_limit_bytes;
  }
  for (auto& [token, slot] : by_token_) {
    if (busy >= slots_) return;
    if (slot.state != SlotState::kWaiting || JobBusy(slot.assignment)) continue;
    const uint64_t need = slot.assignment.memory_limit_bytes;
    if (memory_bytes_ != 0 && busy > 0 && used + need > memory_bytes_) continue;
    slot.state = SlotState::kRunning;
    actions->start.push_back(slot.assignment);
    ++busy;
    used += need;
  }
}

}  // namespace swage
