#include "daemon/sqlite.h"

#include <fcntl.h>
#include <sqlite3.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/check.h"
#include "core/strings.h"
#include "movers/owned_fd.h"

namespace residency {
namespace {

absl::StatusCode CodeOf(int sqlite_code) {
  switch (sqlite_code & 0xff) {
    case SQLITE_CONSTRAINT:
      return absl::StatusCode::kAlreadyExists;
    case SQLITE_FULL:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_INTERRUPT:
      return absl::StatusCode::kUnavailable;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return absl::StatusCode::kPermissionDenied;
    default:
      return absl::StatusCode::kInternal;
  }
}

absl::Status StatusOf(sqlite3* db, int code, std::string_view what) {
  return absl::Status(CodeOf(code), absl::StrCat(ToAbsl(what), ": ", sqlite3_errmsg(db),
                                                 " (SQLite ", sqlite3_extended_errcode(db), ")"));
}

// A bind fails only for a parameter that the statement does not have.
void CheckBind(int code) { RESIDENCY_CHECK(code == SQLITE_OK, "binding a statement's parameter"); }

}  // namespace

SqliteStatement::SqliteStatement(SqliteStatement&& other) noexcept
    : statement_(std::exchange(other.statement_, nullptr)) {}

SqliteStatement::~SqliteStatement() { sqlite3_finalize(statement_); }

SqliteStatement& SqliteStatement::Bind(int parameter, int64_t value) {
  CheckBind(sqlite3_bind_int64(statement_, parameter + 1, value));
  return *this;
}

SqliteStatement& SqliteStatement::Bind(int parameter, double value) {
  CheckBind(sqlite3_bind_double(statement_, parameter + 1, value));
  return *this;
}

SqliteStatement& SqliteStatement::Bind(int parameter, std::string_view text) {
  CheckBind(sqlite3_bind_text(statement_, parameter + 1, text.data(), static_cast<int>(text.size()),
                              SQLITE_TRANSIENT));
  return *this;
}

SqliteStatement& SqliteStatement::BindNull(int parameter) {
  CheckBind(sqlite3_bind_null(statement_, parameter + 1));
  return *this;
}

SqliteStatement& SqliteStatement::BindBits(int parameter, uint64_t value) {
  return Bind(parameter, static_cast<int64_t>(value));
}

absl::StatusOr<bool> SqliteStatement::Step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  absl::Status status;
  if (code != SQLITE_DONE) {
    status = StatusOf(sqlite3_db_handle(statement_), code, sqlite3_sql(statement_));
  }
  Reset();
  if (!status.ok()) return status;
  return false;
}

absl::Status SqliteStatement::Run() {
  for (;;) {
    const absl::StatusOr<bool> row = Step();
    if (!row.ok()) return row.status();
    if (!*row) return absl::OkStatus();
  }
}

void SqliteStatement::Reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

int64_t SqliteStatement::Integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}
double SqliteStatement::Real(int column) const { return sqlite3_column_double(statement_, column); }
bool SqliteStatement::IsNull(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}
std::string SqliteStatement::Text(int column) const {
  const unsigned char* const text = sqlite3_column_text(statement_, column);
  if (text == nullptr) return "";
  return std::string(reinterpret_cast<const char*>(text),
                     static_cast<size_t>(sqlite3_column_bytes(statement_, column)));
}

void SqliteDatabase::Closer::operator()(sqlite3* db) const { sqlite3_close_v2(db); }

absl::StatusOr<SqliteDatabase> SqliteDatabase::Open(const std::string& path) {
  // SQLite gives its other files the mode of this one.
  const OwnedFd created(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!created.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", path));
  sqlite3* raw = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &raw,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  SqliteDatabase db(raw);
  if (raw == nullptr) return absl::ResourceExhaustedError("no memory to open " + path);
  if (code != SQLITE_OK) return db.Error(code, "opening " + path);
  return db;
}

absl::Status SqliteDatabase::Error(int code, std::string_view what) const {
  return StatusOf(db_.get(), code, what);
}

absl::Status SqliteDatabase::Execute(const std::string& sql) {
  const int code = sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : Error(code, sql);
}

absl::StatusOr<SqliteStatement> SqliteDatabase::Prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(db_.get(), sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return Error(code, sql);
  return SqliteStatement(statement);
}

absl::StatusOr<int64_t> SqliteDatabase::Query(std::string_view sql) {
  absl::StatusOr<SqliteStatement> statement = Prepare(sql);
  if (!statement.ok()) return statement.status();
  const absl::StatusOr<bool> row = statement->Step();
  if (!row.ok()) return row.status();
  if (!*row) return absl::NotFoundError(absl::StrCat("no answer to ", ToAbsl(sql)));
  return statement->Integer(0);
}

int64_t SqliteDatabase::changes() const { return sqlite3_changes64(db_.get()); }
bool SqliteDatabase::in_transaction() const { return sqlite3_get_autocommit(db_.get()) == 0; }
void SqliteDatabase::Interrupt() { sqlite3_interrupt(db_.get()); }

}  // namespace residency
