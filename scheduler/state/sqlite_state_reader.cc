#include "scheduler/state/sqlite_state_reader.h"

#include <algorithm>
#include <utility>

namespace swage {
namespace {

// Greater than every key with this prefix. Keys are UTF-8 and so never hold the byte 0xff.
std::string PrefixEnd(const std::string& prefix) { return prefix + '\xff'; }

// SQLite's integers are signed.
uint64_t Signed(uint64_t value) { return std::min<uint64_t>(value, INT64_MAX); }

}  // namespace

StatusOr<std::unique_ptr<SqliteStateReader>> SqliteStateReader::Open(const std::string& path) {
  std::unique_ptr<SqliteStateReader> reader(new SqliteStateReader);
  SWAGE_ASSIGN_OR_RETURN(reader->connection_, SqliteConnection::Open(path));
  SWAGE_RETURN_IF_ERROR(reader->PrepareStatements());
  return reader;
}

Status SqliteStateReader::PrepareStatements() {
  const std::pair<const char*, SqliteStatement*> statements[] = {
      {"SELECT version, value FROM records WHERE key = ?1", &get_},
      {"SELECT key, version, value FROM records WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3",
       &scan_},
      {"SELECT key, version, value FROM records WHERE key >= ?1 AND key < ?2 ORDER BY key DESC "
       "LIMIT ?3",
       &scan_back_},
      {"SELECT sequence, stream_sequence, stream, value FROM events WHERE sequence > ?1 ORDER BY "
       "sequence LIMIT ?2",
       &read_events_},
      {"SELECT sequence, stream_sequence, stream, value FROM events WHERE stream = ?1 AND "
       "stream_sequence > ?2 ORDER BY stream_sequence LIMIT ?3",
       &read_stream_},
      {"SELECT stream, last FROM stream_ends WHERE stream > ?1 ORDER BY stream LIMIT ?2",
       &stream_ends_},
      {"SELECT max(sequence) FROM events", &newest_},
      {"SELECT seq FROM sqlite_sequence WHERE name = 'events'", &last_},
      {"PRAGMA data_version", &data_version_},
      {"SELECT incarnation FROM leader", &incarnation_}};
  for (const auto& [sql, out] : statements) {
    SWAGE_ASSIGN_OR_RETURN(*out, connection_->Prepare(sql));
  }
  return absl::OkStatus();
}

// Lets go of the statement's locks, whatever came of it.
Status SqliteStateReader::End(SqliteStatement* statement, bool good) {
  const Status status = good ? absl::OkStatus() : connection_->LastError("reading");
  statement->End();
  return status;
}

StatusOr<std::optional<Record>> SqliteStateReader::GetLocked(const std::string& key) {
  std::optional<Record> found;
  const int rc = get_.Begin().Bind(1, key).Step();
  if (rc == SQLITE_ROW) found = Record{key, get_.Integer(0), get_.Text(1)};
  SWAGE_RETURN_IF_ERROR(End(&get_, rc == SQLITE_ROW || rc == SQLITE_DONE));
  return found;
}

StatusOr<std::optional<Record>> SqliteStateReader::Get(const std::string& key) {
  std::lock_guard lock(mu_);
  return GetLocked(key);
}

StatusOr<std::vector<std::optional<Record>>> SqliteStateReader::MultiGet(
    const std::vector<std::string>& keys) {
  std::lock_guard lock(mu_);
  SWAGE_RETURN_IF_ERROR(connection_->Execute("BEGIN"));  // one snapshot for all
  std::vector<std::optional<Record>> found;
  found.reserve(keys.size());
  Status status;
  for (const std::string& key : keys) {
    auto record = GetLocked(key);
    status = record.status();
    if (!status.ok()) break;
    found.push_back(std::move(*record));
  }
  const Status ended = connection_->Execute("COMMIT");
  SWAGE_RETURN_IF_ERROR(status);
  SWAGE_RETURN_IF_ERROR(ended);
  return found;
}

StatusOr<std::vector<Record>> SqliteStateReader::Records(SqliteStatement* statement) {
  std::vector<Record> found;
  int rc = statement->Step();
  for (; rc == SQLITE_ROW; rc = statement->Step())
    found.push_back({statement->Text(0), statement->Integer(1), statement->Text(2)});
  SWAGE_RETURN_IF_ERROR(End(statement, rc == SQLITE_DONE));
  return found;
}

StatusOr<std::vector<Record>> SqliteStateReader::Scan(const std::string& prefix,
                                                      const std::string& after, size_t limit) {
  std::lock_guard lock(mu_);
  const std::string begin =
      after < prefix ? prefix : after + '\0';  // the next string after `after`
  const std::string end = PrefixEnd(prefix);
  return Records(&scan_.Begin().Bind(1, begin).Bind(2, end).Bind(3, Signed(limit)));
}

StatusOr<std::vector<Record>> SqliteStateReader::ScanBack(const std::string& prefix,
                                                          const std::string& before, size_t limit) {
  std::lock_guard lock(mu_);
  const std::string end = before.empty() ? PrefixEnd(prefix) : std::min(before, PrefixEnd(prefix));
  return Records(&scan_back_.Begin().Bind(1, prefix).Bind(2, end).Bind(3, Signed(limit)));
}

StatusOr<std::vector<StoredEvent>> SqliteStateReader::Events(SqliteStatement* statement) {
  std::vector<StoredEvent> found;
  int rc = statement->Step();
  for (; rc == SQLITE_ROW; rc = statement->Step()) {
    found.push_back(
        {statement->Integer(0), statement->Integer(1), statement->Text(2), statement->Text(3)});
  }
  SWAGE_RETURN_IF_ERROR(End(statement, rc == SQLITE_DONE));
  return found;
}

StatusOr<std::vector<StoredEvent>> SqliteStateReader::ReadEvents(uint64_t after_sequence,
                                                                 size_t limit) {
  std::lock_guard lock(mu_);
  return Events(&read_events_.Begin().Bind(1, Signed(after_sequence)).Bind(2, Signed(limit)));
}

StatusOr<std::vector<StoredEvent>> SqliteStateReader::ReadStream(const std::string& stream,
                                                                 uint64_t after_stream_sequence,
                                                                 size_t limit) {
  std::lock_guard lock(mu_);
  return Events(&read_stream_.Begin()
                     .Bind(1, stream)
                     .Bind(2, Signed(after_stream_sequence))
                     .Bind(3, Signed(limit)));
}

StatusOr<std::vector<StreamEnd>> SqliteStateReader::ScanStreamEnds(const std::string& after,
                                                                   size_t limit) {
  std::lock_guard lock(mu_);
  std::vector<StreamEnd> found;
  stream_ends_.Begin().Bind(1, after).Bind(2, Signed(limit));
  int rc = stream_ends_.Step();
  for (; rc == SQLITE_ROW; rc = stream_ends_.Step())
    found.push_back({stream_ends_.Text(0), stream_ends_.Integer(1)});
  SWAGE_RETURN_IF_ERROR(End(&stream_ends_, rc == SQLITE_DONE));
  return found;
}

StatusOr<uint64_t> SqliteStateReader::Number(SqliteStatement* statement) {
  std::lock_guard lock(mu_);
  const int rc = statement->Begin().Step();
  const uint64_t number = rc == SQLITE_ROW ? statement->Integer(0) : 0;  // NULL reads as 0
  SWAGE_RETURN_IF_ERROR(End(statement, rc == SQLITE_ROW || rc == SQLITE_DONE));
  return number;
}

StatusOr<uint64_t> SqliteStateReader::NewestEvent() { return Number(&newest_); }
StatusOr<uint64_t> SqliteStateReader::LastSequence() { return Number(&last_); }
StatusOr<uint64_t> SqliteStateReader::Incarnation() { return Number(&incarnation_); }
StatusOr<uint64_t> SqliteStateReader::DataVersion() { return Number(&data_version_); }

}  // namespace swage
