// The scheduler's durable state: versioned records and one event log. One write, Apply; job rules
// are in scheduler/core. Implementations (memory, sqlite; redis later) pass
// tests/conformance/state_store_suite. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace swage {

struct Record {
  std::string key;
  uint64_t version = 0;  // grows by one with each write of this key; 0 = absent; survives deletion
                         // as a tombstone-free restart at 1
  std::string value;
};

struct Write {
  std::string key;
  uint64_t expected_version = 0;     // 0: must be absent
  std::optional<std::string> value;  // nullopt deletes
};

struct NewEvent {
  std::string stream;  // "jobs/<tenant>/<id>", "requests"
  std::string value;
};

struct StoredEvent {
  uint64_t sequence = 0;         // over all streams, strictly increasing (gaps allowed)
  uint64_t stream_sequence = 0;  // within its stream: 1, 2, 3, ... without gap
  std::string stream, value;
};

enum class ApplyResult {
  kOk,
  kConflict,
  kUnknown
};  // kUnknown: may or may not have happened; read again

struct Transaction {
  // 0: no leadership claimed (control's requests). Else refused (kConflict) unless equal to the
  // stored incarnation.
  uint64_t incarnation = 0;
  std::vector<Write> writes;  // all or nothing; keys unique
  std::vector<NewEvent> events;
};

class StateStore {
 public:
  virtual ~StateStore() = default;
  virtual ApplyResult Apply(const Transaction& transaction) = 0;
  virtual StatusOr<std::optional<Record>> Get(const std::string& key) = 0;
  // Keys with `prefix`, greater than `after`, ordered, at most `limit`.
  virtual StatusOr<std::vector<Record>> Scan(const std::string& prefix, const std::string& after,
                                             size_t limit) = 0;
  virtual StatusOr<std::vector<StoredEvent>> ReadEvents(uint64_t after_sequence, size_t limit) = 0;
  virtual StatusOr<std::vector<StoredEvent>> ReadStream(const std::string& stream,
                                                        uint64_t after_stream_sequence,
                                                        size_t limit) = 0;
  // Returns when an event with sequence > after exists, or the time is up (then the last known
  // sequence, <= after).
  virtual StatusOr<uint64_t> WaitForEvents(uint64_t after_sequence, int timeout_ms) = 0;
  // Becomes leader: stores max(stored, at_least) + 1 durably and returns it. Every earlier
  // incarnation's Apply then conflicts.
  virtual StatusOr<uint64_t> TakeLeadership(uint64_t at_least) = 0;
  virtual StatusOr<uint64_t> CurrentIncarnation() = 0;
};

std::unique_ptr<StateStore> NewMemoryStateStore();
// WAL, synchronous=FULL. Several processes may open one file. Refuses a newer schema
// (SCHEMA_NEWER).
StatusOr<std::unique_ptr<StateStore>> OpenSqliteStateStore(const std::string& path);

}  // namespace swage
