// Random work on a residency table beside an independent model of it, compared after every step.
#include <map>
#include <random>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/residency_table.h"
#include "gtest/gtest.h"
#include "tests/core/table_model.h"

namespace residency {
namespace {

constexpr uint64_t kPage = 4096;
constexpr PoolId kDisk(3);
constexpr Recipe kSupply{.kind = RecipeKind::kSynthetic, .file = FileId(), .offset = 0, .seed = 1};

PoolOptions PoolOf(uint16_t id, Tier tier, uint64_t pages) {
  return {.id = PoolId(id),
          .tier = tier,
          .name = absl::StrCat(Name(tier), id),
          .capacity = Bytes(pages * kPage),
          .segment_bytes = Bytes(8 * kPage),
          .alignment = Bytes(kPage),
          .domain_segments = tier != Tier::kNvme};
}

class TableWork {
 public:
  explicit TableWork(uint64_t seed)
      : rng_(seed),
        table_({PoolOf(0, Tier::kHbm, 32), PoolOf(1, Tier::kHbm, 16), PoolOf(2, Tier::kDram, 48),
                PoolOf(3, Tier::kNvme, 64)}),
        model_({Tier::kHbm, Tier::kHbm, Tier::kDram, Tier::kNvme}) {
    for (uint32_t domain = 0; domain < 2; ++domain) {
      models_.push_back(table_.AddModel(DomainId(domain), "m", "fingerprint"));
    }
    for (int i = 0; i < 6; ++i) Register();
  }

  void Step() {
    std::vector<BlockId> safe;
    for (const auto& [id, block] : model_.blocks) {
      if (!block.recomputable() && model_.HasGoodBytes(id)) safe.push_back(id);
    }
    const bool may_lose = Act();
    if (testing::Test::HasFatalFailure()) return;
    model_.ExpectAgrees(table_);
    table_.CheckInvariants();
    ASSERT_EQ(table_.stale_tickets(), stale_);
    if (may_lose) return;
    for (const BlockId id : safe) {
      ASSERT_TRUE(model_.HasGoodBytes(id)) << "the last bytes of block " << id << " were dropped";
    }
  }

 private:
  // Returns whether good bytes may be gone: only where a copy was found bad.
  bool Act() {
    switch (rng_() % 20) {
      case 0:
        if (model_.blocks.size() < 24) Register();
        return false;
      case 1:
      case 2:
      case 3:
      case 4:
        Begin();
        return false;
      case 5:
      case 6:
      case 7:
        EndOne();
        return false;
      case 8:
        EndStale();
        return false;
      case 9:
        CommitOne();
        return false;
      case 10:
      case 11:
        RetireOne();
        return false;
      case 12:
      case 13:
        ReclaimOne();
        return false;
      case 14:
        StillHeldOne();
        return false;
      case 15:
        if (rng_() % 3 == 0) QuarantineOne();
        return true;
      case 16:
        Grant();
        return false;
      case 17:
        EndLease();
        return false;
      case 18:
        PinOne();
        return false;
      default:
        if (rng_() % 5 == 0) BreakOrRenew();
        return false;
    }
  }

  BlockId AnyBlock() {
    auto it = model_.blocks.begin();
    std::advance(it, rng_() % model_.blocks.size());
    return it->first;
  }
  SlotId AnySlot() {
    if (model_.copies.empty()) return SlotId();
    auto it = model_.copies.begin();
    std::advance(it, rng_() % model_.copies.size());
    return it->first;
  }

  BlockSpec SpecOf(size_t number, bool recipe, Bytes bytes) {
    BlockSpec spec;
    spec.name = absl::StrCat("b", number);
    spec.bytes = bytes;
    spec.layer = static_cast<int32_t>(number % 5);
    spec.expert = static_cast<int32_t>(number % 3);
    if (recipe) {
      spec.recipe = {
          .kind = RecipeKind::kFileRange, .file = FileId(number % 4), .offset = 1, .seed = 0};
    }
    return spec;
  }

  void Register() {
    const size_t number = model_.blocks.size();
    const bool recipe = rng_() % 2 == 0;
    const Bytes bytes(1 + rng_() % (4 * kPage));
    const auto id = table_.AddBlock(models_[number % 2], SpecOf(number, recipe, bytes));
    ASSERT_TRUE(id.ok()) << id.status();
    ASSERT_EQ(id->value(), number);
    model_.blocks[*id] = {.bytes = bytes, .recipe = recipe};
  }

