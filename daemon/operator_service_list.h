// Lists of blocks: which ones are meant, in which order, and a page of them. The steps are for
// Scan, which takes them through all blocks a stretch at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "absl/status/statusor.h"
#include "core/block.h"
#include "core/tier.h"
#include "daemon/acquire_tally.h"
#include "daemon/convert_block.h"
#include "residency/v1/operator.pb.h"

namespace residency {

// Blocks that one answer of ListBlocks carries at most.
inline constexpr uint32_t kPageBlocksMax = 1000;
// Blocks that one question looks at, at most; and where each of them is scored, which takes
// microseconds.
inline constexpr uint32_t kScanBlocksMax = 50'000;
inline constexpr uint32_t kScanScoredMax = 200;

// InvalidArgument names the field.
struct BlockFilter {
  static absl::StatusOr<BlockFilter> From(const v1::ListBlocksRequest& request);
  bool Matches(const ResidencyTable& table, BlockId block) const;

  v1::ListBlocksRequest request;
  uint32_t first = 0;
  uint32_t page = kPageBlocksMax;
  // Where the request has them.
  std::optional<ResidencyState> state;
  std::optional<Role> role;
  std::optional<Tier> tier;
  std::optional<ElementType> element;
};

// Fills one page. `response` must live until the scan is done.
std::function<bool(const Controller&)> FillPage(BlockFilter filter, FileNames files,
                                                v1::ListBlocksResponse* response);
// The same for what a tally has seen.
std::function<bool(const Controller&)> DescribeMisses(AcquireTally::Report report,
                                                      v1::ListMissesResponse* response);

}  // namespace residency
