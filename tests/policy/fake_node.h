// A node made of numbers around a real controller: carries its commands out on a manual clock, with
// seeded delays and failures, and checks from outside what the controller promises: bytes that are
// leased, read or held are never written or given back, and sources hold what they are read for.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "policy/controller.h"

namespace residency {

// Small, seeded, the same everywhere.
class FakeRandom {
 public:
  explicit FakeRandom(uint64_t seed) : state_(seed) {}
  uint64_t Next() { return SyntheticWord(state_, counter_++); }
  // In [0, n). REQUIRES: n > 0.
  uint64_t Below(uint64_t n) { return Next() % n; }
  bool Chance(double p) { return static_cast<double>(Next() >> 11) * 0x1p-53 < p; }

 private:
  uint64_t state_;
  uint64_t counter_ = 0;
};

// Probabilities, each in [0, 1].
struct FakeFaults {
  double corrupt = 0;        // of a transfer from a copy
  double source_error = 0;   // of a transfer
  double target_error = 0;   // of a transfer
  double still_held = 0;     // of a reclaim
  double commit_failed = 0;  // of a row
};

struct FakeNodeOptions {
  std::vector<PoolOptions> pools;
  PolicyConfig policy;
  uint64_t seed = 1;
  FakeFaults faults;
  bool jitter = false;  // delays vary, so that completions overtake each other
};

class FakeNode {
 public:
  static constexpr Micros kTick{50'000};

  explicit FakeNode(FakeNodeOptions options);

  Controller& controller() { return controller_; }
  const ControllerState& state() const { return controller_.state(); }
  TimePoint now() const { return clock_.Now(); }
  // Sees every command, in order, after the node has noted it.
  void set_observer(std::function<void(const Command&)> observer) {
    observer_ = std::move(observer);
  }

  RequestId NextRequest() { return RequestId(++last_request_); }
  // To be handled by the next Step.
  void Post(Event event);
  // One step with everything posted, and all slices of an unfinished tick.
  void Step();
  // Lets time pass: steps at every completion and deadline on the way, and every 50 ms if asked.
  void Advance(Micros by, bool ticks);
  // Nothing is on its way: no transfer, reclaim or row.
  bool Quiet() const { return due_.empty() && posted_.empty(); }

  // --- Faults on demand ---
  void FailNext(BlockId block, TransferFailure failure) { fail_next_[block] = failure; }
  void HoldNext(BlockId block) { hold_next_.insert(block); }
  void FailNextRow() { fail_next_row_ = true; }
  void StopFaults() { options_.faults = {}; }

  // --- What clients hold, as they know it ---
  struct Held {
    SessionId session;
    uint64_t client_request = 0;
    GrantedLease lease;
  };
  const std::map<LeaseId, Held>& leases() const { return leases_; }
  // The lowest lease of the session on the block.
  std::optional<LeaseId> LeaseOf(SessionId session, BlockId block) const;
  std::vector<LeaseId> LeasesOf(SessionId session) const;
  // How often each request was answered.
  const std::map<RequestId, int>& answers() const { return answers_; }

  // What the full bytes of a block sum to.
  static uint64_t ContentOf(BlockId block) { return SyntheticWord(block.value(), 0); }

 private:
  struct Due {
    Event event;
    Ticket ticket;  // of a transfer
  };
  using DueKey = std::pair<TimePoint, uint64_t>;

  void Note(const Event& event);      // before the step
  void Note(const Command& command);  // after it
  void Start(const TransferSpec& spec);
  TransferOutcome OutcomeOf(const TransferSpec& spec);
  void Cancel(Ticket ticket);
  void Reclaim(const ReclaimCopy& command);
  void Commit(const Persist& command);
  void OnOutcome(const TransferOutcome& outcome);
  void Vacate(SlotId slot, Generation generation);
  void Granted(RequestId request, const GrantedBody& body);
  void Forget(const std::function<bool(const Held&)>& gone);
  void CheckUntouched(const CopyPlace& place, const std::string& what) const;
  void CheckAgainstTable();
  void Violation(const std::string& what) const;
  Micros Vary(Micros delay);
  void Schedule(Micros delay, Due due);

  FakeNodeOptions options_;
  FakeRandom random_;
  ManualClock clock_;
  Controller controller_;
  std::function<void(const Command&)> observer_;

  std::vector<Event> posted_;
  std::map<DueKey, Due> due_;
  uint64_t next_due_ = 0;
  TimePoint catalogue_free_{};
  TimePoint next_tick_{};

  struct Content {
    uint64_t length = 0;
    BlockId block;
    std::optional<uint64_t> checksum;  // none while it is being written
  };
  std::vector<std::map<uint64_t, Content>>
      held_;  // by pool and offset: what may not be overwritten
  std::map<Ticket, TransferSpec> in_flight_;
  std::map<uint64_t, CopyPlace> leaving_;  // by commit token: asked to be given back
  std::map<LeaseId, Held> leases_;
  std::map<RequestId, std::pair<SessionId, uint64_t>> calls_;
  std::map<RequestId, int> answers_;
  uint64_t last_request_ = 0;

  std::map<BlockId, TransferFailure> fail_next_;
  std::set<BlockId> hold_next_;
  bool fail_next_row_ = false;
};

}  // namespace residency
