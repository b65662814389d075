// The tables of the catalogue, and how a file is recognised as one.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "daemon/sqlite.h"

namespace residency {

// Of the schema that this program reads and writes.
inline constexpr int kCatalogueVersion = 2;

// Settings of the connection (write-ahead log, every commit on disk, foreign keys), then the
// tables if the file is new, else a check that it is a sound catalogue of this version.
// FailedPrecondition or DataLoss name the file, and say what to do.
absl::Status PrepareCatalogue(SqliteDatabase& db, const std::string& path);

}  // namespace residency
