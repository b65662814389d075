#include "tests/core/table_model.h"

#include <algorithm>
#include <array>

#include "gtest/gtest.h"

namespace residency {

ResidencyState TableModel::StateOfCopy(const ModelCopy& copy) const {
  switch (pools_[copy.pool.value()]) {
    case Tier::kHbm:
      return ResidencyState::kS0FullHbm;
    case Tier::kDram:
      return ResidencyState::kS3Dram;
    case Tier::kNvme:
      return ResidencyState::kS4Nvme;
  }
  return ResidencyState::kS6Recomputable;
}

const TableModel::ModelLive* TableModel::LiveOf(BlockId block) const {
  for (const auto& [ticket, transition] : live) {
    if (transition.block == block) return &transition;
  }
  return nullptr;
}

bool TableModel::HasCopyIn(BlockId block, PoolId pool) const {
  return std::any_of(copies.begin(), copies.end(), [&](const auto& entry) {
    return entry.second.block == block && entry.second.pool == pool;
  });
}

bool TableModel::HasLive(BlockId block) const {
  return std::any_of(copies.begin(), copies.end(), [&](const auto& entry) {
    return entry.second.block == block && entry.second.status == CopyStatus::kLive;
  });
}

bool TableModel::HasGoodBytes(BlockId block) const {
  return std::any_of(copies.begin(), copies.end(), [&](const auto& entry) {
    const ModelCopy& copy = entry.second;
    return copy.block == block &&
           (copy.status == CopyStatus::kLive || copy.status == CopyStatus::kRetiring);
  });
}

bool TableModel::IsLastGood(SlotId slot) const {
  const BlockId block = copies.at(slot).block;
  if (blocks.at(block).recomputable()) return false;
  return std::none_of(copies.begin(), copies.end(), [&](const auto& entry) {
    return entry.first != slot && entry.second.block == block &&
           entry.second.status == CopyStatus::kLive;
  });
}

bool TableModel::MayRetire(SlotId slot) const {
  const ModelCopy& copy = copies.at(slot);
  const ModelLive* transition = LiveOf(copy.block);
  return copy.status == CopyStatus::kLive && copy.leases == 0 && !IsLastGood(slot) &&
         (transition == nullptr || transition->source != slot);
}

bool TableModel::MustRevive(SlotId slot) const {
  return copies.at(slot).status == CopyStatus::kRetiring && IsLastGood(slot);
}

bool TableModel::MayReclaim(SlotId slot) const {
  const ModelCopy& copy = copies.at(slot);
  const ModelLive* transition = LiveOf(copy.block);
  if (copy.leases > 0 || (transition != nullptr && transition->source == slot)) return false;
  if (copy.status == CopyStatus::kQuarantined) return true;
  return copy.status == CopyStatus::kRetiring && !IsLastGood(slot);
}

bool TableModel::IsLost(BlockId id) const {
  const ModelBlock& block = blocks.at(id);
  if (block.recomputable() || !block.had_bytes) return false;
  return std::none_of(copies.begin(), copies.end(), [&](const auto& entry) {
    return entry.second.block == id && entry.second.status != CopyStatus::kQuarantined;
  });
}

ResidencyState TableModel::Settled(BlockId block, const std::vector<SlotId>& drop) const {
  ResidencyState hottest = ResidencyState::kS6Recomputable;
  for (const auto& [slot, copy] : copies) {
    if (copy.block != block || copy.status != CopyStatus::kLive) continue;
    if (std::count(drop.begin(), drop.end(), slot) > 0) continue;
    hottest = std::min(hottest, StateOfCopy(copy));
  }
  return hottest;
}

std::optional<InFlight> TableModel::Flight(BlockId block) const {
  const ResidencyState from = Settled(block);
  ResidencyState to = from;
  if (const ModelLive* transition = LiveOf(block)) {
    to = std::min(Settled(block, transition->drop), StateOfCopy(copies.at(transition->add)));
  }
  for (const auto& [slot, copy] : copies) {
    if (copy.block == block && copy.status == CopyStatus::kCommitting) {
      to = std::min(to, StateOfCopy(copy));
    }
  }
  if (from == to) return std::nullopt;
  return InFlight{from, to};
}

void TableModel::Began(Ticket ticket, BlockId block, PoolId to, SlotId add, Generation generation,
                       SlotId source, std::vector<SlotId> drop) {
  EXPECT_EQ(copies.count(add), 0u) << "a slot in use was given out";
  copies[add] = {block, to, generation, CopyStatus::kArriving, 0};
  EXPECT_TRUE(live.try_emplace(ticket, ModelLive{block, add, source, std::move(drop)}).second)
      << "a ticket was used twice";
}

std::vector<SlotId> TableModel::Completed(Ticket ticket) {
  const ModelLive done = live.at(ticket);
  live.erase(ticket);
  ModelCopy& added = copies.at(done.add);
  const bool on_disk = pools_[added.pool.value()] == Tier::kNvme;
  added.status = on_disk ? CopyStatus::kCommitting : CopyStatus::kLive;
  blocks.at(done.block).had_bytes = true;
  std::vector<SlotId> retired;
  for (const SlotId slot : done.drop) {
    const auto it = copies.find(slot);
    if (it == copies.end() || it->second.block != done.block || !MayRetire(slot)) continue;
    it->second.status = CopyStatus::kRetiring;
    retired.push_back(slot);
  }
  return retired;
}

void TableModel::Failed(Ticket ticket) {
  copies.erase(live.at(ticket).add);
  live.erase(ticket);
}

void TableModel::ExpectBlockAgrees(const ResidencyTable& table, BlockId id) const {
  const ModelBlock& mine = blocks.at(id);
  const Block& theirs = table.block(id);
  size_t held = 0;
  uint32_t leases = 0;
  table.ForEachCopy(id, [&](SlotId slot, const Copy& copy) {
    ++held;
    const auto it = copies.find(slot);
    ASSERT_TRUE(it != copies.end()) << "slot " << slot << " should be free";
    EXPECT_EQ(it->second.block, id);
    EXPECT_EQ(it->second.pool, copy.pool);
    EXPECT_EQ(it->second.generation, copy.generation);
    EXPECT_EQ(Name(it->second.status), std::string(Name(copy.status))) << "slot " << slot;
    EXPECT_EQ(static_cast<uint32_t>(it->second.leases), copy.leases);
    leases += copy.leases;
  });
  const auto is_of_block = [&](const auto& entry) { return entry.second.block == id; };
  EXPECT_EQ(held, static_cast<size_t>(std::count_if(copies.begin(), copies.end(), is_of_block)));
  EXPECT_EQ(theirs.leases, leases);
  EXPECT_EQ(theirs.pins, static_cast<uint32_t>(mine.pins));
  EXPECT_EQ(theirs.CanRecompute(), mine.recomputable());
  EXPECT_EQ(theirs.live.valid(), LiveOf(id) != nullptr);
  EXPECT_EQ(table.SettledState(id), Settled(id));
  EXPECT_EQ(table.IsLost(id), IsLost(id));
  const auto flight = Flight(id);
  const auto flown = table.FlightOf(id);
  ASSERT_EQ(flown.has_value(), flight.has_value());
  EXPECT_EQ(table.State(id), flight ? ResidencyState::kS5InFlight : Settled(id));
  if (flight) {
    EXPECT_EQ(flown->from, flight->from);
    EXPECT_EQ(flown->to, flight->to);
    EXPECT_TRUE(IsLegalEdge(flight->from, flight->to));
  }
}

void TableModel::ExpectAgrees(const ResidencyTable& table) const {
  std::array<StateTotal, kStateCount> totals{};
  std::vector<uint64_t> leased(pools_.size());
  for (const auto& [id, block] : blocks) {
    SCOPED_TRACE(testing::Message() << "block " << id);
    ExpectBlockAgrees(table, id);
    if (testing::Test::HasFatalFailure()) return;
    const ResidencyState state = Flight(id) ? ResidencyState::kS5InFlight : Settled(id);
    totals[static_cast<int>(state)].blocks += 1;
    totals[static_cast<int>(state)].bytes += block.bytes.count();
  }
  for (const auto& [slot, copy] : copies) {
    if (copy.leases > 0) leased[copy.pool.value()] += table.copy(slot).length;
  }
  for (size_t p = 0; p < pools_.size(); ++p) {
    EXPECT_EQ(table.leased_bytes(PoolId(static_cast<uint16_t>(p))).count(), leased[p]);
  }
  for (int s = 0; s < kStateCount; ++s) {
    EXPECT_EQ(table.state_totals()[s].blocks, totals[s].blocks) << "S" << s;
    EXPECT_EQ(table.state_totals()[s].bytes, totals[s].bytes) << "S" << s;
  }
  EXPECT_EQ(table.live().size(), live.size());
}

}  // namespace residency
