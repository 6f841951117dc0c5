// The state store in one SQLite file (docs/formats/state.md). Threads that apply at the same time
// share one commit, and so one fsync; each transaction is checked before it writes anything, so
// that one's conflict is not another's.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "scheduler/state/group_queue.h"
#include "scheduler/state/sqlite_connection.h"
#include "scheduler/state/sqlite_state_reader.h"
#include "scheduler/state/state_store.h"

namespace swage {
namespace {

constexpr uint64_t kSchemaVersion = 2;
constexpr size_t kSqliteGroup = 128;
// Another process's commit is noticed within this; asked only while somebody waits, and costs one
// page read.
constexpr int kPollMs = 10;

constexpr char kSchema1[] = R"sql(
CREATE TABLE records (
  key TEXT PRIMARY KEY, version INTEGER NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  stream TEXT NOT NULL, stream_sequence INTEGER NOT NULL, value TEXT NOT NULL,
  UNIQUE (stream, stream_sequence));
CREATE TABLE leader (one INTEGER PRIMARY KEY CHECK (one = 1), incarnation INTEGER NOT NULL);
INSERT INTO leader VALUES (1, 0);
)sql";
constexpr char kSchema2[] = R"sql(
CREATE TABLE stream_ends (stream TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 2;
)sql";

class SqliteStateStore : public MovableStateStore {
 public:
  Status Open(const std::string& path);
  ApplyResult Apply(const Transaction& transaction) override { return ApplyAll({&transaction, 1})[0]; }
  std::vector<ApplyResult> ApplyAll(std::span<const Transaction> transactions) override;
  StatusOr<std::optional<Record>> Get(const std::string& key) override {
    return reader_->Get(key);
  }
  StatusOr<std::vector<std::optional<Record>>> MultiGet(
      const std::vector<std::string>& keys) override {
    return reader_->MultiGet(keys);
  }
  StatusOr<std::vector<Record>> Scan(const std::string& prefix, const std::string& after,
                                     size_t limit) override {
    return reader_->Scan(prefix, after, limit);
  }
  StatusOr<std::vector<Record>> ScanBack(const std::string& prefix, const std::string& before,
                                         size_t limit) override {
    return reader_->ScanBack(prefix, before, limit);
  }
  StatusOr<std::vector<StoredEvent>> ReadEvents(uint64_t after, size_t limit) override {
    return reader_->ReadEvents(after, limit);
  }
  StatusOr<std::vector<StoredEvent>> ReadStream(const std::string& stream, uint64_t after,
                                                size_t limit) override {
    return reader_->ReadStream(stream, after, limit);
  }
  StatusOr<uint64_t> WaitForEvents(uint64_t after_sequence, int timeout_ms) override;
  StatusOr<uint64_t> TakeLeadership(uint64_t at_least) override;
  StatusOr<uint64_t> CurrentIncarnation() override { return reader_->Incarnation(); }

  StatusOr<std::vector<StreamEnd>> ScanStreamEnds(const std::string& after, size_t limit) override {
    return reader_->ScanStreamEnds(after, limit);
  }
  StatusOr<uint64_t> LastSequence() override { return reader_->LastSequence(); }
  Status BeginImport() override;
  Status Import(const StatePiece& piece) override;
  Status FinishImport(uint64_t incarnation, uint64_t last_sequence) override;

 private:
  struct Waiting {
    const Transaction* transaction;
    ApplyResult result = ApplyResult::kUnknown;
  };
  Status Migrate();
  Status PrepareStatements();
  void ApplyGroup(const std::vector<Waiting*>& group);
  ApplyResult ApplyOne(const Transaction& transaction);
  bool WriteOne(const Write& write);
  bool RemoveEvents(const StreamTrim& trim);
  bool AppendEvent(const NewEvent& event);
  StatusOr<uint64_t> AskNewest();

  // A statement that gives one number at most: false is an error, no row is 0.
  static bool Ask(SqliteStatement* bound, uint64_t* number);
  static bool Do(SqliteStatement* bound);

