#include "policy/nearest_key.h"

#include <algorithm>
#include <cstddef>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "core/strings.h"

namespace residency {
namespace {

// Keys are short; what is longer is no slip of the pen.
constexpr size_t kWantedLengthMax = 64;

// Levenshtein's distance, one row at a time.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

std::string_view NearestKey(std::string_view wanted, const std::vector<std::string_view>& known) {
  if (wanted.size() > kWantedLengthMax) return {};
  std::string_view best;
  size_t best_distance = 0;
  for (const std::string_view key : known) {
    const size_t distance = EditDistance(wanted, key);
    if (distance * 3 > std::max(wanted.size(), key.size())) continue;
    if (best.empty() || distance < best_distance) {
      best = key;
      best_distance = distance;
    }
  }
  return best;
}

std::string DidYouMean(std::string_view wanted, const std::vector<std::string_view>& known) {
  const std::string_view key = NearestKey(wanted, known);
  return key.empty() ? "" : absl::StrCat("; did you mean \"", ToAbsl(key), "\"?");
}

}  // namespace residency
