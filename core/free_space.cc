#include "core/free_space.h"

#include <iterator>

#include "core/check.h"

namespace residency {

void FreeSpace::Insert(Extent run) {
  by_offset_[run.offset] = run.length;
  by_size_.insert({run.length, run.offset});
  total_ += run.length;
}

void FreeSpace::Erase(Extent run) {
  by_offset_.erase(run.offset);
  by_size_.erase({run.length, run.offset});
  total_ -= run.length;
}

void FreeSpace::Add(Extent run) {
  auto next = by_offset_.lower_bound(run.offset);
  RESIDENCY_CHECK(next == by_offset_.end() || run.end() <= next->first, "free run freed twice");
  if (next != by_offset_.begin()) {
    const auto before = std::prev(next);
    RESIDENCY_CHECK(before->first + before->second <= run.offset, "free run freed twice");
  }
  if (next != by_offset_.end() && next->first == run.end()) {
    const Extent after{next->first, next->second};
    Erase(after);
    run.length += after.length;
  }
  if (const auto before = EndingAt(run.offset)) {
    Erase(*before);
    run = {before->offset, before->length + run.length};
  }
  Insert(run);
}

void FreeSpace::Take(Extent run) {
  auto it = by_offset_.upper_bound(run.offset);
  RESIDENCY_CHECK(it != by_offset_.begin(), "bytes taken that are not free");
  --it;
  const Extent whole{it->first, it->second};
  RESIDENCY_CHECK(whole.offset <= run.offset && run.end() <= whole.end(),
                  "bytes taken that are not free");
  Erase(whole);
  if (whole.offset < run.offset) Insert({whole.offset, run.offset - whole.offset});
  if (run.end() < whole.end()) Insert({run.end(), whole.end() - run.end()});
}

bool FreeSpace::Contains(Extent run) const {
  auto it = by_offset_.upper_bound(run.offset);
  if (it == by_offset_.begin()) return false;
  --it;
  return it->first + it->second >= run.end();
}

std::optional<Extent> FreeSpace::BestFit(uint64_t length) const {
  const auto it = by_size_.lower_bound({length, 0});
  if (it == by_size_.end()) return std::nullopt;
  return Extent{it->second, it->first};
}

std::optional<Extent> FreeSpace::EndingAt(uint64_t address) const {
  auto it = by_offset_.lower_bound(address);
  if (it == by_offset_.begin()) return std::nullopt;
  --it;
  if (it->first + it->second != address) return std::nullopt;
  return Extent{it->first, it->second};
}

}  // namespace residency
