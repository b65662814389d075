#include "client/ctl/block_query.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/ctl/names.h"

namespace residency::ctl {
namespace {

using Stub = OperatorClient::Stub;

constexpr uint32_t kPageSizeMax = 1000;  // What the daemon gives at most.

struct OrderName {
  const char* name;
  v1::BlockOrder order;
  bool largest_first;  // Figures where the largest is what one looks for.
};
constexpr std::array<OrderName, 7> kOrders = {{{"name", v1::BLOCK_ORDER_NAME, false},
                                               {"bytes", v1::BLOCK_ORDER_BYTES, true},
                                               {"state", v1::BLOCK_ORDER_STATE, false},
                                               {"layer", v1::BLOCK_ORDER_LAYER, false},
                                               {"K", v1::BLOCK_ORDER_K, true},
                                               {"R", v1::BLOCK_ORDER_R, true},
                                               {"leases", v1::BLOCK_ORDER_LEASES, true}}};

std::optional<OrderName> FindOrder(const std::string& name) {
  for (const OrderName& order : kOrders) {
    if (absl::EqualsIgnoreCase(name, order.name)) return order;
  }
  return std::nullopt;
}

absl::StatusOr<uint32_t> ModelId(const Context& context, const std::string& model) {
  absl::StatusOr<v1::ListModelsResponse> models =
      context.client.Call(&Stub::ListModels, v1::ListModelsRequest());
  if (!models.ok()) return models.status();
  uint32_t number = 0;
  const bool is_number = absl::SimpleAtoi(model, &number);
  std::optional<uint32_t> named;
  for (const v1::ModelInfo& info : models->models()) {
    if (is_number && info.model_id() == number) return number;
    if (info.name() != model) continue;
    if (named.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("more than one model is named ", model,
                       "\ngive its ID: 'residencyctl models' lists them"));
    }
    named = info.model_id();
  }
  if (named.has_value()) return *named;
  return absl::NotFoundError(
      absl::StrCat("no model ", model, "\n'residencyctl models' lists those there are"));
}

// A name of a pool that there is: a filter that can match nothing is a mistake.
absl::Status CheckPool(const Context& context, const std::string& pool) {
  absl::StatusOr<v1::ListPoolsResponse> pools =
      context.client.Call(&Stub::ListPools, v1::ListPoolsRequest());
  if (!pools.ok()) return pools.status();
  std::string names;
  for (const v1::Pool& known : pools->pools()) {
    if (known.name() == pool) return absl::OkStatus();
    absl::StrAppend(&names, names.empty() ? "" : ", ", known.name());
  }
  return absl::NotFoundError(absl::StrCat("no pool ", pool, "\nthere are: ", names));
}

absl::StatusOr<v1::ListBlocksRequest> RequestFor(const Context& context, const BlockQuery& query) {
  v1::ListBlocksRequest request;
  if (!query.model.empty()) {
    absl::StatusOr<uint32_t> model_id = ModelId(context, query.model);
    if (!model_id.ok()) return model_id.status();
    request.set_model_id(*model_id);
  }
  if (!query.pool.empty()) {
    if (absl::Status known = CheckPool(context, query.pool); !known.ok()) return known;
    request.set_pool(query.pool);
  }
  if (!query.state.empty()) request.set_state(*ParseState(query.state));
  if (query.layer.has_value()) request.set_layer(*query.layer);
  if (query.expert.has_value()) request.set_expert(*query.expert);
  if (!query.role.empty()) request.set_role(*ParseRole(query.role));
  if (!query.tier.empty()) request.set_tier(*ParseTier(query.tier));
  if (!query.element.empty()) request.set_element_type(*ParseElementType(query.element));
  if (!query.min_bytes.empty()) request.set_min_bytes(*ParseSize(query.min_bytes));
  if (!query.max_bytes.empty()) request.set_max_bytes(*ParseSize(query.max_bytes));
  request.set_name_contains(query.name);
  request.set_leased(query.leased);
  request.set_pinned(query.pinned);
  request.set_lost(query.lost);
  return request;
}

// Follows the pages up to the limit. The answer's token is set if there is more.
absl::StatusOr<v1::ListBlocksResponse> FetchPages(const Context& context,
                                                  v1::ListBlocksRequest request, uint64_t limit) {
  v1::ListBlocksResponse all;
  for (;;) {
    const auto have = static_cast<uint64_t>(all.blocks_size());
    const uint64_t want =
        limit == 0 ? kPageSizeMax : std::min<uint64_t>(limit - have, kPageSizeMax);
    request.set_page_size(static_cast<uint32_t>(want));
    absl::StatusOr<v1::ListBlocksResponse> page = context.client.Call(&Stub::ListBlocks, request);
    if (!page.ok()) return page.status();
    all.MergeFrom(*page);
    all.set_next_page_token(page->next_page_token());
    if (page->next_page_token().empty()) break;
    if (limit != 0 && static_cast<uint64_t>(all.blocks_size()) >= limit) break;
    request.set_page_token(page->next_page_token());
  }
  return all;
}

double FigureOf(const v1::BlockInfo& block, v1::BlockOrder order) {
  switch (order) {
    case v1::BLOCK_ORDER_BYTES:
      return static_cast<double>(block.bytes());
    case v1::BLOCK_ORDER_STATE:
      return block.state();
    case v1::BLOCK_ORDER_LAYER:
      return block.layer();
    case v1::BLOCK_ORDER_K:
      return block.k();
    case v1::BLOCK_ORDER_R:
      return block.r();
    case v1::BLOCK_ORDER_LEASES:
      return block.leases();
    default:
      return 0;
  }
}

// The daemon's own order: equal blocks stay in the order of their numbers.
void Sort(v1::ListBlocksResponse& blocks, v1::BlockOrder order, bool descending) {
  auto& list = *blocks.mutable_blocks();
  const auto before = [order](const v1::BlockInfo& a, const v1::BlockInfo& b) {
    if (order == v1::BLOCK_ORDER_NAME) return a.name() < b.name();
    return FigureOf(a, order) < FigureOf(b, order);
  };
  std::stable_sort(list.pointer_begin(), list.pointer_end(),
                   [&](const v1::BlockInfo* a, const v1::BlockInfo* b) {
                     return descending ? before(*b, *a) : before(*a, *b);
                   });
}

absl::StatusOr<v1::ListBlocksResponse> FetchOrdered(const Context& context,
                                                    v1::ListBlocksRequest request,
                                                    const OrderName& order,
                                                    const BlockQuery& query) {
  const bool descending = order.largest_first != query.reverse;
  const bool scores = order.order == v1::BLOCK_ORDER_K || order.order == v1::BLOCK_ORDER_R;
  if (query.limit != 0 && query.limit <= kPageSizeMax) {
    request.set_order_by(order.order);
    request.set_descending(descending);
    request.set_page_size(static_cast<uint32_t>(query.limit));
    absl::StatusOr<v1::ListBlocksResponse> page = context.client.Call(&Stub::ListBlocks, request);
    if (!page.ok()) return page.status();
    if (page->matched() > static_cast<uint64_t>(page->blocks_size())) {
      page->set_next_page_token("more");
    }
    return page;
  }
  request.set_scores(scores);
  absl::StatusOr<v1::ListBlocksResponse> all = FetchPages(context, std::move(request), 0);
  if (!all.ok()) return all.status();
  Sort(*all, order.order, descending);
  all->set_matched(static_cast<uint64_t>(all->blocks_size()));
  const auto limit = static_cast<int>(std::min<uint64_t>(query.limit, INT32_MAX));
  if (limit != 0 && all->blocks_size() > limit) {
    all->mutable_blocks()->DeleteSubrange(limit, all->blocks_size() - limit);
    all->set_next_page_token("more");
  }
  return all;
}

// A check that explains what is wanted instead.
template <typename Parse>
std::function<std::string(const std::string&)> Parses(Parse parse, const char* wanted) {
  return [parse, wanted](const std::string& text) {
    return parse(text).has_value() ? "" : absl::StrCat("\"", text, "\" won't do: write ", wanted);
  };
}

}  // namespace

