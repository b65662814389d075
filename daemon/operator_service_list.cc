#include "daemon/operator_service_list.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/strings.h"
#include "daemon/convert.h"

namespace residency {
namespace {

absl::StatusOr<uint32_t> NumberFrom(const std::string& page_token) {
  uint32_t number = 0;
  if (page_token.empty() || absl::SimpleAtoi(page_token, &number)) return number;
  return absl::InvalidArgumentError(
      absl::StrCat("page_token: must be empty or the last answer's next_page_token, is \"",
                   page_token.substr(0, 64), "\""));
}

absl::StatusOr<Tier> TierFrom(int tier) {
  for (const Tier known : {Tier::kHbm, Tier::kDram, Tier::kNvme}) {
    if (ToProto(known) == tier) return known;
  }
  return absl::InvalidArgumentError(absl::StrCat("tier: found ", tier, ", wanted a known tier"));
}

bool HasCopyIn(const ResidencyTable& table, BlockId id, const BlockFilter& filter) {
  const std::string& pool = filter.request.pool();
  if (pool.empty() && !filter.tier.has_value()) return true;
  bool found = false;
  table.ForEachCopy(id, [&](SlotId, const Copy& copy) {
    const Pool& in = table.pool(copy.pool);
    found |= (pool.empty() || in.options().name == pool) &&
             (!filter.tier.has_value() || in.tier() == *filter.tier);
  });
  return found;
}

struct Scores {
  double k = 0;
  double r = 0;
};

Scores ScoresOf(const Controller& controller, BlockId id) {
  const Score score = controller.Explain(id, 0).now.score;
  return {score.k, score.r};
}

// Where a block stands in an ordered list.
struct Place {
  double number = 0;
  std::string text;
  BlockId id;
};

double NumberOf(const Controller& controller, BlockId id, v1::BlockOrder order) {
  const ResidencyTable& table = controller.state().table;
  const Block& block = table.block(id);
  switch (order) {
    case v1::BLOCK_ORDER_BYTES:
      return static_cast<double>(block.bytes.count());
    case v1::BLOCK_ORDER_STATE:
      return static_cast<double>(table.State(id));
    case v1::BLOCK_ORDER_LAYER:
      return block.layer;
    case v1::BLOCK_ORDER_LEASES:
      return block.leases;
    case v1::BLOCK_ORDER_K:
      return ScoresOf(controller, id).k;
    case v1::BLOCK_ORDER_R:
      return ScoresOf(controller, id).r;
    default:
      return 0;
  }
}

bool NeedsScores(v1::BlockOrder order) {
  return order == v1::BLOCK_ORDER_K || order == v1::BLOCK_ORDER_R;
}

// The first blocks in an order, of any number that is offered. Holds at most twice as many.
class Foremost {
 public:
  Foremost(v1::BlockOrder order, bool descending, size_t count)
      : order_(order), descending_(descending), count_(count) {}

  void Offer(const Controller& controller, BlockId id) {
    Place place{NumberOf(controller, id, order_), {}, id};
    if (order_ == v1::BLOCK_ORDER_NAME) {
      place.text = std::string(controller.state().table.block(id).name);
    }
    ++offered_;
    places_.push_back(std::move(place));
    if (places_.size() >= 2 * count_) Cut();
  }

  std::vector<BlockId> Take() {
    Cut();
    std::vector<BlockId> ids;
    for (const Place& place : places_) ids.push_back(place.id);
    return ids;
  }
  uint64_t offered() const { return offered_; }

 private:
  // Equal blocks stay in the order of their numbers, whichever way the list goes.
  bool Before(const Place& a, const Place& b) const {
    if (a.number != b.number) return (a.number < b.number) != descending_;
    if (a.text != b.text) return (a.text < b.text) != descending_;
    return a.id < b.id;
  }
  void Cut() {
    const size_t keep = std::min(count_, places_.size());
    std::partial_sort(places_.begin(), places_.begin() + static_cast<ptrdiff_t>(keep),
                      places_.end(),
                      [this](const Place& a, const Place& b) { return Before(a, b); });
    places_.resize(keep);
  }

