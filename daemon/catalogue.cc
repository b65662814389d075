#include "daemon/catalogue.h"

#include <utility>

#include "daemon/catalogue_schema.h"
#include "daemon/catalogue_statements.h"
#include "daemon/sqlite.h"

namespace residency {
namespace {

// Whether the operation itself is at fault, not the file.
bool BreaksARule(const absl::Status& status) {
  return absl::IsAlreadyExists(status) || absl::IsFailedPrecondition(status) ||
         absl::IsNotFound(status);
}

}  // namespace

struct Catalogue::Rep {
  SqliteDatabase db;
  std::unique_ptr<CatalogueStatements> statements;
};

Catalogue::Catalogue(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
Catalogue::~Catalogue() = default;

absl::StatusOr<std::unique_ptr<Catalogue>> Catalogue::Open(const std::string& path) {
  absl::StatusOr<SqliteDatabase> db = SqliteDatabase::Open(path);
  if (!db.ok()) return db.status();
  auto rep = std::make_unique<Rep>(Rep{*std::move(db), nullptr});
  if (absl::Status status = PrepareCatalogue(rep->db, path); !status.ok()) return status;
  auto statements = CatalogueStatements::Prepare(rep->db);
  if (!statements.ok()) return statements.status();
  rep->statements = *std::move(statements);
  return std::unique_ptr<Catalogue>(new Catalogue(std::move(rep)));
}

absl::StatusOr<CatalogueContents> Catalogue::Load() { return LoadCatalogue(rep_->db); }

absl::StatusOr<std::vector<absl::Status>> Catalogue::Apply(
    absl::Span<const CatalogueOperation> operations) {
  std::vector<absl::Status> results;
  results.reserve(operations.size());
  absl::Status failed = rep_->db.Execute("BEGIN IMMEDIATE");
  for (const CatalogueOperation& operation : operations) {
    if (!failed.ok()) break;
    results.push_back(rep_->statements->Apply(operation));
    if (!results.back().ok() && !BreaksARule(results.back())) failed = results.back();
  }
  if (failed.ok()) failed = rep_->db.Execute("COMMIT");
  if (failed.ok()) return results;
  // What a failed rollback could add is said already; without a transaction there is none.
  if (rep_->db.in_transaction()) rep_->db.Execute("ROLLBACK").IgnoreError();
  return failed;
}

void Catalogue::Interrupt() { rep_->db.Interrupt(); }

}  // namespace residency
