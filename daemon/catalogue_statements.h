// The statements that change the catalogue, prepared once.
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/catalogue_rows.h"
#include "daemon/sqlite.h"

namespace residency {

class CatalogueStatements {
 public:
  // `db` must outlive it.
  static absl::StatusOr<std::unique_ptr<CatalogueStatements>> Prepare(SqliteDatabase& db);

  // One operation. AlreadyExists, FailedPrecondition or NotFound if it breaks a rule, and then
  // nothing has changed; any other status is an error of the file.
  absl::Status Apply(const CatalogueOperation& operation);

 private:
  explicit CatalogueStatements(SqliteDatabase& db) : db_(db) {}
  absl::Status Run(const PutModelRow& put);
  absl::Status Run(const PutFileRow& put);
  absl::Status Run(const PutBlockRow& put);
  absl::Status Run(const PutAliasRow& put);
  absl::Status Run(const PutExtentRow& put);
  absl::Status Run(const PutStatistics& put);
  absl::Status Run(const SetBlockChecksum& set);
  absl::Status Run(const RemoveModelRow& remove);
  absl::Status Run(const RemoveFileRow& remove);
  absl::Status Run(const RemoveBlockRow& remove);
  absl::Status Run(const RemoveAliasRow& remove);
  absl::Status Run(const RemoveExtentRow& remove);
  absl::Status RunById(SqliteStatement& statement, int64_t id);

  SqliteDatabase& db_;
  std::optional<SqliteStatement> put_model_, put_file_, put_block_, put_alias_, put_extent_,
      put_statistic_, set_checksum_, remove_model_, remove_file_, remove_block_, remove_alias_,
      remove_extent_;
};

// Reads every row.
absl::StatusOr<CatalogueContents> LoadCatalogue(SqliteDatabase& db);

}  // namespace residency