  const v1::BlockOrder order_;
  const bool descending_;
  const size_t count_;
  uint64_t offered_ = 0;
  std::vector<Place> places_;
};

v1::BlockInfo Describe(const Controller& controller, BlockId id, const FileNames& files,
                       bool scores) {
  v1::BlockInfo info = DescribeBlock(controller, id, files);
  if (scores) {
    const Scores s = ScoresOf(controller, id);
    info.set_k(s.k);
    info.set_r(s.r);
  }
  return info;
}

// Where a stretch that begins at `first` ends.
uint32_t EndOfStretch(uint32_t first, uint32_t count, bool scored) {
  return first + std::min(scored ? kScanScoredMax : kScanBlocksMax, count - std::min(first, count));
}

std::function<bool(const Controller&)> FillOrdered(BlockFilter filter, FileNames files,
                                                   v1::ListBlocksResponse* response) {
  const v1::BlockOrder order = filter.request.order_by();
  Foremost first(order, filter.request.descending(), filter.page);
  return [filter = std::move(filter), files = std::move(files), response, next = uint32_t{0},
          foremost = std::move(first),
          scored = NeedsScores(order)](const Controller& controller) mutable {
    const ResidencyTable& table = controller.state().table;
    const auto count = static_cast<uint32_t>(table.block_count());
    for (const uint32_t end = EndOfStretch(next, count, scored); next < end; ++next) {
      if (filter.Matches(table, BlockId(next))) foremost.Offer(controller, BlockId(next));
    }
    if (next < count) return false;
    for (const BlockId id : foremost.Take()) {
      *response->add_blocks() = Describe(controller, id, files, scored || filter.request.scores());
    }
    response->set_matched(foremost.offered());
    return true;
  };
}

}  // namespace

absl::StatusOr<BlockFilter> BlockFilter::From(const v1::ListBlocksRequest& request) {
  BlockFilter filter;
  filter.request = request;
  const absl::StatusOr<uint32_t> first = NumberFrom(request.page_token());
  if (!first.ok()) return first.status();
  filter.first = *first;
  if (request.page_size() > 0) filter.page = std::min(request.page_size(), kPageBlocksMax);
  if (!v1::BlockOrder_IsValid(request.order_by())) {
    return absl::InvalidArgumentError(
        absl::StrCat("order_by: found ", request.order_by(), ", wanted a known order"));
  }
  if (request.order_by() != v1::BLOCK_ORDER_UNSPECIFIED && !request.page_token().empty()) {
    return absl::InvalidArgumentError(
        "page_token: an ordered list has one page: ask without order_by for more");
  }
  const auto read = [](bool has, auto value, auto& target) {
    if (!has) return absl::OkStatus();
    if (value.ok()) target = *value;
    return value.status();
  };
  for (const absl::Status& status :
       {read(request.has_state(), StateFromProto(request.state(), "state"), filter.state),
        read(request.has_role(), RoleFromProto(request.role(), "role"), filter.role),
        read(request.has_tier(), TierFrom(request.tier()), filter.tier),
        read(request.has_element_type(), ElementFromProto(request.element_type(), "element_type"),
             filter.element)}) {
    if (!status.ok()) return status;
  }
  return filter;
}

bool BlockFilter::Matches(const ResidencyTable& table, BlockId id) const {
  const Block& block = table.block(id);
  if (request.has_model_id() && block.model.value() != request.model_id()) return false;
  if (request.has_layer() && block.layer != request.layer()) return false;
  if (request.has_expert() && block.expert != request.expert()) return false;
  if (role.has_value() && block.role != *role) return false;
  if (element.has_value() && block.element != *element) return false;
  if (request.has_min_bytes() && block.bytes.count() < request.min_bytes()) return false;
  if (request.has_max_bytes() && block.bytes.count() > request.max_bytes()) return false;
  if (request.leased() && block.leases == 0) return false;
  if (request.pinned() && block.pins == 0) return false;
  if (state.has_value() && table.State(id) != *state) return false;
  if (request.lost() && !table.IsLost(id)) return false;
  if (!HasCopyIn(table, id, *this)) return false;
  return request.name_contains().empty() ||
         block.name.find(request.name_contains()) != std::string_view::npos;
}

std::function<bool(const Controller&)> FillPage(BlockFilter filter, FileNames files,
                                                v1::ListBlocksResponse* response) {
  if (filter.request.order_by() != v1::BLOCK_ORDER_UNSPECIFIED) {
    return FillOrdered(std::move(filter), std::move(files), response);
  }
  return [filter = std::move(filter), files = std::move(files), next = filter.first,
          response](const Controller& controller) mutable {
    const ResidencyTable& table = controller.state().table;
    const auto count = static_cast<uint32_t>(table.block_count());
    const bool scores = filter.request.scores();
    const uint32_t end = EndOfStretch(next, count, scores);
    const auto full = [&] { return static_cast<uint32_t>(response->blocks_size()) >= filter.page; };
    while (next < end && !full()) {
      const BlockId block(next++);
      if (filter.Matches(table, block)) {
        *response->add_blocks() = Describe(controller, block, files, scores);
      }
    }
    if (next >= count) return true;
    if (full()) response->set_next_page_token(absl::StrCat(next));
    return full();
  };
}

std::function<bool(const Controller&)> DescribeMisses(AcquireTally::Report report,
                                                      v1::ListMissesResponse* response) {
  return [report = std::move(report), response](const Controller& controller) {
    const ResidencyTable& table = controller.state().table;
    response->set_misses_per_second(report.misses_per_second);
    response->set_stall_us_per_second(report.stall_us_per_second);
    for (const AcquireTally::Misses& misses : report.blocks) {
      if (!table.Knows(misses.block)) continue;
      const Block& block = table.block(misses.block);
      v1::BlockMisses& proto = *response->add_blocks();
      proto.set_block_id(misses.block.value());
      proto.set_name(std::string(block.name));
      proto.set_model_id(block.model.value());
      proto.set_model(table.model(block.model).name);
      proto.set_bytes(block.bytes.count());
      proto.set_layer(block.layer);
      proto.set_expert(block.expert);
      proto.set_state(ToProto(table.State(misses.block)));
      proto.set_served_from(ToProto(misses.served_from));
      proto.set_misses_per_second(misses.misses_per_second);
      proto.set_stall_us_per_second(misses.stall_us_per_second);
    }
    return true;
  };
}

}  // namespace residency
