#include "scheduler/state/sqlite_connection.h"

#include <utility>

namespace swage {
namespace {

constexpr int kBusyTimeoutMs = 5000;
constexpr int kWalTries = 100;

}  // namespace

SqliteStatement& SqliteStatement::Begin() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
  return *this;
}

SqliteStatement& SqliteStatement::Bind(int index, uint64_t value) {
  sqlite3_bind_int64(statement_, index, static_cast<sqlite3_int64>(value));
  return *this;
}

SqliteStatement& SqliteStatement::Bind(int index, std::string_view value) {
  sqlite3_bind_text64(statement_, index, value.data(), value.size(), SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}

std::string SqliteStatement::Text(int column) {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  const int size = sqlite3_column_bytes(statement_, column);
  return text == nullptr ? std::string() : std::string(text, static_cast<size_t>(size));
}

StatusOr<std::unique_ptr<SqliteConnection>> SqliteConnection::Open(const std::string& path) {
  std::unique_ptr<SqliteConnection> connection(new SqliteConnection(path));
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  if (sqlite3_open_v2(path.c_str(), &connection->db_, flags, nullptr) != SQLITE_OK) {
    return connection->LastError("opening");
  }
  sqlite3_busy_timeout(connection->db_, kBusyTimeoutMs);
  // Going over to WAL needs the file alone for a moment, and SQLite does not wait for that by
  // itself.
  Status wal;
  for (int i = 0; i < kWalTries; ++i) {
    wal = connection->Execute("PRAGMA journal_mode=WAL");
    if (wal.ok() || ReasonOf(wal) != "STATE_BUSY") break;
    sqlite3_sleep(20);
  }
  SWAGE_RETURN_IF_ERROR(wal);
  SWAGE_RETURN_IF_ERROR(connection->Execute("PRAGMA synchronous=FULL"));
  return connection;
}

Status SqliteConnection::Execute(const char* sql) {
  if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return LastError(sql);
  return absl::OkStatus();
}

StatusOr<SqliteStatement> SqliteConnection::Prepare(const char* sql) {
  SqliteStatement statement;
  if (sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement.statement_, nullptr) !=
      SQLITE_OK) {
    return LastError(sql);
  }
  return statement;
}

StatusOr<uint64_t> SqliteConnection::QueryInteger(const char* sql) {
  SWAGE_ASSIGN_OR_RETURN(SqliteStatement statement, Prepare(sql));
  const int rc = statement.Step();
  if (rc != SQLITE_ROW) return LastError(sql);
  return statement.Integer(0);
}

Status SqliteConnection::LastError(std::string_view doing) const {
  const int code = db_ == nullptr ? SQLITE_NOMEM : sqlite3_errcode(db_);
  const std::string message = Cat("state file ", path_, ": ", doing, ": ", sqlite3_errmsg(db_));
  switch (code) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Unavailable("STATE_BUSY", message, "another process holds the file; try again");
    case SQLITE_FULL:
      return Error(StatusCode::kResourceExhausted, "DISK_FULL", message,
                   "make room on the disk of the data folder");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return DataLoss("STATE_CORRUPT", message, "restore the state file from a backup");
    case SQLITE_CANTOPEN:
      return Error(StatusCode::kNotFound, "STATE_CANNOT_OPEN", message,
                   "check that the folder exists and is writable");
    default: return Unavailable("STATE_IO", message, "check the disk of the data folder");
  }
}

}  // namespace swage