  GroupQueue<std::vector<Waiting>> queue_{kSqliteGroup};
  std::mutex writer_mu_;  // the connection and its statements
  std::unique_ptr<SqliteConnection> writer_;
  SqliteStatement begin_, commit_, get_version_, insert_, update_, delete_, incarnation_,
      last_in_stream_, append_, trim_, put_end_, get_end_, delete_end_, put_record_, put_event_;
  std::unique_ptr<SqliteStateReader> reader_;

  std::mutex wait_mu_;
  std::condition_variable events_changed_;
  bool polling_ = false;  // one of the waiting threads asks the file, for all
  uint64_t seen_data_version_ = 0;  // the polling thread's
  uint64_t newest_known_ = 0, local_commits_ = 0;
};

Status SqliteStateStore::Open(const std::string& path) {
  SWAGE_ASSIGN_OR_RETURN(writer_, SqliteConnection::Open(path));
  SWAGE_RETURN_IF_ERROR(Migrate());
  SWAGE_RETURN_IF_ERROR(PrepareStatements());
  SWAGE_ASSIGN_OR_RETURN(reader_, SqliteStateReader::Open(path));
  return absl::OkStatus();
}

Status SqliteStateStore::Migrate() {
  SWAGE_RETURN_IF_ERROR(
      writer_->Execute("BEGIN IMMEDIATE"));  // two processes may be making the file
  auto version = writer_->QueryInteger("PRAGMA user_version");
  Status status = version.status();
  if (status.ok() && *version == 0) status = writer_->Execute(kSchema1);
  if (status.ok() && *version < 2) status = writer_->Execute(kSchema2);
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
  const std::pair<const char*, SqliteStatement*> statements[] = {
      {"BEGIN IMMEDIATE", &begin_},
      {"COMMIT", &commit_},
      {"SELECT version FROM records WHERE key = ?1", &get_version_},
      {"INSERT INTO records (key, version, value) VALUES (?1, 1, ?2)", &insert_},
      {"UPDATE records SET version = version + 1, value = ?2 WHERE key = ?1", &update_},
      {"DELETE FROM records WHERE key = ?1", &delete_},
      {"SELECT incarnation FROM leader", &incarnation_},
      {"SELECT max(stream_sequence) FROM events WHERE stream = ?1", &last_in_stream_},
      {"INSERT INTO events (stream, stream_sequence, value) VALUES (?1, ?2, ?3)", &append_},
      {"DELETE FROM events WHERE stream = ?1 AND stream_sequence <= ?2", &trim_},
      {"INSERT OR REPLACE INTO stream_ends (stream, last) VALUES (?1, ?2)", &put_end_},
      {"SELECT last FROM stream_ends WHERE stream = ?1", &get_end_},
      {"DELETE FROM stream_ends WHERE stream = ?1", &delete_end_},
      {"INSERT INTO records (key, version, value) VALUES (?1, ?2, ?3)", &put_record_},
      {"INSERT INTO events (sequence, stream, stream_sequence, value) VALUES (?1, ?2, ?3, ?4)",
       &put_event_}};
  for (const auto& [sql, out] : statements) {
    SWAGE_ASSIGN_OR_RETURN(*out, writer_->Prepare(sql));
  }
  return absl::OkStatus();
}

bool SqliteStateStore::Ask(SqliteStatement* bound, uint64_t* number) {
  const int rc = bound->Step();
  *number = rc == SQLITE_ROW ? bound->Integer(0) : 0;  // NULL reads as 0
  bound->End();
  return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

bool SqliteStateStore::Do(SqliteStatement* bound) {
  const int rc = bound->Step();
  bound->End();
  return rc == SQLITE_DONE;
}

std::vector<ApplyResult> SqliteStateStore::ApplyAll(std::span<const Transaction> transactions) {
  if (transactions.empty()) return {};
  std::vector<Waiting> mine;
  for (const Transaction& transaction : transactions) mine.push_back({&transaction});
  queue_.Run(&mine, [this](const std::vector<std::vector<Waiting>*>& lots) {
    std::vector<Waiting*> group;
    for (std::vector<Waiting>* lot : lots) {
      for (Waiting& waiting : *lot) group.push_back(&waiting);
    }
    ApplyGroup(group);
  });
  std::vector<ApplyResult> results;
  for (const Waiting& waiting : mine) results.push_back(waiting.result);
  return results;
}

void SqliteStateStore::ApplyGroup(const std::vector<Waiting*>& group) {
  std::lock_guard lock(writer_mu_);
  if (!Do(&begin_.Begin())) return;  // nothing happened, but "unknown" is never wrong
  bool has_events = false, good = true;
  for (Waiting* waiting : group) {
    waiting->result = ApplyOne(*waiting->transaction);
    good = waiting->result != ApplyResult::kUnknown;
    if (!good) break;  // it may have written half of itself
    has_events =
        has_events || (waiting->result == ApplyResult::kOk && !waiting->transaction->events.empty());
  }
  if (!good || !Do(&commit_.Begin())) {
    writer_->Execute("ROLLBACK").IgnoreError();
    for (Waiting* waiting : group) waiting->result = ApplyResult::kUnknown;
    return;
  }
  if (!has_events) return;
  std::lock_guard wait_lock(wait_mu_);
  ++local_commits_;
  events_changed_.notify_all();
}

ApplyResult SqliteStateStore::ApplyOne(const Transaction& transaction) {
  uint64_t stored = 0;
  if (transaction.incarnation != 0) {
    if (!Ask(&incarnation_.Begin(), &stored)) return ApplyResult::kUnknown;
    if (stored != transaction.incarnation) return ApplyResult::kConflict;
  }
  for (const Write& write : transaction.writes) {
    if (!Ask(&get_version_.Begin().Bind(1, write.key), &stored)) return ApplyResult::kUnknown;
    if (stored != write.expected_version) return ApplyResult::kConflict;
  }
  for (const Write& write : transaction.writes) {
    if (!WriteOne(write)) return ApplyResult::kUnknown;
  }
  for (const StreamTrim& trim : transaction.trims) {
    if (!RemoveEvents(trim)) return ApplyResult::kUnknown;
  }
  for (const NewEvent& event : transaction.events) {
    if (!AppendEvent(event)) return ApplyResult::kUnknown;
  }
  return ApplyResult::kOk;
}

bool SqliteStateStore::WriteOne(const Write& write) {
  if (!write.value.has_value()) return Do(&delete_.Begin().Bind(1, write.key));
  SqliteStatement& statement = write.expected_version == 0 ? insert_ : update_;
  return Do(&statement.Begin().Bind(1, write.key).Bind(2, *write.value));
}

bool SqliteStateStore::RemoveEvents(const StreamTrim& trim) {
  uint64_t last = 0;
  if (!Ask(&last_in_stream_.Begin().Bind(1, trim.stream), &last)) return false;
  if (last == 0) return true;
  const uint64_t up_to = std::min(trim.up_to_stream_sequence, last);
  // With its last event a stream would forget where its numbers are.
  if (up_to == last && !Do(&put_end_.Begin().Bind(1, trim.stream).Bind(2, last))) return false;
  return Do(&trim_.Begin().Bind(1, trim.stream).Bind(2, up_to));
}

bool SqliteStateStore::AppendEvent(const NewEvent& event) {
  uint64_t last = 0;
  if (!Ask(&last_in_stream_.Begin().Bind(1, event.stream), &last)) return false;
  if (last == 0) {
    if (!Ask(&get_end_.Begin().Bind(1, event.stream), &last)) return false;
    if (last != 0 && !Do(&delete_end_.Begin().Bind(1, event.stream))) return false;
  }
  return Do(&append_.Begin().Bind(1, event.stream).Bind(2, last + 1).Bind(3, event.value));
}

// Called by one thread at a time: the one that has set polling_.
StatusOr<uint64_t> SqliteStateStore::AskNewest() {
  SWAGE_ASSIGN_OR_RETURN(const uint64_t version, reader_->DataVersion());
  if (version == seen_data_version_) {
    std::lock_guard lock(wait_mu_);
    return newest_known_;
  }
  SWAGE_ASSIGN_OR_RETURN(const uint64_t newest, reader_->NewestEvent());
  seen_data_version_ = version;
  return newest;
}

StatusOr<uint64_t> SqliteStateStore::WaitForEvents(uint64_t after_sequence, int timeout_ms) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  std::unique_lock lock(wait_mu_);
  while (true) {
    const uint64_t commits =
        local_commits_;  // before the file is asked: a commit meanwhile ends the wait below
    if (!polling_) {
      polling_ = true;
      lock.unlock();
      const StatusOr<uint64_t> newest = AskNewest();
      lock.lock();
      polling_ = false;
      events_changed_.notify_all();
      SWAGE_RETURN_IF_ERROR(newest);
      newest_known_ = *newest;
    }
    if (newest_known_ > after_sequence) return newest_known_;
    const auto now = std::chrono::steady_clock::now();
    if (now >= deadline) break;
    const auto poll = std::min(deadline, now + std::chrono::milliseconds(kPollMs));
    events_changed_.wait_until(
        lock, poll, [&] { return local_commits_ != commits || newest_known_ > after_sequence; });
  }
  lock.unlock();
  SWAGE_ASSIGN_OR_RETURN(const uint64_t last, reader_->LastSequence());
  return std::min(last, after_sequence);
}

StatusOr<uint64_t> SqliteStateStore::TakeLeadership(uint64_t at_least) {
  std::lock_guard lock(writer_mu_);
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

// One transaction from here to FinishImport: a copy that is broken off leaves nothing.
Status SqliteStateStore::BeginImport() {
  std::lock_guard lock(writer_mu_);
  SWAGE_RETURN_IF_ERROR(writer_->Execute("BEGIN IMMEDIATE"));
  auto used = writer_->QueryInteger(
      "SELECT (SELECT count(*) FROM (SELECT 1 FROM records LIMIT 1)) +"
      " (SELECT count(*) FROM sqlite_sequence) + (SELECT incarnation FROM leader)");
  Status status = used.status();
  if (status.ok() && *used != 0) {
    status = Precondition("STATE_NOT_EMPTY", "the state file to copy to is not empty",
                          "name a file that does not exist");
  }
  if (!status.ok()) writer_->Execute("ROLLBACK").IgnoreError();
  return status;
}

Status SqliteStateStore::Import(const StatePiece& piece) {
  std::lock_guard lock(writer_mu_);
  for (const Record& record : piece.records) {
    put_record_.Begin().Bind(1, record.key).Bind(2, record.version).Bind(3, record.value);
    if (!Do(&put_record_)) return writer_->LastError("importing");
  }
  for (const StoredEvent& event : piece.events) {
    put_event_.Begin().Bind(1, event.sequence).Bind(2, event.stream);
    put_event_.Bind(3, event.stream_sequence).Bind(4, event.value);
    if (!Do(&put_event_)) return writer_->LastError("importing");
  }
  for (const StreamEnd& end : piece.stream_ends) {
    put_end_.Begin().Bind(1, end.stream).Bind(2, end.last_stream_sequence);
    if (!Do(&put_end_)) return writer_->LastError("importing");
  }
  return absl::OkStatus();
}

Status SqliteStateStore::FinishImport(uint64_t incarnation, uint64_t last_sequence) {
  std::lock_guard lock(writer_mu_);
  const std::string numbers = Cat("UPDATE leader SET incarnation = ", incarnation,
                                  "; DELETE FROM sqlite_sequence WHERE name = 'events'; "
                                  "INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ",
                                  last_sequence, "); COMMIT");
  return writer_->Execute(numbers.c_str());
}

}  // namespace

StatusOr<std::unique_ptr<MovableStateStore>> OpenSqliteStateStore(const std::string& path) {
  auto store = std::make_unique<SqliteStateStore>();
  SWAGE_RETURN_IF_ERROR(store->Open(path));
  return std::unique_ptr<MovableStateStore>(std::move(store));
}

}  // namespace swage
