#include "movers/link_queue.h"

namespace residency {

void LinkQueue::Offer(Ticket ticket, LinkClass cls, LinkChunk chunk, TimePoint now) {
  auto [it, added] = streams_.try_emplace(ticket);
  Stream& stream = it->second;
  if (added) {
    stream.cls = cls;
    stream.order = next_order_++;
  }
  if (stream.chunks.empty()) ReadyOf(stream.cls).emplace(stream.order, ticket);
  stream.chunks.push_back(chunk);
  SeeDemand(stream.cls, now);
}

std::optional<LinkGrant> LinkQueue::Peek(TimePoint now) const {
  for (int c = 0; c < kLinkClassCount; ++c) {
    if (ready_[c].empty()) continue;
    const Ticket ticket = ready_[c].begin()->second;
    const Stream& stream = streams_.at(ticket);
    // What is held back holds back the classes below it too: they may not overtake.
    if (!HasRoom(stream.cls, stream.chunks.front().bytes, now)) return std::nullopt;
    return LinkGrant{ticket, stream.chunks.front(), stream.cls};
  }
  return std::nullopt;
}

LinkGrant LinkQueue::Take(TimePoint now) {
  const LinkGrant grant = Peek(now).value();
  Stream& stream = streams_.at(grant.ticket);
  stream.chunks.pop_front();
  if (stream.chunks.empty()) ReadyOf(stream.cls).erase({stream.order, grant.ticket});
  const bool demand = grant.cls == LinkClass::kDemand;
  (demand ? demand_in_flight_ : background_in_flight_) += Bytes(grant.chunk.bytes);
  ++chunks_in_flight_;
  SeeDemand(grant.cls, now);
  return grant;
}

void LinkQueue::Done(const LinkGrant& grant, TimePoint now) {
  const bool demand = grant.cls == LinkClass::kDemand;
  (demand ? demand_in_flight_ : background_in_flight_) -= Bytes(grant.chunk.bytes);
  --chunks_in_flight_;
  SeeDemand(grant.cls, now);
}

void LinkQueue::Reclassify(Ticket ticket, LinkClass cls, TimePoint now) {
  const auto it = streams_.find(ticket);
  if (it == streams_.end() || it->second.cls == cls) return;
  Stream& stream = it->second;
  const bool queued = !stream.chunks.empty();
  if (queued) ReadyOf(stream.cls).erase({stream.order, ticket});
  stream.cls = cls;
  stream.order = next_order_++;
  if (queued) ReadyOf(cls).emplace(stream.order, ticket);
  SeeDemand(cls, now);
}

void LinkQueue::Withdraw(Ticket ticket) {
  const auto it = streams_.find(ticket);
  if (it == streams_.end()) return;
  ReadyOf(it->second.cls).erase({it->second.order, ticket});
  streams_.erase(it);
}

void LinkQueue::SeeDemand(LinkClass cls, TimePoint now) {
  if (cls == LinkClass::kDemand) demand_seen_ = now;
}

bool LinkQueue::HasRoom(LinkClass cls, uint32_t bytes, TimePoint now) const {
  if (chunks_in_flight_ == 0) return true;
  if (chunks_in_flight_ >= options_.chunks_in_flight_max) return false;
  if (in_flight() + Bytes(bytes) > options_.in_flight_max) return false;
  if (cls == LinkClass::kDemand) return true;
  const bool held = demand_seen_.has_value() && now - *demand_seen_ < options_.background_hold;
  if (!held || background_in_flight_.zero()) return true;
  return background_in_flight_ + Bytes(bytes) <= options_.background_window;
}

}  // namespace residency
