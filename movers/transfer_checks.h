// What is checked before the first chunk of a transfer moves and after the last has arrived. These
// make system calls, so they run on the engine's workers.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "core/bytes.h"
#include "core/clock.h"
#include "core/link.h"
#include "movers/file_registry.h"
#include "movers/mover_pools.h"
#include "movers/transfer.h"

namespace residency {

struct TransferChecks {
  const MoverPools* pools;
  const std::vector<Link>* links;
  FileRegistry* files;
  Bytes chunk;
  Bytes staging_buffer;
  const Clock* clock;

  // Validates the specification, opens and identifies its file, labels the target's segments and
  // plans the route.
  TransferFault Prepare(Transfer& transfer) const;
  // Plans how the encoding changes. `footer` is the directory of a compressed source.
  TransferFault PlanTranscoding(Transfer& transfer, std::span<const std::byte> footer) const;
  // The file is still the one it was, and the checksum is what it has to be.
  TransferFault Verify(const Transfer& transfer) const;
  // A failed read of a file that has changed meanwhile says so.
  TransferFault Explain(const Transfer& transfer, TransferFault fault) const;

 private:
  TransferFault CheckCodec(const Transfer& transfer) const;
  TransferFault CheckTarget(Transfer& transfer) const;
  TransferFault CheckCopy(Transfer& transfer, const CopySource& copy) const;
  TransferFault CheckRecipe(Transfer& transfer, const Recipe& recipe) const;
};

}  // namespace residency
