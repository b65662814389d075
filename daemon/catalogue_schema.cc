#include "daemon/catalogue_schema.h"

#include <cstdint>

#include "absl/strings/str_cat.h"

namespace residency {
namespace {

constexpr int64_t kApplicationId = 0x52534443;  // "RSDC"

// Integers hold unsigned 64-bit values bit for bit. An extent's overlap is checked against the last
// one that begins before its end: since no two overlap, no other can reach it.
constexpr char kTables[] = R"sql(
CREATE TABLE models (
  id INTEGER PRIMARY KEY,
  domain INTEGER NOT NULL,
  name TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  UNIQUE (domain, fingerprint)
) STRICT;
CREATE TABLE files (
  id INTEGER PRIMARY KEY,
  domain INTEGER NOT NULL,
  path TEXT NOT NULL,
  device INTEGER NOT NULL,
  inode INTEGER NOT NULL,
  size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL,
  ctime_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE blocks (
  id INTEGER PRIMARY KEY,
  model INTEGER NOT NULL REFERENCES models (id),
  name TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  layer INTEGER NOT NULL,
  expert INTEGER NOT NULL,
  role INTEGER NOT NULL,
  criticality REAL NOT NULL,
  sensitivity REAL NOT NULL,
  layout TEXT NOT NULL,
  element INTEGER NOT NULL,
  recipe_kind INTEGER NOT NULL,
  recipe_file INTEGER REFERENCES files (id),
  recipe_offset INTEGER NOT NULL,
  recipe_seed INTEGER NOT NULL,
  checksum INTEGER,
  flags INTEGER NOT NULL,
  UNIQUE (model, name)
) STRICT;
CREATE INDEX blocks_by_file ON blocks (recipe_file) WHERE recipe_file IS NOT NULL;
CREATE TABLE aliases (
  model INTEGER NOT NULL REFERENCES models (id),
  name TEXT NOT NULL,
  root INTEGER NOT NULL REFERENCES blocks (id),
  PRIMARY KEY (model, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX aliases_by_root ON aliases (root);
CREATE TABLE extents (
  pool TEXT NOT NULL,
  offset INTEGER NOT NULL CHECK (offset >= 0),
  length INTEGER NOT NULL CHECK (length > 0),
  block INTEGER NOT NULL REFERENCES blocks (id),
  encoding INTEGER NOT NULL,
  checksum INTEGER NOT NULL,
  PRIMARY KEY (pool, offset)
) STRICT, WITHOUT ROWID;
CREATE INDEX extents_by_block ON extents (block);
CREATE TRIGGER extents_never_overlap BEFORE INSERT ON extents
WHEN (SELECT offset + length FROM extents
      WHERE pool = NEW.pool AND offset < NEW.offset + NEW.length
      ORDER BY offset DESC LIMIT 1) > NEW.offset
BEGIN SELECT RAISE(ABORT, 'the extent overlaps another one'); END;
CREATE TABLE statistics (
  block INTEGER PRIMARY KEY REFERENCES blocks (id) ON DELETE CASCADE,
  rho_slow REAL NOT NULL
) STRICT;
)sql";

absl::Status Configure(SqliteDatabase& db) {
  // The busy time-out is for an operator's sqlite3 shell; a second daemon is kept out by the lock.
  return db.Execute(
      "PRAGMA busy_timeout = 2000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
      "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA cache_size = -16384;");
}

absl::Status CreateTables(SqliteDatabase& db) {
  return db.Execute(absl::StrCat("BEGIN IMMEDIATE;", kTables,
                                 "PRAGMA application_id = ", kApplicationId,
                                 "; PRAGMA user_version = ", kCatalogueVersion, "; COMMIT;"));
}

absl::Status CheckVersion(SqliteDatabase& db, const std::string& path, int64_t application) {
  if (application != kApplicationId) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is a database of another program (application id ", application,
                     "): move it away or choose another state_dir"));
  }
  const absl::StatusOr<int64_t> version = db.Query("PRAGMA user_version");
  if (!version.ok()) return version.status();
  if (*version == kCatalogueVersion) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      path, " has schema version ", *version, ", this residencyd understands ", kCatalogueVersion,
      *version > kCatalogueVersion ? ": it was written by a newer one; install that again"
                                   : ": it is no version that was ever released"));
}

absl::Status CheckSound(SqliteDatabase& db) {
  absl::StatusOr<SqliteStatement> check = db.Prepare("PRAGMA quick_check(1)");
  if (!check.ok()) return check.status();
  const absl::StatusOr<bool> row = check->Step();
  if (!row.ok()) return row.status();
  if (*row && check->Text(0) == "ok") return absl::OkStatus();
  return absl::DataLossError(*row ? check->Text(0) : "no answer to quick_check");
}

absl::Status OpenOrCreate(SqliteDatabase& db, const std::string& path) {
  // Asked first: it changes nothing, and fails on a file that is no database.
  const absl::StatusOr<int64_t> application = db.Query("PRAGMA application_id");
  if (!application.ok()) return application.status();
  const absl::StatusOr<int64_t> tables = db.Query("SELECT count(*) FROM sqlite_schema");
  if (!tables.ok()) return tables.status();
  const bool fresh = *tables == 0 && *application == 0;
  if (!fresh) {
    if (absl::Status known = CheckVersion(db, path, *application); !known.ok()) return known;
  }
  if (absl::Status configured = Configure(db); !configured.ok()) return configured;
  return fresh ? CreateTables(db) : CheckSound(db);
}

}  // namespace

absl::Status PrepareCatalogue(SqliteDatabase& db, const std::string& path) {
  const absl::Status status = OpenOrCreate(db, path);
  if (status.code() != absl::StatusCode::kDataLoss) return status;
  return absl::DataLossError(absl::StrCat(
      path, " is damaged or no catalogue (", std::string(status.message()),
      "): restore it from a backup, or move it away to begin anew; it is never deleted for you"));
}

}  // namespace residency