  void Begin() {
    Transition transition;
    transition.block = AnyBlock();
    transition.to = PoolId(rng_() % 4);
    transition.purpose = rng_() % 2 == 0 ? Purpose::kDemand : Purpose::kBackground;
    if (rng_() % 4 == 0) transition.supply = kSupply;
    for (const auto& [slot, copy] : model_.copies) {
      if (copy.block == transition.block && rng_() % 3 == 0) transition.drop.push_back(slot);
    }
    const BlockId block = transition.block;
    const auto& known = model_.blocks.at(block);
    bool allowed = model_.LiveOf(block) == nullptr && !model_.HasCopyIn(block, transition.to) &&
                   (model_.HasLive(block) || known.recomputable() || transition.supply);
    for (const SlotId slot : transition.drop) {
      allowed &= model_.copies.at(slot).status == CopyStatus::kLive;
    }
    const bool room =
        table_.pool(transition.to)
            .WouldFit(table_.block(block).domain, known.bytes, transition.purpose, {});
    const auto spec = table_.Begin(transition);
    if (!allowed) {
      ASSERT_EQ(spec.status().code(), absl::StatusCode::kFailedPrecondition);
      return;
    }
    ASSERT_EQ(spec.ok(), room) << spec.status();
    if (!room) {
      ASSERT_EQ(spec.status().code(), absl::StatusCode::kResourceExhausted);
      return;
    }
    NoteBegun(transition, *spec);
  }

  void NoteBegun(const Transition& transition, const TransferSpec& spec) {
    const LiveTransition& live = *table_.Live(spec.ticket);
    const Copy& add = table_.copy(live.add);
    const auto before = generations_.find(live.add);
    if (before != generations_.end()) {
      ASSERT_GT(add.generation, before->second) << "a slot was reused under an old generation";
    }
    generations_[live.add] = add.generation;
    // Anything leased stays where it is: no two extents of a pool overlap, by CheckInvariants.
    if (transition.supply) {
      ASSERT_FALSE(live.source.valid());
    } else if (model_.HasLive(transition.block)) {
      ASSERT_TRUE(live.source.valid()) << "a copy is nearer than any recipe";
      ASSERT_EQ(model_.copies.at(live.source).status, CopyStatus::kLive);
      ASSERT_EQ(model_.copies.at(live.source).block, transition.block);
    }
    ASSERT_EQ(spec.target.extent.length, RoundUp(spec.bytes, Bytes(kPage)).count());
    model_.Began(spec.ticket, transition.block, transition.to, live.add, add.generation,
                 live.source, transition.drop);
    tickets_.push_back(spec.ticket);
  }

  void EndOne() {
    if (model_.live.empty()) return;
    auto it = model_.live.begin();
    std::advance(it, rng_() % model_.live.size());
    const Ticket ticket = it->first;
    if (rng_() % 4 == 0) {
      const auto failed = table_.Fail(ticket);
      ASSERT_TRUE(failed.has_value());
      ASSERT_EQ(failed->block, it->second.block);
      model_.Failed(ticket);
      return;
    }
    const BlockId block = it->second.block;
    const ResidencyState before = model_.Settled(block);
    const auto done = table_.Complete({.ticket = ticket, .status = {}, .checksum = 7}, Now());
    ASSERT_TRUE(done.has_value());
    ASSERT_EQ(done->retired, model_.Completed(ticket));
    ASSERT_EQ(done->change.from, before);
    ASSERT_EQ(done->change.to, model_.Settled(block));
    ASSERT_EQ(done->needs_commit, table_.copy(done->slot).pool == kDisk);
  }

  // Tickets that ended, or never were, change nothing.
  void EndStale() {
    Ticket ticket(1'000'000);
    if (!tickets_.empty() && rng_() % 4 != 0) ticket = tickets_[rng_() % tickets_.size()];
    if (model_.live.count(ticket) > 0) return;
    if (rng_() % 2 == 0) {
      ASSERT_FALSE(
          table_.Complete({.ticket = ticket, .status = {}, .checksum = 9}, Now()).has_value());
    } else {
      ASSERT_FALSE(table_.Fail(ticket).has_value());
    }
    table_.MarkCancelling(ticket);
    table_.Reclassify(ticket, LinkClass::kDemand);
    ++stale_;
  }

  // Of the present copy, or sometimes of one long gone.
  Generation SomeGeneration(SlotId slot) {
    const Generation now = model_.copies.at(slot).generation;
    return rng_() % 5 == 0 ? Generation(now.value() - 1) : now;
  }

  void CommitOne() {
    for (auto& [slot, copy] : model_.copies) {
      if (copy.status != CopyStatus::kCommitting) continue;
      if (rng_() % 6 == 0) {
        table_.Abandon(slot);
        model_.copies.erase(slot);
        return;
      }
      const Generation generation = SomeGeneration(slot);
      const auto change = table_.Committed(slot, generation, Now());
      ASSERT_EQ(change.has_value(), generation == copy.generation);
      if (change) copy.status = CopyStatus::kLive;
      return;
    }
    const SlotId slot = AnySlot();
    if (!slot.valid()) return;
    ASSERT_FALSE(table_.Committed(slot, model_.copies.at(slot).generation, Now()).has_value());
  }

  void RetireOne() {
    const SlotId slot = AnySlot();
    if (!slot.valid()) return;
    const bool allowed = model_.MayRetire(slot);
    const absl::Status status = table_.Retire(slot);
    ASSERT_EQ(status.ok(), allowed) << status;
    if (allowed) model_.copies.at(slot).status = CopyStatus::kRetiring;
  }

