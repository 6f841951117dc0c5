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

class MemoryStateStore : public StateStore {
 public:
  ApplyResult Apply(const Transaction& transaction) override {
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
    for (const NewEvent& event : transaction.events) {
      std::vector<size_t>& stream = streams_[event.stream];
      stream.push_back(events_.size());
      events_.push_back({events_.size() + 1, stream.size(), event.stream, event.value});
    }
    if (!transaction.events.empty()) changed_.notify_all();
    return ApplyResult::kOk;
  }

  StatusOr<std::optional<Record>> Get(const std::string& key) override {
    std::lock_guard lock(mu_);
    auto it = records_.find(key);
    if (it == records_.end()) return std::optional<Record>();
    return std::optional<Record>(it->second);
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

  StatusOr<std::vector<StoredEvent>> ReadEvents(uint64_t after_sequence, size_t limit) override {
    std::lock_guard lock(mu_);
    std::vector<StoredEvent> found;
    for (size_t i = after_sequence; i < events_.size() && found.size() < limit; ++i)
      found.push_back(events_[i]);
    return found;
  }

  StatusOr<std::vector<StoredEvent>> ReadStream(const std::string& stream,
                                                uint64_t after_stream_sequence,
                                                size_t limit) override {
    std::lock_guard lock(mu_);
    std::vector<StoredEvent> found;
    auto it = streams_.find(stream);
    if (it == streams_.end()) return found;
    for (size_t i = after_stream_sequence; i < it->second.size() && found.size() < limit; ++i) {
      found.push_back(events_[it->second[i]]);
    }
    return found;
  }

  StatusOr<uint64_t> WaitForEvents(uint64_t after_sequence, int timeout_ms) override {
    std::unique_lock lock(mu_);
    changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                      [&] { return events_.size() > after_sequence; });
    return events_.size();
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

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  std::map<std::string, Record> records_;
  std::vector<StoredEvent> events_;  // sequence - 1 is the index
  std::map<std::string, std::vector<size_t>> streams_;
  uint64_t incarnation_ = 0;
};

}  // namespace

std::unique_ptr<StateStore> NewMemoryStateStore() { return std::make_unique<MemoryStateStore>(); }

}  // namespace swage
