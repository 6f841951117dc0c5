#include "tests/sim/rewindable_state.h"

#include <algorithm>

#include "base/text.h"

namespace swage::sim {

RewindableState::Undo& RewindableState::Begin() {
  undo_.push_back({serial_++, incarnation_, events_.size(), {}});
  return undo_.back();
}

ApplyResult RewindableState::Apply(const Transaction& transaction) {
  if (transaction.incarnation != 0 && transaction.incarnation != incarnation_)
    return ApplyResult::kConflict;
  for (const Write& write : transaction.writes) {
    const auto it = records_.find(write.key);
    const uint64_t version = it == records_.end() ? 0 : it->second.version;
    if (version != write.expected_version) return ApplyResult::kConflict;
  }
  Undo& undo = Begin();
  for (const Write& write : transaction.writes) {
    const auto it = records_.find(write.key);
    undo.records.emplace_back(
        write.key, it == records_.end() ? std::nullopt : std::optional<Record>(it->second));
    if (write.value.has_value()) {
      records_[write.key] = {write.key, write.expected_version + 1, *write.value};
    } else if (it != records_.end()) {
      records_.erase(it);
    }
  }
  for (const NewEvent& event : transaction.events) {
    std::vector<uint64_t>& stream = streams_[event.stream];
    stream.push_back(events_.size() + 1);
    events_.push_back({events_.size() + 1, stream.size(), event.stream, event.value});
  }
  return ApplyResult::kOk;
}

StatusOr<std::optional<Record>> RewindableState::Get(const std::string& key) {
  const auto it = records_.find(key);
  if (it == records_.end()) return std::optional<Record>();
  return std::optional<Record>(it->second);
}

StatusOr<std::vector<Record>> RewindableState::Scan(const std::string& prefix,
                                                    const std::string& after, size_t limit) {
  std::vector<Record> found;
  auto it = after < prefix ? records_.lower_bound(prefix) : records_.upper_bound(after);
  for (; it != records_.end() && found.size() < limit; ++it) {
    if (!StartsWith(it->first, prefix)) break;
    found.push_back(it->second);
  }
  return found;
}

StatusOr<std::vector<Record>> RewindableState::ScanBack(const std::string& prefix,
                                                        const std::string& before, size_t limit) {
  std::vector<Record> found;
  const std::string end = prefix + '\xff';  // keys are UTF-8 and never hold that byte
  auto it = records_.lower_bound(before.empty() ? end : std::min(before, end));
  while (it != records_.begin() && found.size() < limit) {
    --it;
    if (!StartsWith(it->first, prefix)) break;
    found.push_back(it->second);
  }
  return found;
}

StatusOr<std::vector<StoredEvent>> RewindableState::ReadEvents(uint64_t after, size_t limit) {
  std::vector<StoredEvent> found;
  for (size_t i = after; i < events_.size() && found.size() < limit; ++i)
    found.push_back(events_[i]);
  return found;
}

StatusOr<std::vector<StoredEvent>> RewindableState::ReadStream(const std::string& stream,
                                                               uint64_t after, size_t limit) {
  std::vector<StoredEvent> found;
  const auto it = streams_.find(stream);
  if (it == streams_.end()) return found;
  for (size_t i = after; i < it->second.size() && found.size() < limit; ++i) {
    found.push_back(events_[it->second[i] - 1]);
  }
  return found;
}

StatusOr<uint64_t> RewindableState::WaitForEvents(uint64_t, int) { return events_.size(); }

StatusOr<uint64_t> RewindableState::TakeLeadership(uint64_t at_least) {
  Begin();
  incarnation_ = std::max(incarnation_, at_least) + 1;
  return incarnation_;
}

void RewindableState::RewindTo(uint64_t serial) {
  while (!undo_.empty() && undo_.back().serial >= serial) {
    Undo& undo = undo_.back();
    for (auto it = undo.records.rbegin(); it != undo.records.rend(); ++it) {
      if (it->second.has_value()) {
        records_[it->first] = *it->second;
      } else {
        records_.erase(it->first);
      }
    }
    for (; events_.size() > undo.events; events_.pop_back()) {
      const auto stream = streams_.find(events_.back().stream);
      stream->second.pop_back();
      if (stream->second.empty()) streams_.erase(stream);
    }
    incarnation_ = undo.incarnation;
    serial_ = undo.serial;
    undo_.pop_back();
  }
}

void RewindableState::Forget(uint64_t serial) {
  while (!undo_.empty() && undo_.front().serial < serial) undo_.pop_front();
}

}  // namespace swage::sim
