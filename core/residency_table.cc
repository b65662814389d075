// Registration and reading; what moves is in residency_table_moves.cc.
#include "core/residency_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/check.h"
#include "core/residency_table_watch.h"
#include "core/strings.h"

namespace residency {
namespace {

constexpr size_t kNameBytesMax = 255;
constexpr int32_t kLayersMax = 1 << 14;
constexpr int32_t kExpertsMax = 1 << 16;
constexpr size_t kLayoutsMax = 1 << 12;
constexpr Bytes kBlockBytesMax = GiB(64);

}  // namespace

ResidencyTable::ResidencyTable(const std::vector<PoolOptions>& pools)
    : leased_bytes_(pools.size()) {
  for (const PoolOptions& options : pools) {
    RESIDENCY_CHECK(options.id.value() == pools_.size(), "pools must be numbered in order");
    pools_.push_back(std::make_unique<Pool>(options));
  }
  layouts_.emplace_back();
}

ModelId ResidencyTable::AddModel(DomainId domain, std::string_view name,
                                 std::string_view fingerprint) {
  const ModelId id(static_cast<uint32_t>(models_.size()));
  const auto [it, added] = model_ids_.try_emplace({domain, std::string(fingerprint)}, id);
  if (!added) return it->second;
  auto model = std::make_unique<Model>();
  model->id = id;
  model->domain = domain;
  model->name = std::string(name);
  model->fingerprint = std::string(fingerprint);
  models_.push_back(std::move(model));
  return id;
}

absl::Status ResidencyTable::ValidateSpec(const Model& model, const BlockSpec& spec) const {
  const auto wrong = [&](auto&&... what) {
    return absl::InvalidArgumentError(
        absl::StrCat("block \"", spec.name.substr(0, kNameBytesMax), "\": ", what...));
  };
  if (spec.name.empty() || spec.name.size() > kNameBytesMax) {
    return wrong("name: must have 1 to ", kNameBytesMax, " bytes, has ", spec.name.size());
  }
  if (spec.alias_of.valid()) {
    if (!Knows(spec.alias_of) || block(spec.alias_of).domain != model.domain) {
      return absl::NotFoundError(absl::StrCat("block \"", spec.name, "\": alias: no block ",
                                              spec.alias_of.value(), " in this domain"));
    }
    return absl::OkStatus();
  }
  if (spec.bytes.zero() || spec.bytes > kBlockBytesMax) {
    return wrong("bytes: must be 1 to ", kBlockBytesMax.count(), ", is ", spec.bytes.count());
  }
  if (spec.layer < -1 || spec.layer >= kLayersMax) {
    return wrong("layer: must be -1 to ", kLayersMax - 1, ", is ", spec.layer);
  }
  if (spec.expert < -1 || spec.expert >= kExpertsMax) {
    return wrong("expert: must be -1 to ", kExpertsMax - 1, ", is ", spec.expert);
  }
  for (const auto& [field, value] :
       {std::pair{"criticality", spec.criticality}, std::pair{"sensitivity", spec.sensitivity}}) {
    if (value.has_value() && !(*value >= 0 && *value <= 1)) {
      return wrong(field, ": must lie in [0, 1], is ", *value);
    }
  }
  if (spec.recipe.kind == RecipeKind::kFileRange &&
      spec.recipe.offset + spec.bytes.count() < spec.recipe.offset) {
    return wrong("recipe offset: ", spec.recipe.offset, " plus the size overflows");
  }
  if (spec.layout.size() > kNameBytesMax) return wrong("layout: longer than ", kNameBytesMax);
  return absl::OkStatus();
}

absl::StatusOr<BlockId> ResidencyTable::Renew(BlockId known, const BlockSpec& spec) {
  Block& block = blocks_[known.value()];
  if (block.bytes != spec.bytes || layouts_[block.layout] != spec.layout) {
    return absl::FailedPreconditionError(absl::StrCat(
        "block \"", spec.name, "\" is known with ", block.bytes.count(), " bytes and layout \"",
        layouts_[block.layout], "\", now registered with ", spec.bytes.count(), " and \"",
        spec.layout, "\": register it under another name or model fingerprint"));
  }
  if (block.checksum_known && spec.checksum && *spec.checksum != block.checksum) {
    return absl::FailedPreconditionError(
        absl::StrCat("block \"", spec.name, "\" is known with another checksum"));
  }
  if (spec.recipe.runnable()) {
    const Watch watch(*this, known);
    block.recipe = spec.recipe;
    block.recipe_broken = false;
  }
  return known;
}

absl::StatusOr<BlockId> ResidencyTable::AddBlock(ModelId model_id, const BlockSpec& spec) {
  Model& model = *models_[model_id.value()];
  if (absl::Status status = ValidateSpec(model, spec); !status.ok()) return status;
  if (const auto it = model.by_name.find(spec.name); it != model.by_name.end()) {
    if (!spec.alias_of.valid()) return Renew(it->second, spec);
    if (it->second == spec.alias_of) return it->second;
    return absl::FailedPreconditionError(
        absl::StrCat("block \"", spec.name, "\" is known already and is no alias of block ",
                     spec.alias_of.value()));
  }
  if (spec.alias_of.valid()) {
    model.by_name.emplace(ToAbsl(names_.Add(spec.name)), spec.alias_of);
    return spec.alias_of;
  }
  return Insert(model, spec);
}

BlockId ResidencyTable::Insert(Model& model, const BlockSpec& spec) {
  Block block;
  block.id = BlockId(static_cast<uint32_t>(blocks_.size()));
  block.model = model.id;
  block.domain = model.domain;
  block.bytes = spec.bytes;
  block.layer = spec.layer;
  block.expert = spec.expert;
  block.role = spec.role;
  block.element = spec.element;
  block.sensitivity_given = spec.sensitivity.has_value();
  block.criticality = spec.criticality.value_or(DefaultCriticality(spec.role));
  block.sensitivity = spec.sensitivity.value_or(DefaultSensitivity(spec.role));
  block.recipe = spec.recipe;
  block.checksum = spec.checksum.value_or(0);
  block.checksum_known = spec.checksum.has_value();
  block.name = names_.Add(spec.name);
  const auto layout = std::find(layouts_.begin(), layouts_.end(), spec.layout);
  block.layout = static_cast<uint16_t>(layout - layouts_.begin());
  // Past the bound a layout is kept as unknown, which only its engine notices.
  if (layout == layouts_.end() && layouts_.size() < kLayoutsMax) layouts_.push_back(spec.layout);
  if (block.layout >= layouts_.size()) block.layout = 0;

  const size_t row = static_cast<size_t>(spec.layer + 1);
  const size_t column = static_cast<size_t>(spec.expert + 1);
  if (row >= model.by_place.size()) model.by_place.resize(row + 1);
  if (column >= model.by_place[row].size()) model.by_place[row].resize(column + 1);
  block.next_sibling = std::exchange(model.by_place[row][column], block.id);

  model.by_name.emplace(ToAbsl(block.name), block.id);
  model.blocks.push_back(block.id);
  model.bytes += spec.bytes;
  StateTotal& total = totals_[static_cast<int>(ResidencyState::kS6Recomputable)];
  total.blocks += 1;
  total.bytes += spec.bytes.count();
  blocks_.push_back(block);
  return block.id;
}

void ResidencyTable::MarkHadBytes(BlockId id) {
  const Watch watch(*this, id);
  blocks_[id.value()].ever_had_bytes = true;
}

int ResidencyTable::BreakRecipes(FileId file) {
  int broken = 0;
  for (Block& block : blocks_) {
    if (block.recipe.kind != RecipeKind::kFileRange || block.recipe.file != file) continue;
    const Watch watch(*this, block.id);
    if (!block.recipe_broken) ++broken;
    block.recipe_broken = true;
    block.ever_had_bytes = true;
  }
  return broken;
}

absl::Status ResidencyTable::RestoreExtent(BlockId id, PoolId pool_id, Extent extent,
                                           Encoding encoding, uint64_t checksum) {
  if (!Knows(id)) return absl::NotFoundError(absl::StrCat("no block ", id.value()));
  if (!pool_id.valid() || pool_id.value() >= pools_.size()) {
    return absl::NotFoundError(absl::StrCat("block ", id.value(), " lies in pool ", pool_id.value(),
                                            ", which is not configured"));
  }
  Block& block = blocks_[id.value()];
  if (encoding == Encoding::kFull && Bytes(extent.length) != pool(pool_id).Footprint(block.bytes)) {
    return absl::InvalidArgumentError(absl::StrCat("block ", id.value(), " does not fill extent [",
                                                   extent.offset, ", +", extent.length, ")"));
  }
  const bool known_form = encoding == Encoding::kFull ||
                          (encoding == Encoding::kCompressed && ElementBytes(block.element) > 0);
  if (!known_form) {
    return absl::InvalidArgumentError(absl::StrCat("block ", id.value(), " of elements ",
                                                   Name(block.element), " has no ", Name(encoding),
                                                   " extent that it could be read from"));
  }
  if (CopyIn(id, pool_id, encoding).valid()) {
    return absl::AlreadyExistsError(absl::StrCat("block ", id.value(), " has a copy there"));
  }
  if (absl::Status status = pool(pool_id).Restore(extent); !status.ok()) return status;
  const Watch watch(*this, id);
  const SlotId slot = NewCopy(block, pool_id, extent, encoding, CopyStatus::kLive);
  copies_[slot].checksum = checksum;
  if (encoding == Encoding::kCompressed) block.compressed_pages = PagesOf(Bytes(extent.length));
  block.ever_had_bytes = true;
  if (encoding == Encoding::kFull) {
    block.checksum = checksum;
    block.checksum_known = true;
  }
  return absl::OkStatus();
}

ResidencyState ResidencyTable::HottestBesides(BlockId id, const std::vector<SlotId>& drop) const {
  ResidencyState hottest = ResidencyState::kS6Recomputable;
  ForEachCopy(id, [&](SlotId slot, const Copy& c) {
    if (c.status != CopyStatus::kLive) return;
    if (std::find(drop.begin(), drop.end(), slot) != drop.end()) return;
    hottest = std::min(hottest, StateOf(c));
  });
  return hottest;
}

ResidencyState ResidencyTable::SettledState(BlockId id) const { return HottestBesides(id, {}); }

std::optional<InFlight> ResidencyTable::FlightOf(BlockId id) const {
  const ResidencyState from = SettledState(id);
  ResidencyState to = from;
  if (const LiveTransition* live = Live(block(id).live)) {
    to = std::min(HottestBesides(id, live->drop), StateOf(copies_[live->add]));
  }
  ForEachCopy(id, [&](SlotId, const Copy& c) {
    if (c.status == CopyStatus::kCommitting) to = std::min(to, StateOf(c));
  });
  if (to == from) return std::nullopt;
  return InFlight{from, to};
}

ResidencyState ResidencyTable::State(BlockId id) const {
  return FlightOf(id) ? ResidencyState::kS5InFlight : SettledState(id);
}

bool ResidencyTable::IsLost(BlockId id) const {
  const Block& b = block(id);
  if (b.CanRecompute() || !b.ever_had_bytes || b.live.valid()) return false;
  bool held = false;
  ForEachCopy(id, [&](SlotId, const Copy& c) {
    held |= c.status != CopyStatus::kQuarantined && IsLossless(c.encoding);
  });
  return !held;
}

SlotId ResidencyTable::BestCopy(BlockId id, const AcceptMask& accept) const {
  SlotId best;
  ForEachCopy(id, [&](SlotId slot, const Copy& c) {
    if (c.status != CopyStatus::kLive || !accept.Accepts(StateOf(c), c.encoding)) return;
    if (!best.valid() || StateOf(c) < StateOf(copies_[best])) best = slot;
  });
  return best;
}

SlotId ResidencyTable::CopyIn(BlockId id, PoolId pool, Encoding encoding) const {
  SlotId found;
  ForEachCopy(id, [&](SlotId slot, const Copy& c) {
    if (c.pool == pool && c.encoding == encoding) found = slot;
  });
  return found;
}

bool ResidencyTable::HasLosslessBesides(BlockId id, SlotId besides) const {
  bool found = false;
  ForEachCopy(id, [&](SlotId slot, const Copy& c) {
    // A committing extent is written and synced, but a crash would forget it: it does not count.
    if (slot != besides && c.status == CopyStatus::kLive && IsLossless(c.encoding)) found = true;
  });
  return found;
}

SlotId ResidencyTable::LosslessIn(BlockId id, PoolId pool) const {
  SlotId found;
  ForEachCopy(id, [&](SlotId slot, const Copy& c) {
    if (c.pool == pool && c.status == CopyStatus::kLive && IsLossless(c.encoding)) found = slot;
  });
  return found;
}

SlotId ResidencyTable::ChooseSource(BlockId id, PoolId target, Encoding encoding) const {
  // What need not be turned into another encoding before what must; from memory before disk. A
  // device's copy is as cheap to read as a DRAM one only for what goes down.
  SlotId best;
  const auto cost = [&](const Copy& c) {
    const Tier from = pool(c.pool).tier();
    const int far = from == Tier::kDram ? 0 : from == Tier::kHbm ? 1 : 4;
    const bool as_is = c.encoding == encoding;
    return far + (as_is || c.encoding == Encoding::kFull ? 0 : 2) + (as_is ? 0 : 1);
  };
  ForEachCopy(id, [&](SlotId slot, const Copy& c) {
    if (c.status != CopyStatus::kLive || !IsLossless(c.encoding)) return;
    if (c.pool == target && c.encoding == encoding) return;
    if (!best.valid() || cost(c) < cost(copies_[best])) best = slot;
  });
  return best;
}

Suitability ResidencyTable::SuitsIn(BlockId id, PoolId to, Encoding encoding) const {
  const Pool& target = pool(to);
  if (encoding == Encoding::kLowbit && target.tier() != Tier::kHbm) return Suitability::kElements;
  return Suits(block(id), encoding, target.options().lowbit);
}

bool ResidencyTable::IsSourceOfLive(SlotId slot) const {
  const LiveTransition* live = Live(block(copies_[slot].block).live);
  return live != nullptr && live->source == slot;
}

const LiveTransition* ResidencyTable::Live(Ticket ticket) const {
  if (!ticket.valid()) return nullptr;
  const auto it = live_.find(ticket);
  return it == live_.end() ? nullptr : &it->second;
}

Lease* ResidencyTable::FindLease(LeaseId lease) {
  const auto it = leases_.find(lease);
  return it == leases_.end() ? nullptr : &it->second;
}

}  // namespace residency
