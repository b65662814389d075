// The life of a chunk: granted, brought into host memory, hashed in order, taken to the target.
#include <utility>

#include "movers/transfer_engine.h"

namespace residency {

void TransferEngine::Pump() {
  std::vector<Granted> granted;
  {
    std::lock_guard lock(mu_);
    // Links take turns at being asked first: they share the staging buffers.
    const size_t first = first_asked_++ % lanes_.size();
    for (size_t i = 0; i < lanes_.size(); ++i) GrantFrom((first + i) % lanes_.size(), &granted);
  }
  for (const Granted& g : granted) Issue(g);
}

// Stops at the first chunk that lacks a staging buffer: what comes after it may not overtake, and
// whoever gives a buffer back pumps.
void TransferEngine::GrantFrom(size_t lane, std::vector<Granted>* granted) {
  while (const std::optional<LinkGrant> next = lanes_[lane].Peek(Now())) {
    const TransferPtr& transfer = live_.at(next->ticket);
    const bool first_hop = lane == transfer->route.first_lane();
    std::optional<StagingBuffer> buffer;
    if (first_hop && transfer->route.staged) {
      buffer = options_.staging->TryAcquire(next->cls);
      if (!buffer.has_value()) return;
    }
    const LinkGrant grant = lanes_[lane].Take(Now());
    Chunk* chunk = first_hop ? AddChunk(*transfer, grant.chunk.index, std::move(buffer))
                             : &transfer->chunks.at(grant.chunk.index);
    chunk->lane = lane;
    chunk->grant = grant;
    ++transfer->steps;
    if (first_hop) OfferNext(*transfer);
    granted->push_back({transfer, chunk});
  }
}

// One chunk ahead of what was granted is enough to keep a transfer's place in the queue.
void TransferEngine::OfferNext(Transfer& transfer) {
  if (transfer.next_offer >= transfer.chunk_count()) return;
  const uint32_t index = transfer.next_offer++;
  lanes_[transfer.route.first_lane()].Offer(transfer.spec.ticket, transfer.spec.cls,
                                            {index, transfer.ChunkAt(index).size}, Now());
}

Chunk* TransferEngine::AddChunk(Transfer& transfer, uint32_t index,
                                std::optional<StagingBuffer> buffer) {
  Chunk& chunk = transfer.chunks[index];
  chunk.index = index;
  chunk.range = transfer.ChunkAt(index);
  chunk.buffer = std::move(buffer);
  chunk_mover_.Place(transfer, chunk);
  return &chunk;
}

void TransferEngine::Issue(const Granted& granted) {
  const TransferPtr& transfer = granted.transfer;
  if (granted.chunk->lane != transfer->route.first_lane()) {
    IssueDrain(transfer, granted.chunk);
  } else if (transfer->route.source == SourceKind::kDram) {
    OnFilled(transfer, granted.chunk, absl::OkStatus());  // it is in host memory already
  } else {
    IssueFill(transfer, granted.chunk);
  }
}

void TransferEngine::IssueFill(const TransferPtr& transfer, Chunk* chunk) {
  BeginCall(transfer->fill, *chunk);
  chunk_mover_.Fill(*transfer, *chunk, [this, transfer, chunk](absl::Status status) {
    OnFilled(transfer, chunk, std::move(status));
    EndCall();
  });
}

void TransferEngine::IssueDrain(const TransferPtr& transfer, Chunk* chunk) {
  BeginCall(transfer->drain, *chunk);
  chunk_mover_.Drain(*transfer, *chunk, [this, transfer, chunk](absl::Status status) {
    OnDrained(transfer, chunk, std::move(status));
    EndCall();
  });
}

void TransferEngine::OnFilled(const TransferPtr& transfer, Chunk* chunk, absl::Status status) {
  {
    std::lock_guard lock(mu_);
    // A source in DRAM holds its grant on: it is for the drain, or for the copy while hashing.
    if (transfer->route.source != SourceKind::kDram) {
      EndGrant(*chunk);
      if (status.ok()) transfer->fill.Done(chunk->index, chunk->range.size, Now());
    }
    if (!status.ok()) Fail(*transfer, TransferFailure::kSourceError, std::move(status));
    chunk->ready = true;
    ScheduleHash(transfer);
    EndStep(transfer);
  }
  Pump();
}

void TransferEngine::ScheduleHash(const TransferPtr& transfer) {
  if (transfer->hashing || transfer->failed()) return;
  const auto next = transfer->chunks.find(transfer->next_hash);
  if (next == transfer->chunks.end() || !next->second.ready) return;
  transfer->hashing = true;
  ++transfer->steps;
  compute_.Post([this, transfer] { Hash(transfer); });
}

// One chunk a task, so that transfers take turns on the workers.
void TransferEngine::Hash(const TransferPtr& transfer) {
  Chunk* chunk = nullptr;
  {
    std::lock_guard lock(mu_);
    if (!transfer->failed()) chunk = &transfer->chunks.at(transfer->next_hash);
  }
  absl::Status status;
  if (chunk != nullptr) status = chunk_mover_.Hash(*transfer, *chunk);
  bool drain_now = false;
  {
    std::lock_guard lock(mu_);
    transfer->hashing = false;
    if (!status.ok()) Fail(*transfer, TransferFailure::kSourceCorrupt, std::move(status));
    if (chunk != nullptr && !transfer->failed()) {
      ++transfer->next_hash;
      drain_now = AfterHash(transfer, *chunk);
      ScheduleHash(transfer);
    }
    // The step goes on with the drain.
    if (!drain_now) EndStep(transfer);
  }
  if (drain_now) IssueDrain(transfer, chunk);
  Pump();
}

bool TransferEngine::AfterHash(const TransferPtr& transfer, Chunk& chunk) {
  const TransferRoute& route = transfer->route;
  if (!route.drain.has_value() || chunk.range.size == 0) {
    CompleteChunk(transfer, chunk);
    return false;
  }
  if (!route.fill.has_value()) return true;
  lanes_[*route.drain].Offer(transfer->spec.ticket, transfer->spec.cls,
                             {chunk.index, chunk.range.size}, Now());
  return false;
}

void TransferEngine::OnDrained(const TransferPtr& transfer, Chunk* chunk, absl::Status status) {
  {
    std::lock_guard lock(mu_);
    EndGrant(*chunk);
    if (status.ok()) {
      transfer->drain.Done(chunk->index, chunk->range.size, Now());
      CompleteChunk(transfer, *chunk);
    } else {
      Fail(*transfer, TransferFailure::kTargetError, std::move(status));
    }
    EndStep(transfer);
  }
  Pump();
}

void TransferEngine::CompleteChunk(const TransferPtr& transfer, Chunk& chunk) {
  EndGrant(chunk);
  transfer->chunks.erase(chunk.index);
  if (++transfer->chunks_done < transfer->chunk_count() || transfer->failed()) return;
  ++transfer->steps;
  compute_.Post([this, transfer] { Verify(transfer); });
}

void TransferEngine::EndGrant(Chunk& chunk) {
  if (!chunk.grant.has_value()) return;
  lanes_[chunk.lane].Done(*chunk.grant, Now());
  chunk.grant.reset();
}

void TransferEngine::BeginCall(HopMeter& meter, const Chunk& chunk) {
  std::lock_guard lock(mu_);
  ++external_calls_;
  meter.Issued(chunk.index, Now());
}

void TransferEngine::EndCall() {
  std::lock_guard lock(mu_);
  --external_calls_;
  if (Quiet()) quiet_.notify_all();
}

}  // namespace residency
