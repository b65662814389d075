// The SQLite file that lasts: models, files, blocks, recipes, extents, learned statistics. A
// transaction is on disk when its call returns. Not thread-safe: opened and loaded at start, then
// owned by the writer's thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "daemon/catalogue_rows.h"

namespace residency {

// The seam between the writer's thread and the file.
class CatalogueStore {
 public:
  virtual ~CatalogueStore() = default;
  // Applies all in one transaction, in order, and commits. The outer status is not OK if nothing
  // was applied (disk full, I/O error): the same call may be tried again. The inner ones are of
  // single operations: one that breaks a rule leaves the others untouched and never succeeds.
  virtual absl::StatusOr<std::vector<absl::Status>> Apply(
      absl::Span<const CatalogueOperation> operations) = 0;
  // Makes a call in another thread end early. Thread-safe.
  virtual void Interrupt() = 0;
};

class Catalogue final : public CatalogueStore {
 public:
  // Creates an empty one if there is no file. FailedPrecondition for a file of another program or
  // of a newer version, DataLoss for a damaged one; neither is ever changed or deleted.
  static absl::StatusOr<std::unique_ptr<Catalogue>> Open(const std::string& path);
  ~Catalogue() override;

  absl::StatusOr<CatalogueContents> Load();
  absl::StatusOr<std::vector<absl::Status>> Apply(
      absl::Span<const CatalogueOperation> operations) override;
  void Interrupt() override;

 private:
  struct Rep;
  explicit Catalogue(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

}  // namespace residency
