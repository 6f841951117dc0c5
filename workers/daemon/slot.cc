#include "workers/daemon/slot.h"

#include <algorithm>

namespace swage {
namespace {

bool HasProcess(const Slot& slot) { return slot.state == SlotState::kRunning || slot.state == SlotState::kStopping; }

uint64_t BytesOn(const Assignment& assignment, const std::string& device) {
  uint64_t bytes = 0;
  for (const AssignedDevice& share : assignment.devices) bytes += share.device == device ? share.bytes : 0;
  return bytes;
}

bool HasAll(const Assignment& assignment) {
  return assignment.world > 1 && assignment.rendezvous.size() == static_cast<size_t>(assignment.world);
}

// Not wanted any more (`listed` null), or asked to stop.
void StopOne(const AttemptToken& token, const Assignment* listed, Slot* slot, SlotTable::Actions* actions) {
  if (listed == nullptr) {
    if (slot->state == SlotState::kStopping && !slot->winding_down) return;
    slot->state = SlotState::kStopping;
    slot->winding_down = false;
    actions->stop.push_back(token);
  } else if (slot->state == SlotState::kRunning) {
    slot->state = SlotState::kStopping;
    slot->winding_down = true;
    actions->wind_down.push_back({token, listed->grace_ms, listed->stop_reason});
  }
}

}  // namespace

SlotTable::Actions SlotTable::Converge(const std::vector<Assignment>& desired) {
  Actions actions;
  for (auto it = by_token_.begin(); it != by_token_.end();) {
    Slot& slot = it->second;
    const auto listed = std::find_if(desired.begin(), desired.end(), [&](const Assignment& a) { return a.token == it->first; });
    if (listed != desired.end() && !listed->stop) {
      if (!slot.assignment.started && listed->started) {
        slot.assignment.started = true;
        slot.assignment.peers = listed->peers;
        if (slot.state == SlotState::kRunning) actions.go.push_back(slot.assignment);
      }
      // Only once its own process has spoken: one that begins anew under the same token must hear it too.
      if (!slot.rendezvous.empty() && slot.assignment.rendezvous.empty() && HasAll(*listed)) {
        slot.assignment.rendezvous = listed->rendezvous;
        if (slot.state == SlotState::kRunning) actions.met.push_back(slot.assignment);
      }
      ++it;
      continue;
    }
    if (HasProcess(slot)) {
      StopOne(it->first, listed == desired.end() ? nullptr : &*listed, &slot, &actions);
      ++it;
      continue;
    }
    // A result that nobody asked for any more may be needed again: only what is listed no more counts as accepted.
    if (!slot.outcome.manifest_digest.empty() && listed == desired.end()) actions.accepted.push_back(slot.assignment);
    it = by_token_.erase(it);
  }
  for (const Assignment& assignment : desired) {
    if (assignment.stop || draining_) continue;
    const auto [slot, added] = by_token_.try_emplace(assignment.token, Slot{assignment});
    if (added) slot->second.assignment.rendezvous.clear();  // its process has not heard it yet
  }
  StartWaiting(&actions);
  return actions;
}

void SlotTable::Progress(const AttemptToken& token, const SlotProgress& progress) {
  const auto it = by_token_.find(token);
  if (it != by_token_.end()) it->second.progress = progress;
}

void SlotTable::Checkpointed(const AttemptToken& token, const std::string& artifact) {
  const auto it = by_token_.find(token);
  if (it != by_token_.end()) it->second.checkpoint = artifact;
}

void SlotTable::Rendezvous(const AttemptToken& token, const std::string& said) {
  const auto it = by_token_.find(token);
  if (it != by_token_.end() && it->second.rendezvous.empty()) it->second.rendezvous = said;
}

SlotTable::Actions SlotTable::Finished(const AttemptToken& token, const SlotOutcome& outcome) {
  Actions actions;
  const auto it = by_token_.find(token);
  if (it != by_token_.end()) {
    Slot& slot = it->second;
    if (slot.state == SlotState::kRunning || slot.winding_down) {
      slot.state = SlotState::kReporting;
      slot.outcome = outcome;
      slot.winding_down = false;
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
    if (HasProcess(it->second)) StopOne(it->first, nullptr, &it->second, &actions);
    // An outcome that was not accepted within the lease is not reported after it.
    it = it->second.state == SlotState::kStopping ? std::next(it) : by_token_.erase(it);
  }
  return actions;
}

SlotTable::Actions SlotTable::Drain() {
  draining_ = true;
  std::erase_if(by_token_, [](const auto& entry) { return entry.second.state == SlotState::kWaiting; });
  return {};
}

SlotTable::Actions SlotTable::StopAll(const std::string& reason, int64_t grace_ms) {
  Actions actions = Drain();
  for (auto& [token, slot] : by_token_) {
    if (slot.state != SlotState::kRunning) continue;
    slot.state = SlotState::kStopping;
    slot.winding_down = true;
    actions.wind_down.push_back({token, grace_ms, reason});
  }
  return actions;
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
           entry.first != assignment.token && HasProcess(slot);
  });
}

// Beside what runs and stops. With nothing beside it there is nothing to wait for.
bool SlotTable::Fits(const Assignment& assignment) const {
  const auto fits = [&](uint64_t limit, const auto& bytes_of) {
    uint64_t used = 0;
    for (const auto& [token, slot] : by_token_) {
      if (HasProcess(slot)) used += bytes_of(slot.assignment);
    }
    return limit == 0 || used == 0 || used + bytes_of(assignment) <= limit;
  };
  if (!fits(memory_bytes_, [](const Assignment& a) { return a.memory_limit_bytes; })) return false;
  return std::all_of(assignment.devices.begin(), assignment.devices.end(), [&](const AssignedDevice& share) {
    const auto limit = device_bytes_.find(share.device);
    return fits(limit == device_bytes_.end() ? 0 : limit->second,
                [&](const Assignment& a) { return BytesOn(a, share.device); });
  });
}

void SlotTable::StartWaiting(Actions* actions) {
  auto busy = std::count_if(by_token_.begin(), by_token_.end(), [](const auto& entry) { return HasProcess(entry.second); });
  for (auto& [token, slot] : by_token_) {
    if (busy >= slots_) return;
    if (slot.state != SlotState::kWaiting || JobBusy(slot.assignment) || !Fits(slot.assignment)) continue;
    slot.state = SlotState::kRunning;
    actions->start.push_back(slot.assignment);
    ++busy;
  }
}

}  // namespace swage
