// The state store in one SQLite file (docs/formats/state.md). Threads that apply at the same time
// share one commit, and so one fsync; each transaction is a savepoint of its own within it, so that
// one's conflict is not another's.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

#include "scheduler/state/sqlite_connection.h"
#include "scheduler/state/state_store.h"

namespace swage {
namespace {

constexpr uint64_t kSchemaVersion = 1;
constexpr size_t kGroupTransactions = 128;
// Another process's commit is noticed within this; asked only while somebody waits, and costs one
// page read.
constexpr int kPollMs = 20;

constexpr char kSchema[] = R"sql(
CREATE TABLE records (
  key TEXT PRIMARY KEY, version INTEGER NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  stream TEXT NOT NULL, stream_sequence INTEGER NOT NULL, value TEXT NOT NULL,
  UNIQUE (stream, stream_sequence));
CREATE TABLE leader (one INTEGER PRIMARY KEY CHECK (one = 1), incarnation INTEGER NOT NULL);
INSERT INTO leader VALUES (1, 0);
PRAGMA user_version = 1;
)sql";

// Greater than every key with this prefix. Keys are UTF-8 and so never hold the byte 0xff.
std::string PrefixEnd(const std::string& prefix) { return prefix + '\xff'; }

class SqliteStateStore : public StateStore {
 public:
  Status Open(const std::string& path);
  ApplyResult Apply(const Transaction& transaction) override;
  StatusOr<std::optional<Record>> Get(const std::string& key) override;
  StatusOr<std::vector<Record>> Scan(const std::string& prefix, const std::string& after,
                                     size_t limit) override;
  StatusOr<std::vector<StoredEvent>> ReadEvents(uint64_t after_sequence, size_t limit) override;
  StatusOr<std::vector<StoredEvent>> ReadStream(const std::string& stream,
                                                uint64_t after_stream_sequence,
                                                size_t limit) override;
  StatusOr<uint64_t> WaitForEvents(uint64_t after_sequence, int timeout_ms) override;
  StatusOr<uint64_t> TakeLeadership(uint64_t at_least) override;
  StatusOr<uint64_t> CurrentIncarnation() override;

 private:
  struct Waiting {
    const Transaction* transaction;
    ApplyResult result = ApplyResult::kUnknown;
    bool done = false;
  };
  Status Migrate();
  Status PrepareStatements();
  void ApplyGroup(const std::vector<Waiting*>& group);
  ApplyResult ApplyOne(const Transaction& transaction);
  ApplyResult WriteOne(const Write& write);
  bool AppendEvent(const NewEvent& event);
  StatusOr<uint64_t> NewestEvent();  // under read_mu_
  StatusOr<uint64_t> DataVersion();  // under read_mu_
  StatusOr<std::vector<StoredEvent>> Events(SqliteStatement* statement);

  std::unique_ptr<SqliteConnection> writer_, reader_;
  SqliteStatement get_version_, insert_, update_, delete_, incarnation_, last_in_stream_, append_;
  SqliteStatement get_, scan_, read_events_, read_stream_, newest_, data_version_,
      read_incarnation_;

  std::mutex queue_mu_;
  std::condition_variable queue_changed_;
  std::deque<Waiting*> queue_;
  bool writing_ = false;

  std::mutex read_mu_;

