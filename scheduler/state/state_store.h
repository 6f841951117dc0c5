// The scheduler's durable state: versioned records and one event log. One write, Apply; job rules
// are in scheduler/core. Memory, SQLite and Redis implement it and pass
// tests/conformance/state_store_suite; docs/formats/state.md tells how each keeps it, and
// docs/guarantees.md what each may lose. Thread-safe.
//
//   SWAGE_ASSIGN_OR_RETURN(auto state, OpenStateStore("redis://localhost:6379"));
//   Transaction t;
//   t.writes.push_back({"default/job/1", record.version, json});
//   t.events.push_back({"default/job/1", event_json});
//   switch (state->Apply(t)) {...}
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
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
  std::string key;                   // UTF-8
  uint64_t expected_version = 0;     // 0: must be absent
  std::optional<std::string> value;  // nullopt deletes
};

struct NewEvent {
  std::string stream;  // "jobs/<tenant>/<id>", "requests"
  std::string value;
};

struct StoredEvent {
  uint64_t sequence = 0;         // over all streams, strictly increasing (gaps allowed)
  uint64_t stream_sequence = 0;  // within its stream: 1, 2, 3, ... without gap, but for trims
  std::string stream, value;
};

// Removes the events of `stream` with stream_sequence <= up_to_stream_sequence. The numbering of
// the stream goes on: no number is given twice. A stream or a number that does not exist is no
// error.
struct StreamTrim {
  std::string stream;
  uint64_t up_to_stream_sequence = 0;
};
inline constexpr uint64_t kWholeStream = UINT64_MAX;

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
  std::vector<StreamTrim> trims;  // before `events`: what this transaction appends stays
};

class StateStore {
 public:
  virtual ~StateStore() = default;
  // Calls of many threads at the same time share the cost of being durable (group commit); each
  // is a transaction of its own all the same.
  virtual ApplyResult Apply(const Transaction& transaction) = 0;
  // Several at once, in their order; each is a transaction of its own here too.
  virtual std::vector<ApplyResult> ApplyAll(std::span<const Transaction> transactions) {
    std::vector<ApplyResult> results;
    for (const Transaction& transaction : transactions) results.push_back(Apply(transaction));
    return results;
  }
  virtual StatusOr<std::optional<Record>> Get(const std::string& key) = 0;
  // Answers in the order of `keys`, all as of one moment; keys may repeat.
  virtual StatusOr<std::vector<std::optional<Record>>> MultiGet(
      const std::vector<std::string>& keys) = 0;
  // Keys with `prefix`, greater than `after`, ordered by bytes, at most `limit`. Fewer than `limit`
  // means that there are no more.
  virtual StatusOr<std::vector<Record>> Scan(const std::string& prefix, const std::string& after,
                                             size_t limit) = 0;
  // The same from the end: keys with `prefix`, less than `before` ("" = from the last), in falling
  // order.
  virtual StatusOr<std::vector<Record>> ScanBack(const std::string& prefix,
                                                 const std::string& before, size_t limit) = 0;
  virtual StatusOr<std::vector<StoredEvent>> ReadEvents(uint64_t after_sequence, size_t limit) = 0;
  virtual StatusOr<std::vector<StoredEvent>> ReadStream(const std::string& stream,
                                                        uint64_t after_stream_sequence,
                                                        size_t limit) = 0;
  // Returns when an event with sequence > after is there (its sequence, or a later one's), or when
  // the time is up: then the last sequence given to an event, or `after` when that is smaller.
  virtual StatusOr<uint64_t> WaitForEvents(uint64_t after_sequence, int timeout_ms) = 0;
  // Becomes leader: stores max(stored, at_least) + 1 durably and returns it. Every earlier
  // incarnation's Apply then conflicts.
  virtual StatusOr<uint64_t> TakeLeadership(uint64_t at_least) = 0;
  virtual StatusOr<uint64_t> CurrentIncarnation() = 0;
};

// A stream whose events have all been trimmed, and the last number it gave.
struct StreamEnd {
  std::string stream;
  uint64_t last_stream_sequence = 0;
};

// A piece of one store's content, as it is: versions, sequences and all.
struct StatePiece {
  std::vector<Record> records;
  std::vector<StoredEvent> events;  // ascending, and after those of earlier pieces
  std::vector<StreamEnd> stream_ends;
};

// What moving state from one store to another takes beside StateStore (state_copy.h). Import* is
// for a store that nobody else uses; between BeginImport and FinishImport it cannot be opened, so
// that no scheduler starts from half a copy.
class MovableStateStore : public StateStore {
 public:
  // In the order of their names, greater than `after`.
  virtual StatusOr<std::vector<StreamEnd>> ScanStreamEnds(const std::string& after,
                                                          size_t limit) = 0;
  virtual StatusOr<uint64_t> LastSequence() = 0;  // the last given to an event, trimmed or not
  virtual Status BeginImport() = 0;               // STATE_NOT_EMPTY when something is there
  virtual Status Import(const StatePiece& piece) = 0;
  virtual Status FinishImport(uint64_t incarnation, uint64_t last_sequence) = 0;
};

std::unique_ptr<MovableStateStore> NewMemoryStateStore();
// WAL, synchronous=FULL. Several processes may open one file. Refuses a newer schema
// (SCHEMA_NEWER).
StatusOr<std::unique_ptr<MovableStateStore>> OpenSqliteStateStore(const std::string& path);
// Any of the three, by its URI (state_uri.h); a plain path means SQLite.
StatusOr<std::unique_ptr<MovableStateStore>> OpenStateStore(const std::string& uri);

}  // namespace swage
