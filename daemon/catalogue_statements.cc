#include "daemon/catalogue_statements.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace residency {

absl::StatusOr<std::unique_ptr<CatalogueStatements>> CatalogueStatements::Prepare(
    SqliteDatabase& db) {
  std::unique_ptr<CatalogueStatements> out(new CatalogueStatements(db));
  const std::pair<std::optional<SqliteStatement>*, const char*> all[] = {
      {&out->put_model_,
       "INSERT INTO models VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
       "domain = excluded.domain, name = excluded.name, fingerprint = excluded.fingerprint"},
      {&out->put_file_,
       "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
       "domain = excluded.domain, path = excluded.path, device = excluded.device, "
       "inode = excluded.inode, size = excluded.size, mtime_ns = excluded.mtime_ns, "
       "ctime_ns = excluded.ctime_ns"},
      {&out->put_block_,
       "INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
       "ON CONFLICT (id) DO UPDATE SET model = excluded.model, name = excluded.name, "
       "bytes = excluded.bytes, layer = excluded.layer, expert = excluded.expert, "
       "role = excluded.role, criticality = excluded.criticality, "
       "sensitivity = excluded.sensitivity, layout = excluded.layout, "
       "element = excluded.element, "
       "recipe_kind = excluded.recipe_kind, recipe_file = excluded.recipe_file, "
       "recipe_offset = excluded.recipe_offset, recipe_seed = excluded.recipe_seed, "
       "checksum = excluded.checksum, flags = excluded.flags"},
      {&out->put_alias_,
       "INSERT INTO aliases VALUES (?, ?, ?) ON CONFLICT (model, name) DO UPDATE SET "
       "root = excluded.root"},
      {&out->put_extent_, "INSERT INTO extents VALUES (?, ?, ?, ?, ?, ?)"},
      {&out->put_statistic_,
       "INSERT INTO statistics SELECT id, ? FROM blocks WHERE id = ? "
       "ON CONFLICT (block) DO UPDATE SET rho_slow = excluded.rho_slow"},
      {&out->set_checksum_, "UPDATE blocks SET checksum = ? WHERE id = ?"},
      {&out->remove_model_, "DELETE FROM models WHERE id = ?"},
      {&out->remove_file_, "DELETE FROM files WHERE id = ?"},
      {&out->remove_block_, "DELETE FROM blocks WHERE id = ?"},
      {&out->remove_alias_, "DELETE FROM aliases WHERE model = ? AND name = ?"},
      {&out->remove_extent_, "DELETE FROM extents WHERE pool = ? AND offset = ?"},
  };
  for (const auto& [statement, sql] : all) {
    absl::StatusOr<SqliteStatement> prepared = db.Prepare(sql);
    if (!prepared.ok()) return prepared.status();
    statement->emplace(*std::move(prepared));
  }
  return out;
}

absl::Status CatalogueStatements::Apply(const CatalogueOperation& operation) {
  return std::visit([this](const auto& op) { return Run(op); }, operation);
}

absl::Status CatalogueStatements::Run(const PutModelRow& put) {
  const ModelRow& row = put.row;
  return put_model_->Bind(0, int64_t{row.id.value()})
      .Bind(1, int64_t{row.domain.value()})
      .Bind(2, row.name)
      .Bind(3, row.fingerprint)
      .Run();
}

absl::Status CatalogueStatements::Run(const PutFileRow& put) {
  const FileRow& row = put.row;
  return put_file_->Bind(0, int64_t{row.id.value()})
      .Bind(1, int64_t{row.domain.value()})
      .Bind(2, row.path)
      .BindBits(3, row.device)
      .BindBits(4, row.inode)
      .BindBits(5, row.size)
      .Bind(6, row.mtime_ns)
      .Bind(7, row.ctime_ns)
      .Run();
}

absl::Status CatalogueStatements::Run(const PutBlockRow& put) {
  const BlockRow& row = put.row;
  put_block_->Bind(0, int64_t{row.id.value()})
      .Bind(1, int64_t{row.model.value()})
      .Bind(2, row.name)
      .BindBits(3, row.bytes.count())
      .Bind(4, int64_t{row.layer})
      .Bind(5, int64_t{row.expert})
      .Bind(6, static_cast<int64_t>(row.role))
      .Bind(7, double{row.criticality})
      .Bind(8, double{row.sensitivity})
      .Bind(9, row.layout)
      .Bind(10, static_cast<int64_t>(row.element))
      .Bind(11, static_cast<int64_t>(row.recipe.kind))
      .BindBits(13, row.recipe.offset)
      .BindBits(14, row.recipe.seed)
      .Bind(16, int64_t{row.flags});
  if (row.recipe.file.valid()) put_block_->Bind(12, int64_t{row.recipe.file.value()});
  if (row.checksum.has_value()) put_block_->BindBits(15, *row.checksum);
  return put_block_->Run();
}

absl::Status CatalogueStatements::Run(const PutAliasRow& put) {
  return put_alias_->Bind(0, int64_t{put.row.model.value()})
      .Bind(1, put.row.name)
      .Bind(2, int64_t{put.row.root.value()})
      .Run();
}

absl::Status CatalogueStatements::Run(const PutExtentRow& put) {
  const ExtentRow& row = put.row;
  return put_extent_->Bind(0, row.pool)
      .BindBits(1, row.extent.offset)
      .BindBits(2, row.extent.length)
      .Bind(3, int64_t{row.block.value()})
      .Bind(4, static_cast<int64_t>(row.encoding))
      .BindBits(5, row.checksum)
      .Run();
}

absl::Status CatalogueStatements::Run(const PutStatistics& put) {
  for (const StatisticRow& row : put.rows) {
    const absl::Status status =
        put_statistic_->Bind(0, double{row.rho_slow}).Bind(1, int64_t{row.block.value()}).Run();
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status CatalogueStatements::Run(const SetBlockChecksum& set) {
  const absl::Status status =
      set_checksum_->BindBits(0, set.checksum).Bind(1, int64_t{set.block.value()}).Run();
  if (!status.ok() || db_.changes() == 1) return status;
  return absl::NotFoundError(
      absl::StrCat("the catalogue has no block ", set.block.value(), " to set a checksum of"));
}

absl::Status CatalogueStatements::RunById(SqliteStatement& statement, int64_t id) {
  const absl::Status status = statement.Bind(0, id).Run();
  if (!absl::IsAlreadyExists(status)) return status;
  return absl::FailedPreconditionError(
      absl::StrCat("row ", id, " is still referred to: ", std::string(status.message())));
}

absl::Status CatalogueStatements::Run(const RemoveModelRow& remove) {
  return RunById(*remove_model_, remove.id.value());
}
absl::Status CatalogueStatements::Run(const RemoveFileRow& remove) {
  return RunById(*remove_file_, remove.id.value());
}
absl::Status CatalogueStatements::Run(const RemoveBlockRow& remove) {
  return RunById(*remove_block_, remove.id.value());
}
absl::Status CatalogueStatements::Run(const RemoveAliasRow& remove) {
  return remove_alias_->Bind(0, int64_t{remove.model.value()}).Bind(1, remove.name).Run();
}
absl::Status CatalogueStatements::Run(const RemoveExtentRow& remove) {
  return remove_extent_->Bind(0, remove.pool).BindBits(1, remove.offset).Run();
}

}  // namespace residency
