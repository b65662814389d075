// What lasts beyond the process, as plain rows, and the operations that change them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/block.h"
#include "core/bytes.h"
#include "core/ids.h"
#include "core/recipe.h"
#include "core/tier.h"
#include "core/transfer.h"

namespace residency {

struct ModelRow {
  ModelId id;
  DomainId domain;
  std::string name;
  std::string fingerprint;  // unique in the domain
  friend bool operator==(const ModelRow&, const ModelRow&) = default;
};

// A checkpoint file, known by what it was when its blocks were registered.
struct FileRow {
  FileId id;
  DomainId domain;
  std::string path;  // where to look for it again; may be empty
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;
  friend bool operator==(const FileRow&, const FileRow&) = default;
};

struct BlockRow {
  BlockId id;
  ModelId model;
  std::string name;  // unique in the model
  Bytes bytes;
  int32_t layer = -1;
  int32_t expert = -1;
  Role role = Role::kOther;
  float criticality = 0;
  float sensitivity = 0;
  std::string layout;
  ElementType element = ElementType::kOther;
  Recipe recipe;
  std::optional<uint64_t> checksum;  // of the full bytes
  uint32_t flags = 0;                // opaque to the catalogue
  friend bool operator==(const BlockRow&, const BlockRow&) = default;
};

// Another name for a block, maybe of another model of the same domain.
struct AliasRow {
  ModelId model;
  std::string name;
  BlockId root;
  friend bool operator==(const AliasRow&, const AliasRow&) = default;
};

// One copy on a disk. Extents of a pool never overlap.
struct ExtentRow {
  std::string pool;  // by name: numbers may change with the configuration
  Extent extent;
  BlockId block;
  Encoding encoding = Encoding::kFull;
  uint64_t checksum = 0;  // of the encoded bytes
  friend bool operator==(const ExtentRow&, const ExtentRow&) = default;
};

struct StatisticRow {
  BlockId block;
  float rho_slow = 0;
  friend bool operator==(const StatisticRow&, const StatisticRow&) = default;
};

// All of it, each list in order of its ids (extents: of pool and offset).
struct CatalogueContents {
  std::vector<ModelRow> models;
  std::vector<FileRow> files;
  std::vector<BlockRow> blocks;
  std::vector<AliasRow> aliases;
  std::vector<ExtentRow> extents;
  std::vector<StatisticRow> statistics;
};

// Insert or replace by id.
struct PutModelRow {
  ModelRow row;
};
struct PutFileRow {
  FileRow row;
};
struct PutBlockRow {
  BlockRow row;
};
struct PutAliasRow {
  AliasRow row;
};
struct PutStatistics {
  std::vector<StatisticRow> rows;
};  // blocks that are gone are skipped
// An extent is added once; one that overlaps another is refused.
struct PutExtentRow {
  ExtentRow row;
};
// The checksum of a block that was not known at registration. NotFound without the block.
struct SetBlockChecksum {
  BlockId block;
  uint64_t checksum;
};
// What is not there (any more) is removed with success. A model with blocks, a block with extents
// or aliases, a file with blocks is refused.
struct RemoveModelRow {
  ModelId id;
};
struct RemoveFileRow {
  FileId id;
};
struct RemoveBlockRow {
  BlockId id;
};
struct RemoveAliasRow {
  ModelId model;
  std::string name;
};
struct RemoveExtentRow {
  std::string pool;
  uint64_t offset;
};

using CatalogueOperation =
    std::variant<PutModelRow, PutFileRow, PutBlockRow, PutAliasRow, PutExtentRow, PutStatistics,
                 SetBlockChecksum, RemoveModelRow, RemoveFileRow, RemoveBlockRow, RemoveAliasRow,
                 RemoveExtentRow>;

}  // namespace residency
