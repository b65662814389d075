// Between the residency table and the catalogue's rows.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/residency_table.h"
#include "daemon/catalogue_rows.h"
#include "movers/file_registry.h"
#include "policy/events.h"

namespace residency {

// What a Persist command writes.
CatalogueOperation RowOf(const ResidencyTable& table, const Persist& command);
FileRow RowOf(FileId id, const FileInfo& info);

struct Restored {
  size_t models = 0;
  size_t blocks = 0;
  size_t extents = 0;
  Bytes extent_bytes;
  // Rows that no longer fit the configuration and are to be removed: extents past a pool's end.
  std::vector<CatalogueOperation> to_remove;
  // What was passed over and kept, a sentence each: a pool that is not configured any more.
  std::vector<std::string> notes;
};

// Fills an empty table and registry with what the catalogue remembers. DataLoss if the rows
// contradict each other.
absl::StatusOr<Restored> Restore(const CatalogueContents& contents, ResidencyTable& table,
                                 FileRegistry& files);

}  // namespace residency
