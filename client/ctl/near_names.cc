#include "client/ctl/near_names.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"

namespace residency::ctl {
namespace {

constexpr size_t kNamesMax = 3;
constexpr size_t kTextMin = 3;    // Shorter pieces are in every name.
constexpr size_t kTextMax = 200;  // Longer ones are compared by their beginning.

using Blocks = std::vector<v1::BlockInfo>;

Blocks Containing(OperatorClient& client, std::string_view text) {
  v1::ListBlocksRequest request;
  request.set_name_contains(std::string(text));
  absl::StatusOr<v1::ListBlocksResponse> page =
      client.Call(&OperatorClient::Stub::ListBlocks, request);
  if (!page.ok()) return {};
  return {page->blocks().begin(), page->blocks().end()};
}

// The blocks with the longest piece of the name that any has, its beginning or its end.
Blocks Alike(OperatorClient& client, std::string_view name, bool beginning, size_t& length) {
  Blocks best;
  size_t has = kTextMin - 1;  // So long a piece is found, or too short to ask for.
  size_t lacks = name.size() + 1;
  while (lacks - has > 1) {
    const size_t half = std::midpoint(has, lacks);
    Blocks found =
        Containing(client, beginning ? name.substr(0, half) : name.substr(name.size() - half));
    if (found.empty()) {
      lacks = half;
    } else {
      has = half;
      best = std::move(found);
    }
  }
  length = has;
  return best;
}

}  // namespace

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t changed = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

std::vector<std::string> NearBlocks(OperatorClient& client, std::string_view block) {
  // The model's name may be wrong, or the block's, or both.
  const size_t slash = block.find('/');
  std::string_view name = slash == std::string_view::npos ? block : block.substr(slash + 1);
  name = name.substr(0, kTextMax);
  if (name.size() < kTextMin) return {};
  size_t front_length = 0;
  size_t back_length = 0;
  Blocks blocks = Alike(client, name, true, front_length);
  if (front_length < name.size()) {
    Blocks back = Alike(client, name, false, back_length);
    if (back_length > front_length) blocks = std::move(back);
  }
  std::vector<std::pair<size_t, std::string>> ranked;
  for (const v1::BlockInfo& info : blocks) {
    const std::string_view other = std::string_view(info.name()).substr(0, kTextMax);
    ranked.emplace_back(EditDistance(name, other), absl::StrCat(info.model(), "/", info.name()));
  }
  const size_t shown = std::min(ranked.size(), kNamesMax);
  std::partial_sort(ranked.begin(), ranked.begin() + static_cast<ptrdiff_t>(shown), ranked.end());
  std::vector<std::string> names;
  for (size_t i = 0; i < shown && ranked[i].first == ranked[0].first; ++i) {
    names.push_back(std::move(ranked[i].second));
  }
  return names;
}

}  // namespace residency::ctl
