#include "storage/core/sqlite.h"

#include <sqlite3.h>

#include <cstring>

namespace swage {
namespace {

Status SqliteError(sqlite3* db, int code) {
  const std::string what = Cat("the store's index: ", db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(code));
  switch (code & 0xff) {
    case SQLITE_FULL:
      return Error(StatusCode::kResourceExhausted, "DISK_FULL", what, "free space on the store's disk, then try again");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return DataLoss("INDEX_CORRUPT", what, "restart the store: it sets the index aside and rebuilds it from the objects");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Unavailable("INDEX_BUSY", what, "end the other program that has the store's index open");
    case SQLITE_ABORT:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISUSE:
      return Internal(what);
    default:
      return Unavailable("INDEX_UNAVAILABLE", what, "look at the store's disk, then try again");
  }
}

}  // namespace

Rows::~Rows() {
  if (statement_ != nullptr) sqlite3_reset(statement_);
}

bool Rows::Next() {
  if (!status_.ok()) return false;
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) status_ = SqliteError(db_, code);
  return false;
}

int64_t Rows::Int(int column) const { return sqlite3_column_int64(statement_, column); }

std::string Rows::Text(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return data == nullptr ? std::string() : std::string(static_cast<const char*>(data), static_cast<size_t>(size));
}

Digest Rows::Blob32(int column) const {
  Digest digest;
  const void* data = sqlite3_column_blob(statement_, column);
  if (data != nullptr && sqlite3_column_bytes(statement_, column) == 32) std::memcpy(digest.bytes.data(), data, 32);
  return digest;
}

bool Rows::IsNull(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path) {
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  std::unique_ptr<Database> db(new Database(handle));
  if (code != SQLITE_OK) return Annotate(SqliteError(handle, code), path);
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, 2000);
  SWAGE_RETURN_IF_ERROR(Annotate(
      // A new file needs no sync before something in it counts; until then it would be made anew.
      db->Script("PRAGMA synchronous=OFF; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY; "
                 "PRAGMA cache_size=-8192;"), path));
  return db;
}

Status Database::Begin(Durability durability) {
  if (durability != durability_) {
    SWAGE_RETURN_IF_ERROR(Script(durability == Durability::kDurable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL"));
    durability_ = durability;
  }
  return Run("BEGIN IMMEDIATE");
}

Database::~Database() {
  for (auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(db_);
}

Status Database::Script(const std::string& sql) {
  const int code = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : SqliteError(db_, code);
}

StatusOr<Rows> Database::Bind(const char* sql, std::initializer_list<SqlValue> values) {
  sqlite3_stmt*& statement = statements_[sql];
  if (statement == nullptr) {
    const int code = sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK) return SqliteError(db_, code);
  }
  SWAGE_CHECK(sqlite3_stmt_busy(statement) == 0, "a query is still being read: ", sql);
  SWAGE_CHECK(sqlite3_bind_parameter_count(statement) == static_cast<int>(values.size()), "values of: ", sql);
  int index = 0;
  for (const SqlValue& value : values) {
    ++index;
    const int size = static_cast<int>(value.bytes.size());
    const char* data = value.bytes.data() != nullptr ? value.bytes.data() : "";  // a null pointer would bind NULL
    switch (value.kind) {
      case SqlValue::Kind::kInt: sqlite3_bind_int64(statement, index, value.integer); break;
      case SqlValue::Kind::kText: sqlite3_bind_text(statement, index, data, size, SQLITE_TRANSIENT); break;
      case SqlValue::Kind::kBlob: sqlite3_bind_blob(statement, index, data, size, SQLITE_TRANSIENT); break;
      case SqlValue::Kind::kNull: sqlite3_bind_null(statement, index); break;
    }
  }
  return Rows(db_, statement);
}

Status Database::Step(StatusOr<Rows> rows) {
  if (!rows.ok()) return rows.status();
  while (rows->Next()) {
  }
  return rows->status();
}

StatusOr<std::optional<int64_t>> Database::FirstInt(StatusOr<Rows> rows) {
  if (!rows.ok()) return rows.status();
  std::optional<int64_t> value;
  if (rows->Next()) value = rows->Int(0);
  if (!rows->status().ok()) return rows->status();
  return value;
}

int64_t Database::changes() const { return sqlite3_changes64(db_); }
int64_t Database::last_id() const { return sqlite3_last_insert_rowid(db_); }

Database::Transaction::~Transaction() {
  if (!done_ && status_.ok()) (void)db_->Run("ROLLBACK");
}

Status Database::Transaction::Commit() {
  SWAGE_RETURN_IF_ERROR(status_);
  if (db_->allow_commit_ && !db_->allow_commit_()) return Unavailable("INDEX_UNAVAILABLE", "the commit was refused");
  SWAGE_RETURN_IF_ERROR(db_->Run("COMMIT"));
  done_ = true;
  return absl::OkStatus();
}

}  // namespace swage
