#include "tests/sim/rewindable_state.h"

#include <algorithm>

#include "base/text.h"

namespace swage::sim {

RewindableState::Undo& RewindableState::Begin() {
  undo_.push_back({serial_++, incarnation_, last_sequence_, {}, {}, {}});
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
  for (const StreamTrim& trim : transaction.trims) Trim(trim, &undo);
  for (const NewEvent& event : transaction.events) Append(event, &undo);
  return ApplyResult::kOk;
}

void RewindableState::Trim(const StreamTrim& trim, Undo* undo) {
  const auto found = streams_.find(trim.stream);
  if (found == streams_.end()) return;
  std::deque<uint64_t>& sequences = found->second.sequences;
  while (!sequences.empty()) {
    const auto event = events_.find(sequences.front());
    if (event->second.stream_sequence > trim.up_to_stream_sequence) return;
    undo->trimmed.push_back(std::move(event->second));
    events_.erase(event);
    sequences.pop_front();
  }
}

void RewindableState::Append(const NewEvent& event, Undo* undo) {
  const auto [it, first] = streams_.try_emplace(event.stream);
  if (first) undo->new_streams.insert(event.stream);
  it->second.sequences.push_back(++last_sequence_);
  events_[last_sequence_] = {last_sequence_, ++it->second.last, event.stream, event.value};
}

StatusOr<std::optional<Record>> RewindableState::Get(const std::string& key) {
  const auto it = records_.find(key);
  if (it == records_.end()) return std::optional<Record>();
  return std::optional<Record>(it->second);
}

StatusOr<std::vector<std::optional<Record>>> RewindableState::MultiGet(
    const std::vector<std::string>& keys) {
  std::vector<std::optional<Record>> found;
  for (const std::string& key : keys) found.push_back(*Get(key));
  return found;
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
  for (auto it = events_.upper_bound(after); it != events_.end() && found.size() < limit; ++it)
    found.push_back(it->second);
  return found;
}

StatusOr<std::vector<StoredEvent>> RewindableState::ReadStream(const std::string& stream,
                                                               uint64_t after, size_t limit) {
  std::vector<StoredEvent> found;
  const auto it = streams_.find(stream);
  if (it == streams_.end()) return found;
  for (const uint64_t sequence : it->second.sequences) {
    const StoredEvent& event = events_.at(sequence);
    if (event.stream_sequence > after && found.size() < limit) found.push_back(event);
  }
  return found;
}

StatusOr<uint64_t> RewindableState::WaitForEvents(uint64_t, int) { return last_sequence_; }

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
    while (last_sequence_ > undo.last_sequence) {
      const auto event = events_.find(last_sequence_--);
      Stream& stream = streams_.at(event->second.stream);
      stream.sequences.pop_back();
      --stream.last;
      events_.erase(event);
    }
    for (const std::string& stream : undo.new_streams) streams_.erase(stream);
    for (auto it = undo.trimmed.rbegin(); it != undo.trimmed.rend(); ++it) {
      streams_.at(it->stream).sequences.push_front(it->sequence);
      events_[it->sequence] = std::move(*it);
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
