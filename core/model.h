// Models: named sets of blocks, known by (domain, fingerprint). Finds blocks by name and by
// (layer, expert), which is how engines speak of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "core/bytes.h"
#include "core/ids.h"

namespace residency {

struct Model {
  ModelId id;
  DomainId domain;
  std::string name;
  std::string fingerprint;
  Bytes bytes;                  // of its own blocks, aliases not counted
  std::vector<BlockId> blocks;  // its own, in order of registration
  // Aliases too; an alias leads to its root.
  absl::flat_hash_map<absl::string_view, BlockId> by_name;
  // [layer + 1][expert + 1]: the first block there; the others through Block::next_sibling.
  std::vector<std::vector<BlockId>> by_place;

  BlockId FirstAt(int32_t layer, int32_t expert) const {
    const size_t row = static_cast<size_t>(layer + 1);
    const size_t column = static_cast<size_t>(expert + 1);
    if (row >= by_place.size() || column >= by_place[row].size()) return BlockId();
    return by_place[row][column];
  }
  int32_t layers() const { return std::max(0, static_cast<int32_t>(by_place.size()) - 1); }
  int32_t experts_of(int32_t layer) const {
    const size_t row = static_cast<size_t>(layer + 1);
    if (row >= by_place.size()) return 0;
    return std::max(0, static_cast<int32_t>(by_place[row].size()) - 1);
  }
};

// Keeps many short strings at a few bytes over their length; what it returns stays put.
class NameArena {
 public:
  std::string_view Add(std::string_view name) {
    if (chunks_.empty() || used_ + name.size() > kChunk) {
      chunks_.push_back(std::make_unique<char[]>(std::max(kChunk, name.size())));
      used_ = 0;
    }
    char* const at = chunks_.back().get() + used_;
    name.copy(at, name.size());
    used_ += name.size();
    return {at, name.size()};
  }

 private:
  static constexpr size_t kChunk = 64 << 10;
  std::vector<std::unique_ptr<char[]>> chunks_;
  size_t used_ = 0;
};

}  // namespace residency
