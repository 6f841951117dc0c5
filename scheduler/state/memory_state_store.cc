// The state store in memory: the model that the others are compared with, and the store of tests
// and the simulator.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>

#include "scheduler/state/state_store.h"

namespace swage {
namespace {

class MemoryStateStore : public MovableStateStore {
 public:
  ApplyResult Apply(const Transaction& transaction) override;

  StatusOr<std::optional<Record>> Get(const std::string& key) override {
    std::lock_guard lock(mu_);
    return Find(key);
  }

  StatusOr<std::vector<std::optional<Record>>> MultiGet(
      const std::vector<std::string>& keys) override {
    std::lock_guard lock(mu_);
    std::vector<std::optional<Record>> found;
    found.reserve(keys.size());
    for (const std::string& key : keys) found.push_back(Find(key));
    return found;
  }

  StatusOr<std::vector<Record>> Scan(const std::string& prefix, const std::string& after,
                                     size_t limit) override {
    std::lock_guard lock(mu_);
    std::vector<Record> found;
    auto it = after < prefix ? records_.lower_bound(prefix) : records_.upper_bound(after);
    for (; it != records_.end() && found.size() < limit; ++it) {
      if (!StartsWith(it->first, prefix)) break;
      found.push_back(it->second);
    }
    return found;
  }

  StatusOr<std::vector<Record>> ScanBack(const std::string& prefix, const std::string& before,
                                         size_t limit) override {
    std::lock_guard lock(mu_);
    const std::string end = prefix + '\xff';  // keys are UTF-8 and never hold that byte
    std::vector<Record> found;
    auto it = records_.lower_bound(before.empty() ? end : std::min(before, end));
    while (it != records_.begin() && found.size() < limit) {
      --it;
      if (!StartsWith(it->first, prefix)) break;
      found.push_back(it->second);
    }
    return found;
  }

  StatusOr<std::vector<StoredEvent>> ReadEvents(uint64_t after_sequence, size_t limit) override {
    std::lock_guard lock(mu_);
    std::vector<StoredEvent> found;
    for (auto it = events_.upper_bound(after_sequence);
         it != events_.end() && found.size() < limit; ++it) {
      found.push_back(it->second);
    }
    return found;
  }

  StatusOr<std::vector<StoredEvent>> ReadStream(const std::string& stream,
                                                uint64_t after_stream_sequence,
                                                size_t limit) override {
    std::lock_guard lock(mu_);
    std::vector<StoredEvent> found;
    const auto named = streams_.find(stream);
    if (named == streams_.end()) return found;
    const auto& sequences = named->second.sequences;
    for (auto it = sequences.upper_bound(after_stream_sequence);
         it != sequences.end() && found.size() < limit; ++it) {
      found.push_back(events_.at(it->second));
    }
    return found;
  }

  StatusOr<uint64_t> WaitForEvents(uint64_t after_sequence, int timeout_ms) override {
    std::unique_lock lock(mu_);
    const auto newer = [&] { return !events_.empty() && events_.rbegin()->first > after_sequence; };
    if (changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms), newer)) {
      return events_.rbegin()->first;
    }
    return std::min(last_sequence_, after_sequence);
  }

  StatusOr<uint64_t> TakeLeadership(uint64_t at_least) override {
    std::lock_guard lock(mu_);
    incarnation_ = std::max(incarnation_, at_least) + 1;
    return incarnation_;
  }

  StatusOr<uint64_t> CurrentIncarnation() override {
    std::lock_guard lock(mu_);
    return incarnation_;
  }

  StatusOr<std::vector<StreamEnd>> ScanStreamEnds(const std::string& after, size_t limit) override;
  StatusOr<uint64_t> LastSequence() override {
    std::lock_guard lock(mu_);
    return last_sequence_;
  }
  Status BeginImport() override;
  Status Import(const StatePiece& piece) override;
  Status FinishImport(uint64_t incarnation, uint64_t last_sequence) override;

