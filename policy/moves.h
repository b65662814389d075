// Carries decisions out: begins, raises, cancels and ends transitions, drops copies in two phases,
// and keeps the catalogue in step. Decides nothing.
#pragma once

#include <string>
#include <vector>

#include "policy/controller_state.h"
#include "policy/scoring.h"
#include "policy/vetting.h"

namespace residency {

// A transition that did not bring its bytes, for those who waited for it.
struct MoveFailure {
  BlockId block;
  TransferFailure failure;
  absl::Status status;
  bool supplied = false;  // it was a put, not a copy or the block's own recipe
  PoolId target;
  Encoding encoding = Encoding::kFull;  // of the copy that was to come
};

class Moves {
 public:
  Moves(ControllerState& state, Scoring& scoring, Recorder& recorder, Vetting& vetting)
      : s_(state), scoring_(scoring), recorder_(recorder), vetting_(vetting) {}

  struct Why {
    Verdict verdict = Verdict::kPromote;
    const char* reason = "";
    BlockId competing;
  };
  absl::Status Start(const Transition& transition, const Why& why);
  // Somebody waits for it now; or nobody does any more.
  void Raise(Ticket ticket);
  void Lower(Ticket ticket);
  void Cancel(Ticket ticket);
  // Retires the copy and asks its holders. FailedPrecondition as ResidencyTable::Retire.
  absl::Status Drop(SlotId slot, const Why& why);
  // Takes a bad copy out of use and tells its holders.
  void Quarantine(SlotId slot, const std::string& why);
  // The last lease of a quarantined copy has gone.
  void ReleaseQuarantined(SlotId slot);

  void OnEnded(const TransferOutcome& outcome);
  void OnCommitted(uint64_t token);
  void OnCommitFailed(uint64_t token, const absl::Status& status);
  void OnReclaimed(SlotId slot, Generation generation);
  void OnStillHeld(SlotId slot, Generation generation);
  // Asks again for what was still held. Once a tick.
  void AskAgain();

  // A prefetched copy was used (or leased) for the first time.
  void OnUsed(SlotId slot);

  // Extents of copies that are on their way out of this pool.
  std::vector<Extent> LeavingExtents(PoolId pool) const;
  std::vector<MoveFailure> TakeFailures() { return std::exchange(failures_, {}); }
  // Low-bit and compressed copies in HBM whose block has a full one there now.
  std::vector<std::pair<SlotId, Generation>> TakeSuperseded() {
    return std::exchange(superseded_, {});
  }
  size_t live() const { return started_.size(); }
  // Why background writes to disk are suspended; empty if they are not.
  const std::string& stage_problem() const { return stage_problem_; }
  bool StagingSuspended() const { return s_.now < stage_again_; }

 private:
  struct Started {
    LinkModel::Path path;
    LinkClass cls;
    Bytes bytes;
    bool prefetch = false;
    bool background = false;
    PoolId target;
    Encoding encoding = Encoding::kFull;
  };
  void Arrived(const ResidencyTable::Completed& done, const Started& started);
  void Missed(const TransferOutcome& outcome, const ResidencyTable::Failed& failed,
              const Started& started);
  void Reclassify(Ticket ticket, LinkClass cls);
  void AskHolders(SlotId slot);
  void KeepAfterAll(SlotId slot, Generation generation);
  void Measured(BlockId block);
  void Supersede(const Copy& full);
  void CountChange(const StateChange& change);
  void HintSessions(BlockId block, const Hint& hint);

  ControllerState& s_;
  Scoring& scoring_;
  Recorder& recorder_;
  Vetting& vetting_;
  absl::flat_hash_map<Ticket, Started> started_;
  absl::flat_hash_set<std::pair<SlotId, Generation>> prefetched_;
  absl::flat_hash_map<SlotId, Generation> leaving_;
  std::vector<std::pair<SlotId, Generation>> ask_again_;
  std::vector<MoveFailure> failures_;
  std::vector<std::pair<SlotId, Generation>> superseded_;
  TimePoint stage_again_{};
  std::string stage_problem_;
};

// The token under which an extent's row is committed, and back.
constexpr uint64_t CommitToken(SlotId slot, Generation generation) {
  return (uint64_t{slot.value()} << 32) | generation.value();
}

}  // namespace residency