  std::mutex wait_mu_;
  std::condition_variable events_changed_;
  uint64_t newest_known_ = 0;  // under wait_mu_
  uint64_t seen_data_version_ = 0;
  bool polling_ = false;  // one of the waiting threads asks the file, for all
  uint64_t local_commits_ = 0;
};

Status SqliteStateStore::Open(const std::string& path) {
  SWAGE_ASSIGN_OR_RETURN(writer_, SqliteConnection::Open(path));
  SWAGE_RETURN_IF_ERROR(Migrate());
  SWAGE_ASSIGN_OR_RETURN(reader_, SqliteConnection::Open(path));
  SWAGE_RETURN_IF_ERROR(PrepareStatements());
  std::lock_guard lock(read_mu_);
  SWAGE_ASSIGN_OR_RETURN(seen_data_version_, DataVersion());
  SWAGE_ASSIGN_OR_RETURN(newest_known_, NewestEvent());
  return absl::OkStatus();
}

Status SqliteStateStore::Migrate() {
  SWAGE_RETURN_IF_ERROR(
      writer_->Execute("BEGIN IMMEDIATE"));  // two processes may be making the file
  auto version = writer_->QueryInteger("PRAGMA user_version");
  Status status = version.status();
  if (status.ok() && *version == 0) status = writer_->Execute(kSchema);
  if (status.ok() && *version > kSchemaVersion) {
    status = Precondition(
        "SCHEMA_NEWER",
        Cat("the state file has schema ", *version, ", this program knows up to ", kSchemaVersion),
        "run the newer version of Swage that wrote it");
  }
  const Status ended = writer_->Execute(status.ok() ? "COMMIT" : "ROLLBACK");
  return status.ok() ? ended : status;
}

Status SqliteStateStore::PrepareStatements() {
  auto prepare = [](SqliteConnection* connection, const char* sql, SqliteStatement* out) {
    auto statement = connection->Prepare(sql);
    if (statement.ok()) *out = std::move(*statement);
    return statement.status();
  };
  SqliteConnection* w = writer_.get();
  SqliteConnection* r = reader_.get();
  const std::pair<const char*, SqliteStatement*> writing[] = {
      {"SELECT version FROM records WHERE key = ?1", &get_version_},
      {"INSERT INTO records (key, version, value) VALUES (?1, 1, ?2)", &insert_},
      {"UPDATE records SET version = version + 1, value = ?2 WHERE key = ?1", &update_},
      {"DELETE FROM records WHERE key = ?1", &delete_},
      {"SELECT incarnation FROM leader", &incarnation_},
      {"SELECT max(stream_sequence) FROM events WHERE stream = ?1", &last_in_stream_},
      {"INSERT INTO events (stream, stream_sequence, value) VALUES (?1, ?2, ?3)", &append_}};
  const std::pair<const char*, SqliteStatement*> reading[] = {
      {"SELECT version, value FROM records WHERE key = ?1", &get_},
      {"SELECT key, version, value FROM records WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3",
       &scan_},
      {"SELECT sequence, stream_sequence, stream, value FROM events WHERE sequence > ?1 ORDER BY "
       "sequence LIMIT ?2",
       &read_events_},
      {"SELECT sequence, stream_sequence, stream, value FROM events WHERE stream = ?1 AND "
       "stream_sequence > ?2"
       " ORDER BY stream_sequence LIMIT ?3",
       &read_stream_},
      {"SELECT max(sequence) FROM events", &newest_},
      {"PRAGMA data_version", &data_version_},
      {"SELECT incarnation FROM leader", &read_incarnation_}};
  for (const auto& [sql, out] : writing) SWAGE_RETURN_IF_ERROR(prepare(w, sql, out));
  for (const auto& [sql, out] : reading) SWAGE_RETURN_IF_ERROR(prepare(r, sql, out));
  return absl::OkStatus();
}

ApplyResult SqliteStateStore::Apply(const Transaction& transaction) {
  Waiting mine{&transaction};
  std::unique_lock lock(queue_mu_);
  queue_.push_back(&mine);
  queue_changed_.wait(lock, [&] { return mine.done || (!writing_ && queue_.front() == &mine); });
  if (mine.done) return mine.result;
  // The first in line writes for those behind it.
  std::vector<Waiting*> group;
  while (!queue_.empty() && group.size() < kGroupTransactions) {
    group.push_back(queue_.front());
    queue_.pop_front();
  }
  writing_ = true;
  lock.unlock();
  ApplyGroup(group);
  lock.lock();
  writing_ = false;
  for (Waiting* waiting : group) waiting->done = true;
  queue_changed_.notify_all();
  return mine.result;
}

void SqliteStateStore::ApplyGroup(const std::vector<Waiting*>& group) {
  if (!writer_->Execute("BEGIN IMMEDIATE").ok())
    return;  // nothing happened, but "unknown" is never wrong
  bool has_events = false;
  for (Waiting* waiting : group) {
    if (!writer_->Execute("SAVEPOINT one").ok()) break;
    const ApplyResult result = ApplyOne(*waiting->transaction);
    if (result != ApplyResult::kOk) writer_->Execute("ROLLBACK TO one").IgnoreError();
    if (!writer_->Execute("RELEASE one").ok()) break;
    waiting->result = result;
    has_events =
        has_events || (result == ApplyResult::kOk && !waiting->transaction->events.empty());
  }
  if (!writer_->Execute("COMMIT").ok()) {
    writer_->Execute("ROLLBACK").IgnoreError();
    for (Waiting* waiting : group) waiting->result = ApplyResult::kUnknown;
    return;
  }
  if (!has_events) return;
  std::lock_guard lock(wait_mu_);
  ++local_commits_;
  events_changed_.notify_all();
}

ApplyResult SqliteStateStore::ApplyOne(const Transaction& transaction) {
  if (transaction.incarnation != 0) {
    if (incarnation_.Begin().Step() != SQLITE_ROW) return ApplyResult::kUnknown;
    const uint64_t stored = incarnation_.Integer(0);
    incarnation_.End();
    if (stored != transaction.incarnation) return ApplyResult::kConflict;
  }
  for (const Write& write : transaction.writes) {
    if (const ApplyResult result = WriteOne(write); result != ApplyResult::kOk) return result;
  }
  for (const NewEvent& event : transaction.events) {
    if (!AppendEvent(event)) return ApplyResult::kUnknown;
  }
  return ApplyResult::kOk;
}

ApplyResult SqliteStateStore::WriteOne(const Write& write) {
  const int found = get_version_.Begin().Bind(1, write.key).Step();
  if (found != SQLITE_ROW && found != SQLITE_DONE) return ApplyResult::kUnknown;
  const uint64_t version = found == SQLITE_ROW ? get_version_.Integer(0) : 0;
  get_version_.End();
  if (version != write.expected_version) return ApplyResult::kConflict;
  SqliteStatement* statement = &delete_;
  if (write.value.has_value()) statement = version == 0 ? &insert_ : &update_;
  statement->Begin().Bind(1, write.key);
  if (write.value.has_value()) statement->Bind(2, *write.value);
  const int rc = statement->Step();
  statement->End();
  return rc == SQLITE_DONE ? ApplyResult::kOk : ApplyResult::kUnknown;
}

bool SqliteStateStore::AppendEvent(const NewEvent& event) {
  if (last_in_stream_.Begin().Bind(1, event.stream).Step() != SQLITE_ROW) return false;
  const uint64_t last = last_in_stream_.Integer(0);  // NULL reads as 0
  last_in_stream_.End();
  const int rc =
      append_.Begin().Bind(1, event.stream).Bind(2, last + 1).Bind(3, event.value).Step();
  append_.End();
  return rc == SQLITE_DONE;
}

StatusOr<std::optional<Record>> SqliteStateStore::Get(const std::string& key) {
  std::lock_guard lock(read_mu_);
  std::optional<Record> found;
  const int rc = get_.Begin().Bind(1, key).Step();
  if (rc == SQLITE_ROW) found = Record{key, get_.Integer(0), get_.Text(1)};
  const Status status =
      rc == SQLITE_ROW || rc == SQLITE_DONE ? absl::OkStatus() : reader_->LastError("reading");
  get_.End();
  SWAGE_RETURN_IF_ERROR(status);
  return found;
}

StatusOr<std::vector<Record>> SqliteStateStore::Scan(const std::string& prefix,
                                                     const std::string& after, size_t limit) {
  std::lock_guard lock(read_mu_);
  std::vector<Record> found;
  const std::string begin =
      after < prefix ? prefix : after + '\0';  // the next string after `after`
  const std::string end = PrefixEnd(prefix);
  scan_.Begin().Bind(1, begin).Bind(2, end).Bind(3, std::min<uint64_t>(limit, INT32_MAX));
  int rc = scan_.Step();
  for (; rc == SQLITE_ROW; rc = scan_.Step())
    found.push_back({scan_.Text(0), scan_.Integer(1), scan_.Text(2)});
  const Status status = rc == SQLITE_DONE ? absl::OkStatus() : reader_->LastError("reading");
  scan_.End();
  SWAGE_RETURN_IF_ERROR(status);
  return found;
}

StatusOr<std::vector<StoredEvent>> SqliteStateStore::Events(SqliteStatement* statement) {
  std::vector<StoredEvent> found;
  int rc = statement->Step();
  for (; rc == SQLITE_ROW; rc = statement->Step()) {
    found.push_back(
        {statement->Integer(0), statement->Integer(1), statement->Text(2), statement->Text(3)});
  }
  const Status status = rc == SQLITE_DONE ? absl::OkStatus() : reader_->LastError("reading events");
  statement->End();
  SWAGE_RETURN_IF_ERROR(status);
  return found;
}

StatusOr<std::vector<StoredEvent>> SqliteStateStore::ReadEvents(uint64_t after_sequence,
                                                                size_t limit) {
  std::lock_guard lock(read_mu_);
  const uint64_t after = std::min<uint64_t>(after_sequence, INT64_MAX),
                 bounded = std::min<uint64_t>(limit, INT32_MAX);
  return Events(&read_events_.Begin().Bind(1, after).Bind(2, bounded));
}

StatusOr<std::vector<StoredEvent>> SqliteStateStore::ReadStream(const std::string& stream,
                                                                uint64_t after_stream_sequence,
                                                                size_t limit) {
  std::lock_guard lock(read_mu_);
  const uint64_t after = std::min<uint64_t>(after_stream_sequence, INT64_MAX);
  return Events(&read_stream_.Begin().Bind(1, stream).Bind(2, after).Bind(
      3, std::min<uint64_t>(limit, INT32_MAX)));
}

StatusOr<uint64_t> SqliteStateStore::NewestEvent() {
  const int rc = newest_.Begin().Step();
  const uint64_t newest = rc == SQLITE_ROW ? newest_.Integer(0) : 0;
  const Status status = rc == SQLITE_ROW ? absl::OkStatus() : reader_->LastError("reading events");
  newest_.End();
  SWAGE_RETURN_IF_ERROR(status);
  return newest;
}

// Changes whenever another connection, of this process or another, has committed.
StatusOr<uint64_t> SqliteStateStore::DataVersion() {
  const int rc = data_version_.Begin().Step();
  const uint64_t version = rc == SQLITE_ROW ? data_version_.Integer(0) : 0;
  const Status status = rc == SQLITE_ROW ? absl::OkStatus() : reader_->LastError("reading");
  data_version_.End();
  SWAGE_RETURN_IF_ERROR(status);
  return version;
}

StatusOr<uint64_t> SqliteStateStore::WaitForEvents(uint64_t after_sequence, int timeout_ms) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  std::unique_lock lock(wait_mu_);
  while (true) {
    if (newest_known_ > after_sequence) return newest_known_;
    const uint64_t commits =
        local_commits_;  // before the file is asked: a commit meanwhile ends the wait below
    if (!polling_) {
      polling_ = true;
      lock.unlock();
      StatusOr<uint64_t> newest = uint64_t{0};
      {
        std::lock_guard read_lock(read_mu_);
        auto version = DataVersion();
        if (!version.ok()) {
          newest = version.status();
        } else if (*version != seen_data_version_) {
          newest = NewestEvent();
          if (newest.ok()) seen_data_version_ = *version;
        }
      }
      lock.lock();
      polling_ = false;
      events_changed_.notify_all();
      SWAGE_RETURN_IF_ERROR(newest);
      newest_known_ = std::max(newest_known_, *newest);
      if (newest_known_ > after_sequence) return newest_known_;
    }
    const auto now = std::chrono::steady_clock::now();
    if (now >= deadline) return newest_known_;
    const auto poll = std::min(deadline, now + std::chrono::milliseconds(kPollMs));
    events_changed_.wait_until(
        lock, poll, [&] { return local_commits_ != commits || newest_known_ > after_sequence; });
  }
}

