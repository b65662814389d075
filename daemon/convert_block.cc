#include "daemon/convert_block.h"

#include <array>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "core/strings.h"
#include "daemon/convert.h"

namespace residency {
namespace {

std::string DescribeRecipe(const Block& block, const FileNames& files) {
  const char* const broken = block.recipe_broken ? " (its file is not the one it was)" : "";
  switch (block.recipe.kind) {
    case RecipeKind::kFileRange: {
      std::string file = files ? files(block.recipe.file) : std::string();
      if (file.empty()) file = absl::StrCat("file ", block.recipe.file.value());
      return absl::StrCat("file_range ", file, " @ ", block.recipe.offset, broken);
    }
    case RecipeKind::kSynthetic:
      return "synthetic";
    case RecipeKind::kNone:
      break;
  }
  return "none";
}

void DescribeCopies(const ResidencyTable& table, BlockId id, v1::BlockInfo& info) {
  table.ForEachCopy(id, [&](SlotId slot, const Copy& copy) {
    const Pool& pool = table.pool(copy.pool);
    v1::CopyInfo& proto = *info.add_copies();
    proto.set_slot(slot.value());
    proto.set_generation(copy.generation.value());
    proto.set_pool_id(copy.pool.value());
    proto.set_pool(pool.options().name);
    proto.set_tier(ToProto(pool.tier()));
    proto.set_encoding(ToProto(copy.encoding));
    proto.set_status(Name(copy.status));
    proto.set_offset(copy.offset);
    proto.set_length(copy.length);
    proto.set_checksum(copy.checksum);
    proto.set_leases(copy.leases);
  });
}

// In which encodings the block may be held, and what was measured to decide that.
void DescribeEncodings(const ResidencyTable& table, const Block& block, v1::BlockInfo& info) {
  info.set_element_type(ToProto(block.element));
  LowbitFormat format = LowbitFormat::kInt8;
  for (const auto& pool : table.pools()) {
    if (pool->tier() == Tier::kHbm) format = pool->options().lowbit;
  }
  info.set_lowbit(Explain(Suits(block, Encoding::kLowbit, format)));
  info.set_compressed(Explain(Suits(block, Encoding::kCompressed, format)));
  if (!block.facts.measured) return;
  info.set_lowbit_error(block.facts.lowbit_error);
  const Bytes compressed = EncodedBytes(block, Encoding::kCompressed, format);
  info.set_compression_ratio(static_cast<float>(static_cast<double>(block.bytes.count()) /
                                                static_cast<double>(compressed.count())));
}

}  // namespace

v1::BlockInfo DescribeBlock(const Controller& controller, BlockId id, const FileNames& files) {
  const ResidencyTable& table = controller.state().table;
  const Block& block = table.block(id);
  v1::BlockInfo info;
  info.set_block_id(id.value());
  info.set_name(std::string(block.name));
  info.set_model_id(block.model.value());
  info.set_model(table.model(block.model).name);
  info.set_bytes(block.bytes.count());
  info.set_layer(block.layer);
  info.set_expert(block.expert);
  info.set_role(ToProto(block.role));
  info.set_state(ToProto(table.State(id)));
  if (const auto flight = table.FlightOf(id)) {
    info.set_in_flight_from(ToProto(flight->from));
    info.set_in_flight_to(ToProto(flight->to));
  }
  DescribeCopies(table, id, info);
  info.set_recipe(DescribeRecipe(block, files));
  info.set_leases(block.leases);
  info.set_pins(block.pins);
  info.set_lost(table.IsLost(id));
  info.set_criticality(block.criticality);
  info.set_sensitivity(block.sensitivity);
  info.set_layout(table.layout(block));
  info.set_domain(block.domain.value());
  DescribeEncodings(table, block, info);
  return info;
}

v1::Score ToProto(const Score& score) {
  v1::Score proto;
  const Terms& t = score.terms;
  const struct {
    const char* name;
    double value;
    double activity;
  } terms[] = {{"rho", t.rho, 1},
               {"lambda", t.lambda, 1},
               {"kappa", t.kappa, t.activity},
               {"psi", t.psi, t.activity}};
  for (size_t i = 0; i < score.weights.size(); ++i) {
    v1::ScoreTerm& term = *proto.add_terms();
    term.set_name(terms[i].name);
    term.set_value(terms[i].value);
    term.set_weight(score.weights[i]);
    term.set_activity(terms[i].activity);
    term.set_contribution(score.contributions[i]);
  }
  proto.set_numerator(score.numerator);
  proto.set_alpha(score.alpha);
  proto.set_delta_us(score.cost_us.delta_us);
  proto.set_beta(score.beta);
  proto.set_tau_us(score.cost_us.tau_us);
  proto.set_cost_unit_us(score.cost_unit_us);
  proto.set_cost_unfloored(score.cost_unfloored);
  proto.set_cost(score.cost);
  proto.set_cost_floored(score.floored);
  proto.set_r(score.r);
  proto.set_restore_us(score.restore_us);
  proto.set_bytes(static_cast<uint64_t>(score.bytes));
  proto.set_k(score.k);
  return proto;
}

v1::Decision DescribeDecision(const Controller& controller, const Decision& decision,
                              TimePoint now) {
  v1::Decision proto;
  proto.set_tick(decision.tick);
  proto.set_age_us(now > decision.at ? (now - decision.at).count() : 0);
  // A decision that took no score has no bytes.
  if (decision.score.bytes > 0) *proto.mutable_score() = ToProto(decision.score);
  proto.set_threshold(decision.threshold);
  proto.set_k_victim(decision.k_victim);
  proto.set_hysteresis(decision.hysteresis);
  proto.set_pool_pressure(decision.pool_pressure);
  proto.set_from(ToProto(decision.from));
  proto.set_to(ToProto(decision.to));
  proto.set_verdict(Name(decision.verdict));
  proto.set_reason(decision.verdict == Verdict::kVeto ? Name(decision.veto) : decision.reason);
  if (controller.state().table.Knows(decision.competing)) {
    proto.set_competing_block_id(decision.competing.value());
    proto.set_competing_block(QualifiedName(controller, decision.competing));
  }
  return proto;
}

std::string QualifiedName(const Controller& controller, BlockId id) {
  const ResidencyTable& table = controller.state().table;
  const Block& block = table.block(id);
  return absl::StrCat(table.model(block.model).name, "/", ToAbsl(block.name));
}

}  // namespace residency
