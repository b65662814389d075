// What waits to be sent on a session's stream, in order. Bounded: hints beyond the bound are
// dropped and counted, answers are bounded by the acquires that may be outstanding. Not
// thread-safe: guarded by its stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <variant>
#include <vector>

#include "core/hint.h"
#include "daemon/rpc_ledger.h"
#include "residency/v1/engine.pb.h"

namespace residency {

class SessionStreamOutbox {
 public:
  // Reports after which their counts are sent unasked.
  static constexpr uint64_t kReportsPerCounts = 1024;

  explicit SessionStreamOutbox(size_t hints_max) : hints_max_(hints_max) {}

  void PushOpened(SessionId session);
  // `claim` is what must be given back if the answer is never sent; none for a refusal.
  void PushAcquired(v1::AcquireResult result, std::optional<RpcLedger::Claim> claim);
  void PushHint(const Hint& hint);
  // What became of reports.
  void CountReports(uint64_t accepted, uint64_t dropped);

  struct Message {
    v1::SessionResponse response;
    std::optional<RpcLedger::Claim> claim;
    bool refusal = false;
    std::optional<Hint> hint;  // that must not be lost
  };
  // The next to be sent; counts come when nothing else waits.
  std::optional<Message> Pop();
  // All answers and all hints that must not be lost, when the stream has ended.
  std::vector<Message> TakeUnsent();

  size_t refusals() const { return refusals_; }
  uint64_t hints_dropped() const { return hints_dropped_; }
  uint64_t reports_accepted() const { return accepted_; }
  uint64_t reports_dropped() const { return dropped_; }

 private:
  struct Answer {
    v1::SessionResponse response;
    std::optional<RpcLedger::Claim> claim;
    bool refusal = false;
  };
  using Item = std::variant<Answer, Hint>;
  Message Make(Item item);

  const size_t hints_max_;
  std::deque<Item> items_;
  size_t droppable_hints_ = 0;
  size_t refusals_ = 0;
  uint64_t hints_dropped_ = 0;
  uint64_t accepted_ = 0;
  uint64_t dropped_ = 0;
  uint64_t reports_since_counts_ = 0;
  bool answered_since_counts_ = false;
};

}  // namespace residency
