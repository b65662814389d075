#include "daemon/session_stream_outbox.h"

#include <utility>

#include "daemon/convert.h"
#include "daemon/hint_hub_merge.h"

namespace residency {

void SessionStreamOutbox::PushOpened(SessionId session) {
  Answer answer;
  answer.response.mutable_opened()->set_session_id(session.value());
  items_.emplace_back(std::move(answer));
}

void SessionStreamOutbox::PushAcquired(v1::AcquireResult result,
                                       std::optional<RpcLedger::Claim> claim) {
  Answer answer;
  *answer.response.mutable_acquired() = std::move(result);
  answer.claim = claim;
  answer.refusal = !claim.has_value();
  if (answer.refusal) ++refusals_;
  items_.emplace_back(std::move(answer));
}

void SessionStreamOutbox::PushHint(const Hint& hint) {
  if (!items_.empty()) {
    Hint* const last = std::get_if<Hint>(&items_.back());
    if (last != nullptr && Merge(*last, hint)) return;
  }
  if (MayDrop(hint)) {
    if (droppable_hints_ >= hints_max_) {
      ++hints_dropped_;
      return;
    }
    ++droppable_hints_;
  }
  items_.emplace_back(hint);
}

void SessionStreamOutbox::CountReports(uint64_t accepted, uint64_t dropped) {
  accepted_ += accepted;
  dropped_ += dropped;
  reports_since_counts_ += accepted + dropped;
}

SessionStreamOutbox::Message SessionStreamOutbox::Make(Item item) {
  Message message;
  if (auto* const answer = std::get_if<Answer>(&item)) {
    message.response = std::move(answer->response);
    message.claim = answer->claim;
    message.refusal = answer->refusal;
    if (answer->refusal && message.response.has_acquired()) --refusals_;
    return message;
  }
  const Hint& hint = std::get<Hint>(item);
  *message.response.mutable_hint() = ToProto(hint);
  if (MayDrop(hint)) {
    --droppable_hints_;
  } else {
    message.hint = hint;
  }
  return message;
}

std::optional<SessionStreamOutbox::Message> SessionStreamOutbox::Pop() {
  if (!items_.empty()) {
    Item item = std::move(items_.front());
    items_.pop_front();
    Message message = Make(std::move(item));
    answered_since_counts_ |= message.response.has_acquired();
    return message;
  }
  const bool due = answered_since_counts_ ? reports_since_counts_ > 0
                                          : reports_since_counts_ >= kReportsPerCounts;
  if (!due) return std::nullopt;
  reports_since_counts_ = 0;
  answered_since_counts_ = false;
  Message message;
  message.response.mutable_counts()->set_accepted(accepted_);
  message.response.mutable_counts()->set_dropped(dropped_);
  return message;
}

std::vector<SessionStreamOutbox::Message> SessionStreamOutbox::TakeUnsent() {
  std::vector<Message> unsent;
  for (Item& item : items_) {
    Message message = Make(std::move(item));
    if (message.claim.has_value() || message.hint.has_value()) unsent.push_back(std::move(message));
  }
  items_.clear();
  return unsent;
}

}  // namespace residency
