#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/catalogue_statements.h"

namespace residency {
namespace {

// Calls read(statement) for every row.
template <class Read>
absl::Status ForEachRow(SqliteDatabase& db, const char* sql, Read read) {
  absl::StatusOr<SqliteStatement> statement = db.Prepare(sql);
  if (!statement.ok()) return statement.status();
  for (;;) {
    const absl::StatusOr<bool> row = statement->Step();
    if (!row.ok()) return row.status();
    if (!*row) return absl::OkStatus();
    if (absl::Status status = read(*statement); !status.ok()) return status;
  }
}

template <class Id>
Id IdAt(const SqliteStatement& row, int column) {
  return Id(static_cast<typename Id::rep>(row.Integer(column)));
}

// An enum that was stored as a number; DataLoss for one that this program does not know.
template <class Enum>
absl::Status EnumAt(const SqliteStatement& row, int column, Enum last, Enum* out) {
  const int64_t value = row.Integer(column);
  if (value < 0 || value > static_cast<int64_t>(last)) {
    return absl::DataLossError(absl::StrCat("column ", column, " of row ", row.Integer(0),
                                            " holds ", value, ", known are 0 to ",
                                            static_cast<int64_t>(last)));
  }
  *out = static_cast<Enum>(value);
  return absl::OkStatus();
}

absl::Status LoadModels(SqliteDatabase& db, CatalogueContents& out) {
  return ForEachRow(
      db, "SELECT id, domain, name, fingerprint FROM models ORDER BY id", [&](auto& row) {
        out.models.push_back(
            {IdAt<ModelId>(row, 0), IdAt<DomainId>(row, 1), row.Text(2), row.Text(3)});
        return absl::OkStatus();
      });
}

absl::Status LoadFiles(SqliteDatabase& db, CatalogueContents& out) {
  return ForEachRow(
      db, "SELECT id, domain, path, device, inode, size, mtime_ns, ctime_ns FROM files ORDER BY id",
      [&](auto& row) {
        out.files.push_back({IdAt<FileId>(row, 0), IdAt<DomainId>(row, 1), row.Text(2), row.Bits(3),
                             row.Bits(4), row.Bits(5), row.Integer(6), row.Integer(7)});
        return absl::OkStatus();
      });
}

absl::Status ReadBlock(const SqliteStatement& row, BlockRow& block) {
  block.id = IdAt<BlockId>(row, 0);
  block.model = IdAt<ModelId>(row, 1);
  block.name = row.Text(2);
  block.bytes = Bytes(row.Bits(3));
  block.layer = static_cast<int32_t>(row.Integer(4));
  block.expert = static_cast<int32_t>(row.Integer(5));
  absl::Status status = EnumAt(row, 6, Role::kOther, &block.role);
  block.criticality = static_cast<float>(row.Real(7));
  block.sensitivity = static_cast<float>(row.Real(8));
  block.layout = row.Text(9);
  status.Update(EnumAt(row, 10, ElementType::kQuantizedSub8, &block.element));
  status.Update(EnumAt(row, 11, RecipeKind::kSynthetic, &block.recipe.kind));
  if (!row.IsNull(12)) block.recipe.file = IdAt<FileId>(row, 12);
  block.recipe.offset = row.Bits(13);
  block.recipe.seed = row.Bits(14);
  if (!row.IsNull(15)) block.checksum = row.Bits(15);
  block.flags = static_cast<uint32_t>(row.Integer(16));
  return status;
}

absl::Status LoadBlocks(SqliteDatabase& db, CatalogueContents& out) {
  return ForEachRow(
      db,
      "SELECT id, model, name, bytes, layer, expert, role, criticality, sensitivity, "
      "layout, element, recipe_kind, recipe_file, recipe_offset, recipe_seed, checksum, flags "
      "FROM blocks ORDER BY id",
      [&](auto& row) { return ReadBlock(row, out.blocks.emplace_back()); });
}

absl::Status LoadAliases(SqliteDatabase& db, CatalogueContents& out) {
  return ForEachRow(
      db, "SELECT model, name, root FROM aliases ORDER BY model, name", [&](auto& row) {
        out.aliases.push_back({IdAt<ModelId>(row, 0), row.Text(1), IdAt<BlockId>(row, 2)});
        return absl::OkStatus();
      });
}

absl::Status LoadExtents(SqliteDatabase& db, CatalogueContents& out) {
  return ForEachRow(
      db,
      "SELECT offset, pool, length, block, encoding, checksum FROM extents ORDER BY pool, offset",
      [&](auto& row) {
        ExtentRow extent;
        extent.pool = row.Text(1);
        extent.extent = {row.Bits(0), row.Bits(2)};
        extent.block = IdAt<BlockId>(row, 3);
        extent.checksum = row.Bits(5);
        absl::Status status = EnumAt(row, 4, Encoding::kCompressed, &extent.encoding);
        out.extents.push_back(std::move(extent));
        return status;
      });
}

absl::Status LoadStatistics(SqliteDatabase& db, CatalogueContents& out) {
  return ForEachRow(db, "SELECT block, rho_slow FROM statistics ORDER BY block", [&](auto& row) {
    out.statistics.push_back({IdAt<BlockId>(row, 0), static_cast<float>(row.Real(1))});
    return absl::OkStatus();
  });
}

}  // namespace

absl::StatusOr<CatalogueContents> LoadCatalogue(SqliteDatabase& db) {
  CatalogueContents out;
  for (auto* load : {LoadModels, LoadFiles, LoadBlocks, LoadAliases, LoadExtents, LoadStatistics}) {
    if (absl::Status status = load(db, out); !status.ok()) return status;
  }
  return out;
}

}  // namespace residency
