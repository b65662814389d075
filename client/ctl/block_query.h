// Which blocks are to be listed, and in which order; and getting them from the daemon.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "client/ctl/command.h"

namespace CLI {
class App;
}

namespace residency::ctl {

struct BlockQuery {
  static constexpr uint64_t kLimitDefault = 1000;

  // All that are given must hold. Names and sizes are checked where the line is parsed.
  std::string model;
  std::string state;
  std::optional<int32_t> layer;
  std::optional<int32_t> expert;
  std::string role;
  std::string name;
  std::string pool;
  std::string tier;
  std::string element;
  bool leased = false;
  bool pinned = false;
  bool lost = false;
  std::string min_bytes;
  std::string max_bytes;

  std::string sort;
  bool reverse = false;
  uint64_t limit = kLimitDefault;  // 0: all.
};

void AddBlockOptions(CLI::App& list, BlockQuery& query);

// next_page_token is set if there is more than the limit. The daemon orders what fits one page;
// longer lists are fetched whole and ordered here.
absl::StatusOr<v1::ListBlocksResponse> FetchBlocks(const Context& context, const BlockQuery& query);

// "4096", "64KiB", "1.5 GiB", "200MB". None if it is no size.
std::optional<uint64_t> ParseSize(std::string_view text);

}  // namespace residency::ctl
