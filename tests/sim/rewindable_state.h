// A state store whose last writes can be taken back: what a failover to a replica that lags behind
// does. The same contract as the real ones (scheduler/state/state_store.h), compared with the
// memory store in a test. One thread.
//
//   RewindableState state;
//   state.Apply(a);
//   const uint64_t mark = state.serial();
//   state.Apply(b);
//   state.RewindTo(mark);  // b never was
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "scheduler/state/state_store.h"

namespace swage::sim {

class RewindableState : public StateStore {
 public:
  ApplyResult Apply(const Transaction& transaction) override;
  StatusOr<std::optional<Record>> Get(const std::string& key) override;
  StatusOr<std::vector<std::optional<Record>>> MultiGet(
      const std::vector<std::string>& keys) override;
  StatusOr<std::vector<Record>> Scan(const std::string& prefix, const std::string& after,
                                     size_t limit) override;
  StatusOr<std::vector<Record>> ScanBack(const std::string& prefix, const std::string& before,
                                         size_t limit) override;
  StatusOr<std::vector<StoredEvent>> ReadEvents(uint64_t after, size_t limit) override;
  StatusOr<std::vector<StoredEvent>> ReadStream(const std::string& stream, uint64_t after,
                                                size_t limit) override;
  StatusOr<uint64_t> WaitForEvents(uint64_t after, int timeout_ms) override;  // never waits
  StatusOr<uint64_t> TakeLeadership(uint64_t at_least) override;
  StatusOr<uint64_t> CurrentIncarnation() override { return incarnation_; }

  // Changes so far: of records, events or the incarnation.
  uint64_t serial() const { return serial_; }
  // Takes back everything after that change, as far back as Forget has left it.
  void RewindTo(uint64_t serial);
  // What was changed up to here can no longer be taken back.
  void Forget(uint64_t serial);

 private:
  struct Stream {
    uint64_t last = 0;                // the number given last
    std::deque<uint64_t> sequences;   // of its events, those trimmed left out
  };
  struct Undo {
    uint64_t serial = 0;  // before the change
    uint64_t incarnation = 0;
    uint64_t last_sequence = 0;
    std::vector<std::pair<std::string, std::optional<Record>>> records;
    std::vector<StoredEvent> trimmed;
    std::set<std::string> new_streams;
  };
  Undo& Begin();
  void Trim(const StreamTrim& trim, Undo* undo);
  void Append(const NewEvent& event, Undo* undo);

  std::map<std::string, Record> records_;
  std::map<uint64_t, StoredEvent> events_;  // by sequence
  std::map<std::string, Stream> streams_;
  uint64_t incarnation_ = 0, serial_ = 0, last_sequence_ = 0;
  std::deque<Undo> undo_;
};

}  // namespace swage::sim
