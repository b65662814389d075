// The operator's side of a story, time, faults, and what is shown.
#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "tests/policy/transcript.h"
#include "tests/policy/transcript_text.h"

namespace residency {
namespace {

TransferFailure FailureOf(const std::string& word) {
  if (word == "corrupt") return TransferFailure::kSourceCorrupt;
  if (word == "changed") return TransferFailure::kSourceChanged;
  if (word == "source") return TransferFailure::kSourceError;
  EXPECT_EQ(word, "target");
  return TransferFailure::kTargetError;
}

}  // namespace

void Transcript::Pin(const Line& line) {
  PostAndStep(OperatorPin{node_->NextRequest(), BlockOf(line.word(0)), true});
}

void Transcript::Unpin(const Line& line) {
  PostAndStep(OperatorPin{node_->NextRequest(), BlockOf(line.word(0)), false});
}

void Transcript::Move(const Line& line) {
  ResidencyState to = ResidencyState::kS6Recomputable;
  for (int s = 0; s < kStateCount; ++s) {
    if (line.word(1) == Name(static_cast<ResidencyState>(s))) to = static_cast<ResidencyState>(s);
  }
  PostAndStep(OperatorMove{node_->NextRequest(), BlockOf(line.word(0)), to,
                           node_->now() + Duration(line.option("deadline", "10s"))});
}

void Transcript::Drain(const Line&) { PostAndStep(OperatorDrain{node_->NextRequest()}); }

void Transcript::Fault(const Line& line) {
  if (line.word(0) == "row") return node_->FailNextRow();
  node_->FailNext(BlockOf(line.word(0)), FailureOf(line.word(1)));
}

void Transcript::Hold(const Line& line) { node_->HoldNext(BlockOf(line.word(0))); }

void Transcript::Tick(const Line&) { PostAndStep(TimerFired{}); }

void Transcript::Advance(const Line& line) { node_->Advance(Duration(line.word(0)), false); }

void Transcript::RunFor(const Line& line) { node_->Advance(Duration(line.word(0)), true); }

void Transcript::ShowState(const Line& line) {
  std::vector<std::string> names = Names(line.words, 0);
  if (names.empty()) {
    for (const auto& [name, id] : blocks_) names.push_back(name);
  }
  std::map<std::string, std::vector<std::string>> by_standing;
  for (const std::string& name : names) {
    by_standing[StandingOf(BlockOf(name), node_->state())].push_back(name);
  }
  for (const auto& [standing, in_it] : by_standing) {
    Say(absl::StrCat(standing, ": ", absl::StrJoin(in_it, " ")));
  }
}

void Transcript::ShowCopies(const Line& line) {
  for (const std::string& name : Names(line.words, 0)) {
    Say(absl::StrCat(name, ": ", CopiesOf(BlockOf(name), node_->state())));
  }
}

void Transcript::ShowExplain(const Line& line) {
  const size_t most = line.words.size() > 1 ? std::stoull(line.word(1)) : 0;
  const Explanation explanation = node_->controller().Explain(BlockOf(line.word(0)), most);
  Say(absl::StrCat("now ", TextOf(explanation.now, node_->state())));
  for (const Decision& decision : explanation.decisions) Say(TextOf(decision, node_->state()));
}

void Transcript::ShowUsage(const Line&) {
  for (const auto& pool : node_->state().table.pools()) {
    Say(absl::StrCat(pool->options().name, ": ", FormatBytes(pool->used()), " used, ",
                     FormatBytes(pool->reserved()), " reserved, ",
                     FormatBytes(node_->state().table.leased_bytes(pool->id())), " leased, ",
                     FormatBytes(pool->demand_reserve()), " kept for demand, of ",
                     FormatBytes(pool->capacity())));
  }
}

void Transcript::ShowCounters(const Line&) {
  const Counters& c = node_->state().counters;
  Say(absl::StrCat("acquires ", c.acquires, " hit ", c.acquires_hit, " failed ", c.acquires_failed,
                   "; promotions ", c.promotions, " demotions ", c.demotions, " stages ",
                   c.stages));
  Say(absl::StrCat("transitions begun ", c.transitions_begun, " cancelled ",
                   c.transitions_cancelled, " failed ", c.transitions_failed, "; prefetches begun ",
                   c.prefetches_begun, " used ", c.prefetches_used, " wasted ",
                   c.prefetches_wasted));
  Say(absl::StrCat("recalls ", c.recalls, "; checksum failures ", c.checksum_failures,
                   "; protection lost ", c.protection_lost, "; events accepted ", c.events_accepted,
                   " ignored ", c.events_ignored));
}

void Transcript::ShowSessions(const Line&) {
  std::map<SessionId, const SessionState*> sessions;
  for (const auto& [id, session] : node_->state().sessions) sessions[id] = &session;
  for (const auto& [id, session] : sessions) {
    Say(absl::StrCat("session ", id.value(), ": ", session->leases.size(), " leases of ",
                     FormatBytes(session->leased), ", ", FormatBytes(session->hard_leased),
                     " not recallable, ", session->recalls_open, " recalls open",
                     session->unhealthy ? ", unhealthy" : ""));
  }
}

void Transcript::ShowVetoes(const Line&) {
  for (int r = 0; r < kVetoReasonCount; ++r) {
    for (int from = 0; from < kStateCount; ++from) {
      for (int to = 0; to < kStateCount; ++to) {
        const auto reason = static_cast<VetoReason>(r);
        const auto a = static_cast<ResidencyState>(from);
        const auto b = static_cast<ResidencyState>(to);
        const uint64_t count = node_->state().counters.vetoes.at(reason, a, b);
        if (count == 0) continue;
        Say(absl::StrCat(Name(reason), " ", Name(a), " -> ", Name(b), ": ", count));
      }
    }
  }
}

}  // namespace residency
