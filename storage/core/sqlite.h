// A thin cover over sqlite3: statements prepared once, values bound in order, errors as Status. For one thread at a time.
//
//   Database::Transaction txn(db, Database::Durability::kDurable);   // rolled back unless committed
//   SWAGE_RETURN_IF_ERROR(db->Run("INSERT INTO t VALUES (?, ?)", 7, digest));
//   SWAGE_RETURN_IF_ERROR(txn.Commit());
//   SWAGE_ASSIGN_OR_RETURN(Rows rows, db->Query("SELECT a FROM t WHERE b = ?", digest));
//   while (rows.Next()) use(rows.Int(0));
//   SWAGE_RETURN_IF_ERROR(rows.status());
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/digest.h"
#include "base/status.h"

struct sqlite3;
struct sqlite3_stmt;

namespace swage {

// A value to bind; does not own text.
struct SqlValue {
  enum class Kind { kInt, kText, kBlob, kNull } kind;
  int64_t integer = 0;
  std::string_view bytes;
  SqlValue(int64_t v) : kind(Kind::kInt), integer(v) {}                        // NOLINT: meant to convert
  SqlValue(uint64_t v) : kind(Kind::kInt), integer(static_cast<int64_t>(v)) {}  // NOLINT
  SqlValue(int v) : kind(Kind::kInt), integer(v) {}                            // NOLINT
  SqlValue(uint32_t v) : kind(Kind::kInt), integer(v) {}                       // NOLINT
  SqlValue(std::string_view v) : kind(Kind::kText), bytes(v) {}                // NOLINT
  SqlValue(const std::string& v) : kind(Kind::kText), bytes(v) {}              // NOLINT
  SqlValue(const char* v) : kind(Kind::kText), bytes(v) {}                     // NOLINT
  SqlValue(const Digest& v)                                                    // NOLINT
      : kind(Kind::kBlob), bytes(reinterpret_cast<const char*>(v.bytes.data()), v.bytes.size()) {}
  SqlValue(std::nullptr_t) : kind(Kind::kNull) {}                              // NOLINT
};

// The rows of one query; resets its statement when it ends. One at a time for each SQL text.
class Rows {
 public:
  Rows(sqlite3* db, sqlite3_stmt* statement) : db_(db), statement_(statement) {}
  Rows(Rows&& other) noexcept : db_(other.db_), statement_(other.statement_), status_(other.status_) { other.statement_ = nullptr; }
  Rows& operator=(Rows&&) = delete;
  ~Rows();
  bool Next();                               // false at the end or on an error
  const Status& status() const { return status_; }
  int64_t Int(int column) const;
  uint64_t Uint(int column) const { return static_cast<uint64_t>(Int(column)); }
  std::string Text(int column) const;        // of text or blob
  Digest Blob32(int column) const;           // a digest; all zero when it is not 32 bytes
  bool IsNull(int column) const;

 private:
  sqlite3* db_;
  sqlite3_stmt* statement_;
  Status status_;
};

class Database {
 public:
  // In WAL mode, every transaction kSoft until SetDurability. DATA_LOSS/INDEX_CORRUPT when the file is not a sound database.
  static StatusOr<std::unique_ptr<Database>> Open(const std::string& path);

  // kDurable: synced when Commit returns. kSoft: in the log, surviving the process; a power cut may take it and soft ones
  // after it, but nothing that a later durable commit followed.
  enum class Durability { kSoft, kDurable };
  ~Database();
  Status Script(const std::string& sql);  // several statements, no values
  template <typename... Args>
  StatusOr<Rows> Query(const char* sql, const Args&... args) { return Bind(sql, {SqlValue(args)...}); }
  template <typename... Args>
  Status Run(const char* sql, const Args&... args) { return Step(Bind(sql, {SqlValue(args)...})); }
  // The first column of the first row; nullopt when there is none.
  template <typename... Args>
  StatusOr<std::optional<int64_t>> QueryInt(const char* sql, const Args&... args) {
    return FirstInt(Bind(sql, {SqlValue(args)...}));
  }
  int64_t changes() const;  // rows that the last Run touched
  int64_t last_id() const;

  // For tests: consulted before each commit; false makes it fail, as a crash just before would.
  void set_allow_commit(std::function<bool()> allow) { allow_commit_ = std::move(allow); }

  class Transaction {
   public:
    Transaction(Database* db, Durability durability) : db_(db), status_(db->Begin(durability)) {}
    ~Transaction();
    Status Commit();

   private:
    Database* db_;
    Status status_;
    bool done_ = false;
  };

 private:
  explicit Database(sqlite3* db) : db_(db) {}
  Status Begin(Durability durability);
  StatusOr<Rows> Bind(const char* sql, std::initializer_list<SqlValue> values);
  static Status Step(StatusOr<Rows> rows);
  static StatusOr<std::optional<int64_t>> FirstInt(StatusOr<Rows> rows);

  sqlite3* db_;
  Durability durability_ = Durability::kSoft;
  std::unordered_map<std::string, sqlite3_stmt*> statements_;
  std::function<bool()> allow_commit_;
};

}  // namespace swage