std::optional<uint64_t> ParseSize(std::string_view text) {
  struct Unit {
    const char* name;
    double bytes;
  };
  constexpr Unit kUnits[] = {{"KiB", 1024.0},
                             {"MiB", 1024.0 * 1024},
                             {"GiB", 1073741824.0},
                             {"TiB", 1099511627776.0},
                             {"kB", 1e3},
                             {"MB", 1e6},
                             {"GB", 1e9},
                             {"TB", 1e12},
                             {"B", 1},
                             {"", 1}};
  for (const Unit& unit : kUnits) {
    if (!text.ends_with(unit.name)) continue;
    const std::string_view digits =
        text.substr(0, text.size() - std::string_view(unit.name).size());
    double value = 0;
    if (!absl::SimpleAtod(absl::string_view(digits.data(), digits.size()), &value))
      return std::nullopt;
    const double bytes = value * unit.bytes;
    if (!(bytes >= 0) || bytes > 1e18) return std::nullopt;
    return static_cast<uint64_t>(std::llround(bytes));
  }
  return std::nullopt;
}

void AddBlockOptions(CLI::App& list, BlockQuery& query) {
  constexpr const char* kRoles =
      "expert, attention, router, norm, embedding, dense_mlp, adapter or other";
  constexpr const char* kElements = "bf16, f16, f32, quantized8, quantized_sub8 or other";
  constexpr const char* kSizes = "bytes, or a size like 64KiB, 1.5GiB or 200MB";
  const auto add = [&list](const char* name, auto& target, const char* value,
                           const std::string& description) {
    return list.add_option(name, target, description)->option_text(value);
  };
  add("--model", query.model, "MODEL", "Of this model, by ID or name");
  add("--state", query.state, "STATE", "In this state, S0 to S6")
      ->check(Parses(ParseState, "S0 to S6"));
  add("--layer", query.layer, "N", "Of this layer; -1: of none");
  add("--expert", query.expert, "N", "Of this expert; -1: of none");
  add("--role", query.role, "ROLE", kRoles)->check(Parses(ParseRole, kRoles));
  add("--name", query.name, "TEXT", "With this text in their name");
  add("--pool", query.pool, "NAME", "With a copy in the pool of this name");
  add("--tier", query.tier, "TIER", "With a copy in this tier: HBM, DRAM or NVMe")
      ->check(Parses(ParseTier, "HBM, DRAM or NVMe"));
  add("--element-type", query.element, "TYPE", absl::StrCat("Made of ", kElements))
      ->check(Parses(ParseElementType, kElements));
  list.add_flag("--leased", query.leased, "In use: with leases");
  list.add_flag("--pinned", query.pinned, "Pinned by an operator");
  list.add_flag("--lost", query.lost, "With neither a copy nor a recipe");
  add("--min-bytes", query.min_bytes, "SIZE", "At least so large: bytes, or like 64KiB")
      ->check(Parses(ParseSize, kSizes));
  add("--max-bytes", query.max_bytes, "SIZE", "At most so large: bytes, or like 1.5GiB")
      ->check(Parses(ParseSize, kSizes));
  CLI::Option* sort = add("--sort", query.sort, "ORDER",
                          "name, state or layer, lowest first; bytes, K, R or leases, largest "
                          "first (else by ID)")
                          ->check(Parses(FindOrder, "name, bytes, state, layer, K, R or leases"));
  list.add_flag("--reverse", query.reverse, "Sort the other way round")->needs(sort);
  add("--limit", query.limit, "N", "At most so many (1000); 0 for all");
}

absl::StatusOr<v1::ListBlocksResponse> FetchBlocks(const Context& context,
                                                   const BlockQuery& query) {
  absl::StatusOr<v1::ListBlocksRequest> request = RequestFor(context, query);
  if (!request.ok()) return request.status();
  const std::optional<OrderName> order = FindOrder(query.sort);
  if (!order.has_value()) return FetchPages(context, *std::move(request), query.limit);
  return FetchOrdered(context, *std::move(request), *order, query);
}

}  // namespace residency::ctl
