// SQLite with owners and statuses. The only user of its header. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct sqlite3;
struct sqlite3_stmt;

namespace residency {

// Codes: AlreadyExists for a broken constraint, ResourceExhausted for a full disk, Unavailable for
// a database that is locked or an I/O error, DataLoss for a damaged file or none of SQLite's,
// Internal for the rest.
class SqliteStatement {
 public:
  SqliteStatement(SqliteStatement&& other) noexcept;
  ~SqliteStatement();

  // Parameters and columns count from 0. Binds stay until the next Reset.
  SqliteStatement& Bind(int parameter, int64_t value);
  SqliteStatement& Bind(int parameter, double value);
  SqliteStatement& Bind(int parameter, std::string_view text);
  SqliteStatement& BindNull(int parameter);
  // 64 bits as they are: SQLite's integers are signed.
  SqliteStatement& BindBits(int parameter, uint64_t value);

  // True while there is a row. After false or an error the statement is ready for new binds.
  absl::StatusOr<bool> Step();
  // Steps to the end.
  absl::Status Run();
  void Reset();

  int64_t Integer(int column) const;
  uint64_t Bits(int column) const { return static_cast<uint64_t>(Integer(column)); }
  double Real(int column) const;
  std::string Text(int column) const;
  bool IsNull(int column) const;

 private:
  friend class SqliteDatabase;
  explicit SqliteStatement(sqlite3_stmt* statement) : statement_(statement) {}
  sqlite3_stmt* statement_;
};

class SqliteDatabase {
 public:
  // Creates the file, readable by its owner alone, if there is none.
  static absl::StatusOr<SqliteDatabase> Open(const std::string& path);
  SqliteDatabase(SqliteDatabase&&) noexcept = default;
  SqliteDatabase& operator=(SqliteDatabase&&) noexcept = default;

  // One or more statements without parameters or results.
  absl::Status Execute(const std::string& sql);
  absl::StatusOr<SqliteStatement> Prepare(std::string_view sql);
  // The one integer that the statement answers.
  absl::StatusOr<int64_t> Query(std::string_view sql);
  // Rows changed by the last statement.
  int64_t changes() const;
  // Whether a transaction is open: SQLite ends it by itself on some errors.
  bool in_transaction() const;
  // Makes what runs in another thread fail soon. Thread-safe.
  void Interrupt();

 private:
  struct Closer {
    void operator()(sqlite3* db) const;
  };
  explicit SqliteDatabase(sqlite3* db) : db_(db) {}
  absl::Status Error(int code, std::string_view what) const;

  std::unique_ptr<sqlite3, Closer> db_;
};

}  // namespace residency
