// What the SQLite state store reads, over a connection of its own, so that reading never waits for
// a commit. Thread-safe: one reader at a time.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "scheduler/state/sqlite_connection.h"
#include "scheduler/state/state_store.h"

namespace swage {

class SqliteStateReader {
 public:
  static StatusOr<std::unique_ptr<SqliteStateReader>> Open(const std::string& path);

  StatusOr<std::optional<Record>> Get(const std::string& key);
  StatusOr<std::vector<std::optional<Record>>> MultiGet(const std::vector<std::string>& keys);
  StatusOr<std::vector<Record>> Scan(const std::string& prefix, const std::string& after,
                                     size_t limit);
  StatusOr<std::vector<StoredEvent>> ReadEvents(uint64_t after_sequence, size_t limit);
  StatusOr<std::vector<StoredEvent>> ReadStream(const std::string& stream,
                                                uint64_t after_stream_sequence, size_t limit);
  StatusOr<std::vector<Record>> ScanBack(const std::string& prefix, const std::string& before,
                                         size_t limit);
  StatusOr<std::vector<StreamEnd>> ScanStreamEnds(const std::string& after, size_t limit);

  StatusOr<uint64_t> NewestEvent();   // the largest sequence that is there; 0: none
  StatusOr<uint64_t> LastSequence();  // the last one given, trimmed or not
  StatusOr<uint64_t> Incarnation();
  // Changes whenever another connection, of this process or another, has committed.
  StatusOr<uint64_t> DataVersion();

 private:
  SqliteStateReader() = default;
  Status PrepareStatements();
  StatusOr<std::optional<Record>> GetLocked(const std::string& key);
  StatusOr<uint64_t> Number(SqliteStatement* statement);  // 0 when there is no row
  StatusOr<std::vector<Record>> Records(SqliteStatement* statement);
  StatusOr<std::vector<StoredEvent>> Events(SqliteStatement* statement);
  Status End(SqliteStatement* statement, bool good);

  std::mutex mu_;
  std::unique_ptr<SqliteConnection> connection_;
  SqliteStatement get_, scan_, scan_back_, read_events_, read_stream_, stream_ends_, newest_, last_,
      data_version_, incarnation_;
};

}  // namespace swage
