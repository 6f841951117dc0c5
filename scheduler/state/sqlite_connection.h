// SQLite, as far as the state store needs it: statements that are prepared once and always reset,
// errors as Status. A connection is for one thread at a time. No state rules here.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace swage {

class SqliteStatement {
 public:
  SqliteStatement() = default;
  SqliteStatement(SqliteStatement&& other) noexcept : statement_(other.statement_) {
    other.statement_ = nullptr;
  }
  SqliteStatement& operator=(SqliteStatement&& other) noexcept {
    std::swap(statement_, other.statement_);
    return *this;
  }
  ~SqliteStatement() { sqlite3_finalize(statement_); }

  // Starts an execution; text given to Bind must live until the last Step.
  SqliteStatement& Begin();
  SqliteStatement& Bind(int index, uint64_t value);
  SqliteStatement& Bind(int index, std::string_view value);
  int Step() { return sqlite3_step(statement_); }  // SQLITE_ROW, SQLITE_DONE, or an error
  uint64_t Integer(int column) {
    return static_cast<uint64_t>(sqlite3_column_int64(statement_, column));
  }
  std::string Text(int column);
  void End() { sqlite3_reset(statement_); }  // lets go of its locks

 private:
  friend class SqliteConnection;
  sqlite3_stmt* statement_ = nullptr;
};

class SqliteConnection {
 public:
  // WAL, synchronous=FULL, a busy timeout. The file is made when missing.
  static StatusOr<std::unique_ptr<SqliteConnection>> Open(const std::string& path);
  ~SqliteConnection() { sqlite3_close_v2(db_); }
  SqliteConnection(const SqliteConnection&) = delete;
  SqliteConnection& operator=(const SqliteConnection&) = delete;

  Status Execute(const char* sql);
  StatusOr<SqliteStatement> Prepare(const char* sql);
  StatusOr<uint64_t> QueryInteger(const char* sql);  // first column of the first row
  Status LastError(std::string_view doing) const;
  int Changes() const { return sqlite3_changes(db_); }

 private:
  explicit SqliteConnection(std::string path) : path_(std::move(path)) {}
  std::string path_;
  sqlite3* db_ = nullptr;
};

}  // namespace swage
