#include "policy/victim_order.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "gtest/gtest.h"

namespace residency {
namespace {

TEST(VictimOrderTest, AnEmptyOrderHasNoThreshold) {
  const VictimOrder order;
  EXPECT_EQ(order.LowestK(), 0);
  EXPECT_EQ(order.KOf(SlotId(1)), std::nullopt);
}

TEST(VictimOrderTest, EqualKLeavesInSlotOrder) {
  VictimOrder order;
  for (const uint32_t slot : {5u, 2u, 9u}) order.Update(SlotId(slot), 0.5);
  std::vector<uint32_t> slots;
  for (const auto& [k, slot] : order.ascending()) slots.push_back(slot.value());
  EXPECT_EQ(slots, (std::vector<uint32_t>{2, 5, 9}));
}

TEST(VictimOrderTest, AgreesWithASortedModelUnderRandomChanges) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 rng(seed);
    VictimOrder order;
    std::map<uint32_t, double> model;
    for (int i = 0; i < 2000; ++i) {
      const uint32_t slot = rng() % 60;
      if (rng() % 3 == 0) {
        order.Remove(SlotId(slot));
        model.erase(slot);
      } else {
        const double k = static_cast<double>(rng() % 20) / 7;
        order.Update(SlotId(slot), k);
        model[slot] = k;
      }
      ASSERT_EQ(order.size(), model.size());
      std::vector<VictimOrder::Entry> expected;
      for (const auto& [s, k] : model) {
        expected.push_back({k, SlotId(s)});
        ASSERT_EQ(order.KOf(SlotId(s)), k);
      }
      std::sort(expected.begin(), expected.end());
      ASSERT_TRUE(std::equal(expected.begin(), expected.end(), order.ascending().begin(),
                             order.ascending().end()));
      ASSERT_EQ(order.LowestK(), expected.empty() ? 0 : expected.front().first);
    }
  }
}

TEST(VictimOrderDeathTest, ANumberThatIsNoneCannotBeOrdered) {
  VictimOrder order;
  EXPECT_DEATH(order.Update(SlotId(1), std::nan("")), "not a number");
}

}  // namespace
}  // namespace residency