 private:
  struct Stream {
    uint64_t last = 0;
    std::map<uint64_t, uint64_t> sequences;  // stream sequence -> sequence
  };

  std::optional<Record> Find(const std::string& key) const {
    const auto it = records_.find(key);
    return it == records_.end() ? std::nullopt : std::optional(it->second);
  }
  void RemoveEvents(const StreamTrim& trim);

  std::mutex mu_;
  std::condition_variable changed_;
  std::map<std::string, Record> records_;
  std::map<uint64_t, StoredEvent> events_;
  std::map<std::string, Stream> streams_;
  uint64_t last_sequence_ = 0;
  uint64_t incarnation_ = 0;
};

ApplyResult MemoryStateStore::Apply(const Transaction& transaction) {
  std::lock_guard lock(mu_);
  if (transaction.incarnation != 0 && transaction.incarnation != incarnation_)
    return ApplyResult::kConflict;
  for (const Write& write : transaction.writes) {
    auto it = records_.find(write.key);
    const uint64_t version = it == records_.end() ? 0 : it->second.version;
    if (version != write.expected_version) return ApplyResult::kConflict;
  }
  for (const Write& write : transaction.writes) {
    if (write.value.has_value()) {
      records_[write.key] = {write.key, write.expected_version + 1, *write.value};
    } else {
      records_.erase(write.key);
    }
  }
  for (const StreamTrim& trim : transaction.trims) RemoveEvents(trim);
  for (const NewEvent& event : transaction.events) {
    Stream& stream = streams_[event.stream];
    stream.sequences[++stream.last] = ++last_sequence_;
    events_[last_sequence_] = {last_sequence_, stream.last, event.stream, event.value};
  }
  if (!transaction.events.empty()) changed_.notify_all();
  return ApplyResult::kOk;
}

void MemoryStateStore::RemoveEvents(const StreamTrim& trim) {
  const auto named = streams_.find(trim.stream);
  if (named == streams_.end()) return;
  auto& sequences = named->second.sequences;
  const auto end = sequences.upper_bound(trim.up_to_stream_sequence);
  for (auto it = sequences.begin(); it != end; ++it) events_.erase(it->second);
  sequences.erase(sequences.begin(), end);
}

StatusOr<std::vector<StreamEnd>> MemoryStateStore::ScanStreamEnds(const std::string& after,
                                                                  size_t limit) {
  std::lock_guard lock(mu_);
  std::vector<StreamEnd> found;
  for (auto it = streams_.upper_bound(after); it != streams_.end() && found.size() < limit; ++it) {
    if (it->second.sequences.empty()) found.push_back({it->first, it->second.last});
  }
  return found;
}

Status MemoryStateStore::BeginImport() {
  std::lock_guard lock(mu_);
  if (records_.empty() && last_sequence_ == 0 && incarnation_ == 0) return absl::OkStatus();
  return Precondition("STATE_NOT_EMPTY", "the state in memory is not empty");
}

Status MemoryStateStore::Import(const StatePiece& piece) {
  std::lock_guard lock(mu_);
  for (const Record& record : piece.records) records_[record.key] = record;
  for (const StoredEvent& event : piece.events) {
    Stream& stream = streams_[event.stream];
    stream.last = event.stream_sequence;
    stream.sequences[event.stream_sequence] = event.sequence;
    events_[event.sequence] = event;
  }
  for (const StreamEnd& end : piece.stream_ends) streams_[end.stream].last = end.last_stream_sequence;
  return absl::OkStatus();
}

Status MemoryStateStore::FinishImport(uint64_t incarnation, uint64_t last_sequence) {
  std::lock_guard lock(mu_);
  incarnation_ = incarnation;
  last_sequence_ = last_sequence;
  changed_.notify_all();
  return absl::OkStatus();
}

}  // namespace

std::unique_ptr<MovableStateStore> NewMemoryStateStore() {
  return std::make_unique<MemoryStateStore>();
}

}  // namespace swage