  void ReclaimOne() {
    const SlotId slot = AnySlot();
    if (!slot.valid()) return;
    auto& copy = model_.copies.at(slot);
    const Generation generation = SomeGeneration(slot);
    const bool same = generation == copy.generation;
    const bool allowed = same && model_.MayReclaim(slot);
    const bool revive = same && model_.MustRevive(slot);
    const BlockId block = copy.block;
    const auto change = table_.Reclaim(slot, generation);
    ASSERT_EQ(change.has_value(), allowed);
    if (revive) copy.status = CopyStatus::kLive;
    if (!allowed) return;
    ASSERT_EQ(copy.leases, 0) << "a leased copy was dropped";
    model_.copies.erase(slot);
    ASSERT_EQ(change->to, model_.Settled(block));
    ASSERT_LE(change->from, change->to) << "a drop can't promote";
  }

  void StillHeldOne() {
    const SlotId slot = AnySlot();
    if (!slot.valid()) return;
    auto& copy = model_.copies.at(slot);
    const Generation generation = SomeGeneration(slot);
    const bool going = copy.status == CopyStatus::kRetiring && generation == copy.generation;
    ASSERT_EQ(table_.StillHeld(slot, generation), going);
    if (going) copy.status = CopyStatus::kLive;
  }

  void QuarantineOne() {
    const SlotId slot = AnySlot();
    if (!slot.valid()) return;
    auto& copy = model_.copies.at(slot);
    const bool allowed = copy.status == CopyStatus::kLive || copy.status == CopyStatus::kRetiring;
    const std::vector<LeaseId> held = table_.Quarantine(slot);
    ASSERT_EQ(held.size(), allowed ? static_cast<size_t>(copy.leases) : 0u);
    for (const LeaseId lease : held) ASSERT_TRUE(table_.FindLease(lease)->revoked);
    if (allowed) copy.status = CopyStatus::kQuarantined;
  }

  void Grant() {
    const SlotId slot = AnySlot();
    if (!slot.valid()) return;
    auto& copy = model_.copies.at(slot);
    const SessionId session(rng_() % 3);
    const auto lease = table_.Grant(session, slot, static_cast<LeaseMode>(rng_() % 3), Now());
    ASSERT_EQ(lease.ok(), copy.status == CopyStatus::kLive) << lease.status();
    if (!lease.ok()) return;
    ++copy.leases;
    ASSERT_TRUE(leases_.try_emplace(*lease, std::pair(session, slot)).second);
  }

  void EndLease() {
    if (leases_.empty()) {
      ASSERT_FALSE(table_.EndLease(SessionId(0), LeaseId(12345)));
      return;
    }
    auto it = leases_.begin();
    std::advance(it, rng_() % leases_.size());
    const auto [session, slot] = it->second;
    ASSERT_FALSE(table_.EndLease(SessionId(99), it->first)) << "another session's lease";
    const Lease* lease = table_.FindLease(it->first);
    ASSERT_NE(lease, nullptr);
    ASSERT_EQ(lease->generation, model_.copies.at(slot).generation) << "the copy is another one";
    ASSERT_TRUE(table_.EndLease(session, it->first));
    ASSERT_FALSE(table_.EndLease(session, it->first)) << "ended twice";
    --model_.copies.at(slot).leases;
    leases_.erase(it);
  }

  void PinOne() {
    const BlockId block = AnyBlock();
    int& pins = model_.blocks.at(block).pins;
    if (rng_() % 2 == 0) {
      table_.Pin(block);
      ++pins;
    } else {
      table_.Unpin(block);
      pins = std::max(0, pins - 1);
    }
  }

  void BreakOrRenew() {
    if (rng_() % 2 == 0) {
      const FileId file(rng_() % 4);
      int broken = 0;
      for (auto& [id, block] : model_.blocks) {
        if (!block.recipe || id.value() % 4 != file.value()) continue;
        broken += block.broken ? 0 : 1;
        block.broken = true;
        block.had_bytes = true;
      }
      ASSERT_EQ(table_.BreakRecipes(file), broken);
      return;
    }
    const BlockId id = AnyBlock();
    auto& block = model_.blocks.at(id);
    if (!block.recipe) return;
    const auto renewed =
        table_.AddBlock(models_[id.value() % 2], SpecOf(id.value(), true, block.bytes));
    ASSERT_TRUE(renewed.ok()) << renewed.status();
    ASSERT_EQ(*renewed, id) << "a known block got another number";
    block.broken = false;
  }

  TimePoint Now() { return TimePoint(Micros(++now_)); }

  std::mt19937_64 rng_;
  ResidencyTable table_;
  TableModel model_;
  std::vector<ModelId> models_;
  std::vector<Ticket> tickets_;
  std::map<SlotId, Generation> generations_;
  std::map<LeaseId, std::pair<SessionId, SlotId>> leases_;
  uint64_t stale_ = 0;
  int64_t now_ = 0;
};

TEST(ResidencyTablePropertyTest, AgreesWithAnIndependentModelUnderRandomWork) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    TableWork work(seed);
    for (int step = 0; step < 500; ++step) {
      SCOPED_TRACE(testing::Message() << "step " << step);
      work.Step();
      if (testing::Test::HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace residency
