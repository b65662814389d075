#include "daemon/rows.h"

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"

namespace residency {
namespace {

// Of BlockRow::flags. Without it the sensitivity is the role's until it is measured again.
constexpr uint32_t kSensitivityGiven = 1;

CatalogueOperation RowOf(const ResidencyTable& table, const PersistModel& row) {
  const Model& model = table.model(row.model);
  return PutModelRow{{model.id, model.domain, model.name, model.fingerprint}};
}

CatalogueOperation RowOf(const ResidencyTable& table, const PersistBlock& row) {
  const Block& block = table.block(row.block);
  BlockRow out{.id = block.id,
               .model = block.model,
               .name = std::string(block.name),
               .bytes = block.bytes,
               .layer = block.layer,
               .expert = block.expert,
               .role = block.role,
               .criticality = block.criticality,
               .sensitivity = block.sensitivity,
               .layout = table.layout(block),
               .element = block.element,
               .recipe = block.recipe,
               .checksum = {}};
  if (block.checksum_known) out.checksum = block.checksum;
  if (block.sensitivity_given) out.flags |= kSensitivityGiven;
  return PutBlockRow{std::move(out)};
}

CatalogueOperation RowOf(const ResidencyTable&, const PersistAlias& row) {
  return PutAliasRow{{row.model, row.name, row.root}};
}

CatalogueOperation RowOf(const ResidencyTable&, const PersistChecksum& row) {
  return SetBlockChecksum{row.block, row.checksum};
}

CatalogueOperation RowOf(const ResidencyTable& table, const PersistExtent& row) {
  return PutExtentRow{{.pool = table.pool(row.place.pool).options().name,
                       .extent = row.place.extent,
                       .block = row.block,
                       .encoding = row.encoding,
                       .checksum = row.checksum}};
}

CatalogueOperation RowOf(const ResidencyTable& table, const EraseExtent& row) {
  return RemoveExtentRow{table.pool(row.place.pool).options().name, row.place.extent.offset};
}

absl::Status RestoreNames(const CatalogueContents& contents, ResidencyTable& table) {
  for (const ModelRow& row : contents.models) {
    if (table.AddModel(row.domain, row.name, row.fingerprint) != row.id) {
      return absl::DataLossError(absl::StrCat("the catalogue's models are not numbered in order (",
                                              row.id.value(), " is missing or double)"));
    }
  }
  for (const BlockRow& row : contents.blocks) {
    BlockSpec spec{.name = row.name,
                   .bytes = row.bytes,
                   .layer = row.layer,
                   .expert = row.expert,
                   .role = row.role,
                   .criticality = row.criticality,
                   .sensitivity = row.sensitivity,
                   .recipe = row.recipe,
                   .alias_of = {},
                   .checksum = row.checksum,
                   .layout = row.layout,
                   .element = row.element};
    if ((row.flags & kSensitivityGiven) == 0) spec.sensitivity.reset();
    if (!table.HasModel(row.model)) {
      return absl::DataLossError(absl::StrCat("block ", row.id.value(), " is of no known model"));
    }
    const auto id = table.AddBlock(row.model, spec);
    if (!id.ok()) return absl::DataLossError(id.status().message());
    if (*id != row.id) {
      return absl::DataLossError(absl::StrCat("the catalogue's blocks are not numbered in order (",
                                              row.id.value(), " is missing or double)"));
    }
    // Put once, and volatile: what is not on disk is lost.
    if (!row.recipe.runnable() && row.checksum) table.MarkHadBytes(*id);
  }
  for (const AliasRow& row : contents.aliases) {
    BlockSpec spec;
    spec.name = row.name;
    spec.alias_of = row.root;
    if (!table.HasModel(row.model) || !table.AddBlock(row.model, spec).ok()) {
      return absl::DataLossError(absl::StrCat("alias \"", row.name, "\" leads to nothing"));
    }
  }
  return absl::OkStatus();
}

void RestoreExtents(const CatalogueContents& contents, ResidencyTable& table, Restored& restored) {
  absl::flat_hash_map<std::string, PoolId> pools;
  for (const auto& pool : table.pools()) {
    if (pool->tier() == Tier::kNvme) pools[pool->options().name] = pool->id();
  }
  absl::flat_hash_set<std::string> unknown;
  for (const ExtentRow& row : contents.extents) {
    const auto pool = pools.find(row.pool);
    if (pool == pools.end()) {
      if (unknown.insert(row.pool).second) {
        restored.notes.push_back(
            absl::StrCat("pool ", row.pool, " holds extents and is not configured; they are kept"));
      }
      continue;
    }
    const absl::Status status =
        table.RestoreExtent(row.block, pool->second, row.extent, row.encoding, row.checksum);
    if (status.ok()) {
      ++restored.extents;
      restored.extent_bytes += Bytes(row.extent.length);
    } else {
      restored.notes.push_back(absl::StrCat("extent dropped: ", status.message()));
      restored.to_remove.push_back(RemoveExtentRow{row.pool, row.extent.offset});
    }
  }
}

}  // namespace

CatalogueOperation RowOf(const ResidencyTable& table, const Persist& command) {
  return std::visit([&](const auto& row) { return RowOf(table, row); }, command.row);
}

FileRow RowOf(FileId id, const FileInfo& info) {
  return {.id = id,
          .domain = info.domain,
          .path = info.path,
          .device = info.identity.device,
          .inode = info.identity.inode,
          .size = info.identity.size,
          .mtime_ns = info.identity.mtime_ns,
          .ctime_ns = info.identity.ctime_ns};
}

absl::StatusOr<Restored> Restore(const CatalogueContents& contents, ResidencyTable& table,
                                 FileRegistry& files) {
  Restored restored;
  for (const FileRow& row : contents.files) {
    const FileInfo info{.domain = row.domain,
                        .path = row.path,
                        .identity = {.device = row.device,
                                     .inode = row.inode,
                                     .size = row.size,
                                     .mtime_ns = row.mtime_ns,
                                     .ctime_ns = row.ctime_ns}};
    if (absl::Status status = files.Restore(row.id, info); !status.ok()) {
      restored.notes.push_back(absl::StrCat("file ", row.path, ": ", status.message()));
    }
  }
  if (absl::Status status = RestoreNames(contents, table); !status.ok()) return status;
  RestoreExtents(contents, table, restored);
  restored.models = contents.models.size();
  restored.blocks = contents.blocks.size();
  return restored;
}

}  // namespace residency