StatusOr<uint64_t> SqliteStateStore::TakeLeadership(uint64_t at_least) {
  // Not in the group: it is rare, and must be alone with the counter.
  std::unique_lock lock(queue_mu_);
  queue_changed_.wait(lock, [&] { return !writing_; });
  SWAGE_RETURN_IF_ERROR(writer_->Execute("BEGIN IMMEDIATE"));
  auto stored = writer_->QueryInteger("SELECT incarnation FROM leader");
  Status status = stored.status();
  uint64_t mine = 0;
  if (status.ok()) {
    mine = std::max(*stored, at_least) + 1;
    status = writer_->Execute(Cat("UPDATE leader SET incarnation = ", mine).c_str());
  }
  if (status.ok()) status = writer_->Execute("COMMIT");
  if (!status.ok()) {
    writer_->Execute("ROLLBACK").IgnoreError();
    return status;
  }
  return mine;
}

StatusOr<uint64_t> SqliteStateStore::CurrentIncarnation() {
  std::lock_guard lock(read_mu_);
  const int rc = read_incarnation_.Begin().Step();
  const uint64_t incarnation = rc == SQLITE_ROW ? read_incarnation_.Integer(0) : 0;
  const Status status = rc == SQLITE_ROW ? absl::OkStatus() : reader_->LastError("reading");
  read_incarnation_.End();
  SWAGE_RETURN_IF_ERROR(status);
  return incarnation;
}

}  // namespace

StatusOr<std::unique_ptr<StateStore>> OpenSqliteStateStore(const std::string& path) {
  auto store = std::make_unique<SqliteStateStore>();
  SWAGE_RETURN_IF_ERROR(store->Open(path));
  return std::unique_ptr<StateStore>(std::move(store));
}

}  // namespace swage
