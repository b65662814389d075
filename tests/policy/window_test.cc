#include "policy/window.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace residency {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

WindowCell Held(uint64_t offset, uint64_t length, double cost, uint32_t slot) {
  return {{offset, length}, cost, SlotId(slot)};
}
WindowCell Free(uint64_t offset, uint64_t length) { return {{offset, length}, 0, SlotId()}; }

TEST(WindowTest, TakesTheCheapestRowOfNeighbours) {
  EXPECT_THAT(
      CheapestWindow(
          {Held(0, 10, 5, 0), Held(10, 10, 1, 1), Held(20, 10, 2, 2), Held(30, 10, 9, 3)}, 20),
      ElementsAre(SlotId(1), SlotId(2)));
}

TEST(WindowTest, FreeRunsBetweenCopiesAreUsed) {
  EXPECT_THAT(CheapestWindow({Held(0, 10, 3, 0), Free(10, 15), Held(40, 30, 4, 1)}, 25),
              ElementsAre(SlotId(0)));
}

TEST(WindowTest, AGapEndsARow) {
  EXPECT_THAT(CheapestWindow({Held(0, 10, 1, 0), Held(11, 10, 1, 1)}, 20), IsEmpty());
}

TEST(WindowTest, NothingGoesWhereAFreeRunIsEnough) {
  EXPECT_THAT(CheapestWindow({Held(0, 10, 1, 0), Free(10, 20)}, 20), IsEmpty());
}

TEST(WindowTest, AgreesWithTryingEveryRow) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::vector<WindowCell> cells;
    uint64_t at = 0;
    for (uint32_t i = 0; i < 12; ++i) {
      at += random() % 4 == 0 ? 1 : 0;
      const uint64_t length = 1 + random() % 9;
      cells.push_back(random() % 3 == 0 ? Free(at, length)
                                        : Held(at, length, 1 + random() % 100, i));
      at += length;
    }
    const uint64_t wanted = 1 + random() % 25;
    double best = std::numeric_limits<double>::infinity();
    for (size_t l = 0; l < cells.size(); ++l) {
      uint64_t span = 0;
      double cost = 0;
      for (size_t r = l; r < cells.size(); ++r) {
        if (r > l && cells[r - 1].extent.end() != cells[r].extent.offset) break;
        span += cells[r].extent.length;
        cost += cells[r].cost;
        if (span >= wanted) best = std::min(best, cost);
      }
    }
    double got = 0;
    const std::vector<SlotId> slots = CheapestWindow(cells, wanted);
    for (const SlotId slot : slots) got += cells[slot.value()].cost;
    if (best == std::numeric_limits<double>::infinity()) {
      EXPECT_THAT(slots, IsEmpty());
    } else {
      EXPECT_DOUBLE_EQ(got, best);
    }
  }
}

}  // namespace
}  // namespace residency
