#include "tests/policy/transcript_text.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/strings.h"

namespace residency {
namespace {

std::string Place(const CopyPlace& place, const ControllerState& state) {
  return absl::StrCat(state.table.pool(place.pool).options().name, "+",
                      FormatBytes(Bytes(place.extent.offset)));
}

std::string Ids(const std::vector<LeaseId>& leases) {
  return absl::StrJoin(leases, " ",
                       [](std::string* out, LeaseId id) { absl::StrAppend(out, "l", id.value()); });
}

std::string Millis(Micros us) {
  return absl::StrFormat("%.3fms", static_cast<double>(us.count()) / 1000);
}

struct Tell {
  const ControllerState& state;

  std::string operator()(const StartTransfer& c) const {
    std::string from = "recipe";
    if (const auto* copy = std::get_if<CopySource>(&c.spec.source)) {
      from = Place(copy->place, state);
    } else if (const Recipe& recipe = std::get<Recipe>(c.spec.source);
               recipe.kind == RecipeKind::kFileRange) {
      from = absl::StrCat("file ", recipe.file.value());
    }
    return absl::StrCat("start t", c.spec.ticket.value(), " ", BlockName(c.spec.block, state), ": ",
                        from, " -> ", Place(c.spec.target, state), ", ", Name(c.spec.cls));
  }
  std::string operator()(const CancelTransfer& c) const {
    return absl::StrCat("cancel t", c.ticket.value());
  }
  std::string operator()(const ReclassifyTransfer& c) const {
    return absl::StrCat("reclassify t", c.ticket.value(), " ", Name(c.cls));
  }
  std::string operator()(const ReclaimCopy& c) const {
    return absl::StrCat("reclaim ", BlockName(state.table.copy(c.slot).block, state), "@",
                        Place(c.place, state));
  }
  std::string operator()(const SendHint& c) const {
    return absl::StrCat("hint to ", c.session.value(), ": ", std::visit(*this, c.hint));
  }
  std::string operator()(const PromotedHint& h) const {
    return absl::StrCat(BlockName(h.block, state), " promoted to ", Name(h.state));
  }
  std::string operator()(const ArrivingHint& h) const {
    return absl::StrCat(BlockName(h.block, state), " arrives in ", Millis(h.eta));
  }
  std::string operator()(const RecallHint& h) const {
    return absl::StrCat("recall ", Ids(h.leases));
  }
  std::string operator()(const RevokedHint& h) const {
    return absl::StrCat("revoked ", Ids(h.leases), ": ", h.reason);
  }
  std::string operator()(const ServeLowbitHint& h) const {
    return absl::StrCat("serve ", BlockName(h.block, state), " low-bit");
  }
  std::string operator()(const Persist& c) const {
    return absl::StrCat("persist ", std::visit(*this, c.row));
  }
  std::string operator()(const PersistModel& r) const {
    return absl::StrCat("model ", r.model.value());
  }
  std::string operator()(const PersistBlock& r) const {
    return absl::StrCat("block ", BlockName(r.block, state));
  }
  std::string operator()(const PersistAlias& r) const { return absl::StrCat("alias ", r.name); }
  std::string operator()(const PersistChecksum& r) const {
    return absl::StrCat("checksum of ", BlockName(r.block, state));
  }
  std::string operator()(const PersistExtent& r) const {
    return absl::StrCat("extent ", BlockName(r.block, state), "@", Place(r.place, state));
  }
  std::string operator()(const EraseExtent& r) const {
    return absl::StrCat("no extent at ", Place(r.place, state));
  }
  std::string operator()(const Reply& c) const {
    const std::string to = absl::StrCat("reply r", c.request.value(), ": ");
    if (!c.status.ok()) return absl::StrCat(to, c.status.ToString());
    return absl::StrCat(to, std::visit(*this, c.body));
  }
  std::string operator()(std::monostate) const { return "ok"; }
  std::string operator()(const AttachedBody& b) const {
    return absl::StrCat("attached, ", b.known_blocks, " blocks known");
  }
  std::string operator()(const RegisteredBody& b) const {
    return absl::StrCat("registered ", b.blocks.size(), " blocks, ", b.recipes_renewed,
                        " recipes renewed");
  }
  std::string operator()(const GrantedBody& b) const {
    std::string text = "granted";
    for (const GrantedLease& g : b.leases) {
      absl::StrAppend(&text, " l", g.lease.value(), "=", BlockName(g.block, state), "@",
                      Place(g.place, state), " (from ", Name(g.served_from), ")");
    }
    return absl::StrCat(text, " after ", Millis(b.leases.empty() ? Micros(0) : b.leases[0].stall));
  }
  std::string operator()(const ReleasedBody& b) const {
    return absl::StrCat("released, ", b.unknown, " unknown");
  }
  std::string operator()(const MovedBody& b) const { return absl::StrCat("ok, ", Name(b.state)); }
  std::string operator()(const DrainedBody& b) const {
    return absl::StrCat("draining, ", b.leases_held, " leases held");
  }
};

}  // namespace

std::string BlockName(BlockId block, const ControllerState& state) {
  if (!state.table.Knows(block)) return "none";
  return std::string(state.table.block(block).name);
}

std::string TextOf(const Command& command, const ControllerState& state) {
  return std::visit(Tell{state}, command);
}

bool WorthTelling(const Command& command) {
  const auto* persist = std::get_if<Persist>(&command);
  return persist == nullptr || std::holds_alternative<PersistExtent>(persist->row) ||
         std::holds_alternative<EraseExtent>(persist->row);
}

std::string StandingOf(BlockId block, const ControllerState& state) {
  std::string text = Name(state.table.State(block));
  if (const auto flight = state.table.FlightOf(block)) {
    absl::StrAppend(&text, " (", Name(flight->from), " -> ", Name(flight->to), ")");
  }
  if (state.table.IsLost(block)) absl::StrAppend(&text, " lost");
  if (state.table.block(block).pins > 0) absl::StrAppend(&text, " pinned");
  return text;
}

std::string CopiesOf(BlockId block, const ControllerState& state) {
  std::vector<std::string> copies;
  state.table.ForEachCopy(block, [&](SlotId, const Copy& c) {
    const auto& pool = state.table.pool(c.pool);
    copies.push_back(absl::StrCat(Place(pool.PlaceOf(c.extent()), state), " ", Name(c.status),
                                  c.leases > 0 ? absl::StrCat(" leases=", c.leases) : ""));
  });
  std::sort(copies.begin(), copies.end());
  return absl::StrJoin(copies, ", ");
}

std::string TextOf(const Decision& d, const ControllerState& state) {
  const Score& s = d.score;
  std::string verdict = Name(d.verdict);
  if (d.verdict == Verdict::kVeto) absl::StrAppend(&verdict, " ", Name(d.veto));
  const char* kTerms[] = {"rho", "lambda", "kappa", "psi"};
  const double values[] = {s.terms.rho, s.terms.lambda, s.terms.kappa, s.terms.psi};
  std::string text = absl::StrFormat("tick %d: %s %s -> %s, %s", d.tick, verdict, Name(d.from),
                                     Name(d.to), d.reason);
  if (d.competing.valid()) absl::StrAppend(&text, ", against ", BlockName(d.competing, state));
  absl::StrAppend(&text, "\n  N =");
  for (int i = 0; i < 4; ++i) {
    absl::StrAppendFormat(&text, "%s %.2f*%s%.3f[%.4f]", i == 0 ? "" : " +", s.weights[i],
                          i < 2 ? "" : absl::StrFormat("%.3f*", s.terms.activity), values[i],
                          s.contributions[i]);
    absl::StrAppend(&text, kTerms[i]);
  }
  absl::StrAppendFormat(&text, " = %.4f", s.numerator);
  absl::StrAppendFormat(&text, "\n  R = N / %.4f%s = %.4f; K = N * %.1fus / %.0fB = %.6g", s.cost,
                        s.floored ? " (floored)" : "", s.r, s.restore_us, s.bytes, s.k);
  absl::StrAppendFormat(&text, "\n  threshold %.6g, K_victim %.6g, h %.2f, pressure %.2f",
                        d.threshold, d.k_victim, d.hysteresis, d.pool_pressure);
  return text;
}

}  // namespace residency
