#include "movers/chunk_mover.h"

#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/check.h"
#include "movers/io_alignment.h"
#include "movers/synthetic.h"

namespace residency {

ChunkMover::ChunkMover(const MoverPools& pools, IoQueue* file_io, WorkerPool* compute)
    : file_io_(file_io), compute_(compute) {
  for (const PoolBinding& pool : pools.all()) {
    if (pool.tier == Tier::kHbm) copiers_[pool.pool] = std::make_unique<WorkerPool>(1);
  }
}

void ChunkMover::Place(const Transfer& transfer, Chunk& chunk) const {
  const TransferRoute& route = transfer.route;
  if (route.source == SourceKind::kDram) {
    const uint64_t base = transfer.copy()->place.extent.offset;
    chunk.data = transfer.source_pool->memory->Data(base + chunk.range.at);
    if (route.target == Tier::kNvme && !IsAligned(chunk.range.size) && !route.staged) {
      chunk.page = AllocateAligned(kIoAlignment);
      RESIDENCY_CHECK(chunk.page != nullptr, "no memory for one page");
    }
  } else if (route.staged) {
    chunk.data = chunk.buffer->data() + route.shift;
  } else {
    const uint64_t base = transfer.spec.target.extent.offset;
    chunk.data = transfer.target_pool->memory->Data(base + chunk.range.at);
  }
}

void ChunkMover::Fill(const Transfer& transfer, Chunk& chunk, Done done) {
  const ChunkRange range = chunk.range;
  std::byte* const data = chunk.data;
  switch (transfer.route.source) {
    case SourceKind::kHbm: {
      const PoolBinding* pool = transfer.source_pool;
      const CopyPlace* place = &transfer.copy()->place;
      CopierOf(pool->pool).Post([pool, place, range, data, done = std::move(done)] {
        done(pool->device->Download(*place, range.at, data, range.size));
      });
      return;
    }
    case SourceKind::kNvme: {
      const uint64_t offset = transfer.copy()->place.extent.offset + range.at;
      transfer.source_pool->store->Read(offset, {data, AlignUp(range.size)}, std::move(done));
      return;
    }
    case SourceKind::kFile:
      ReadFile(transfer, chunk, std::move(done));
      return;
    case SourceKind::kSynthetic:
      compute_->Post([seed = transfer.recipe()->seed, range, data, done = std::move(done)] {
        FillSynthetic(seed, range.at, {data, range.size});
        done(absl::OkStatus());
      });
      return;
    case SourceKind::kDram:
      break;
  }
  done(absl::InternalError("a source in DRAM needs no fill"));
}

// Direct I/O reads the aligned superset of the payload; past the end of the file it may come short.
void ChunkMover::ReadFile(const Transfer& transfer, Chunk& chunk, Done done) {
  const uint32_t shift = transfer.route.shift;
  const size_t wanted = shift + chunk.range.size;
  const uint64_t at = transfer.recipe()->offset + chunk.range.at;
  IoRequest request;
  request.kind = IoRequest::Kind::kRead;
  request.fd = transfer.file->fd.get();
  request.offset = at - shift;
  request.data = chunk.data - shift;
  request.size = transfer.file->direct ? AlignUp(wanted) : wanted;
  request.done = [wanted, shift, at, done = std::move(done)](absl::StatusOr<size_t> moved) {
    if (!moved.ok()) {
      done(moved.status());
    } else if (*moved < wanted) {
      done(absl::OutOfRangeError(absl::StrCat("the file ends after ",
                                              *moved < shift ? 0 : *moved - shift, " of ",
                                              wanted - shift, " B at ", at)));
    } else {
      done(absl::OkStatus());
    }
  };
  file_io_->Submit(std::move(request));
}

void ChunkMover::ReadDirectory(
    const Transfer& transfer,
    std::function<void(absl::StatusOr<std::span<const std::byte>>)> done) {
  const PoolBinding* const pool = transfer.source_pool;
  const CopyPlace& place = transfer.copy()->place;
  const uint64_t footer = PieceDirectory::FooterBytes(transfer.full_bytes());
  const uint64_t total = transfer.source_bytes().count();
  if (footer > total) {
    return done(absl::DataLossError(absl::StrCat(
        "a compressed copy of ", total, " B has no room for its directory of ", footer, " B")));
  }
  if (pool->tier == Tier::kDram) {
    return done(std::span<const std::byte>(pool->memory->Data(place.extent.offset + total - footer),
                                           footer));
  }
  const uint64_t begin = AlignDown(total - footer);
  auto memory = std::make_shared<AlignedMemory>(AllocateAligned(total - begin));
  std::byte* const data = memory->get();
  if (data == nullptr) return done(absl::ResourceExhaustedError("no memory for a directory"));
  const std::span<const std::byte> wanted(data + (total - footer - begin), footer);
  if (pool->tier == Tier::kHbm) {
    const absl::Status status = pool->device->Download(place, begin, data, total - begin);
    if (!status.ok()) return done(status);
    return done(wanted);
  }
  pool->store->Read(place.extent.offset + begin, {data, total - begin},
                    [memory, wanted, done = std::move(done)](absl::Status status) {
                      if (!status.ok()) return done(status);
                      done(wanted);
                    });
}

absl::Status ChunkMover::Transcode(Transfer& transfer, Chunk& chunk) const {
  static thread_local std::vector<std::byte> out(Transcoder::kPieceBytes + Transcoder::kSlackBytes);
  const auto turned = transfer.transcoder->Turn(chunk.index, {chunk.data, chunk.range.size}, out);
  if (!turned.ok()) return turned.status();
  chunk.range = *turned;
  if (chunk.range.size == 0) return absl::OkStatus();
  std::byte* target = nullptr;
  if (transfer.route.target == Tier::kDram) {
    target =
        transfer.target_pool->memory->Data(transfer.spec.target.extent.offset + chunk.range.at);
  } else {
    target = chunk.data = chunk.buffer->data();
  }
  std::memcpy(target, out.data(), chunk.range.size);
  std::memset(target + chunk.range.size, 0, AlignUp(chunk.range.size) - chunk.range.size);
  return absl::OkStatus();
}

absl::Status ChunkMover::Hash(Transfer& transfer, Chunk& chunk) const {
  if (transfer.transcoder != nullptr) return Transcode(transfer, chunk);
  const TransferRoute& route = transfer.route;
  const ChunkRange range = chunk.range;
  transfer.checksum.Add({chunk.data, range.size});
  if (transfer.meter != nullptr) transfer.meter->Add(range.at, {chunk.data, range.size});
  if (route.target == Tier::kDram) {
    const uint64_t base = transfer.spec.target.extent.offset;
    std::byte* target = transfer.target_pool->memory->Data(base + range.at);
    if (target != chunk.data) std::memcpy(target, chunk.data, range.size);
    const bool last = range.at + range.size == route.bytes;
    if (last) std::memset(target + range.size, 0, AlignUp(route.bytes) - route.bytes);
  } else if (route.target == Tier::kNvme) {
    if (route.staged && route.shift != 0) {
      std::memmove(chunk.buffer->data(), chunk.data, range.size);
      chunk.data = chunk.buffer->data();
    } else if (chunk.page != nullptr) {
      std::memcpy(chunk.page.get(), chunk.data, range.size);
      chunk.data = chunk.page.get();
    }
    std::memset(chunk.data + range.size, 0, AlignUp(range.size) - range.size);
  }
  return absl::OkStatus();
}

void ChunkMover::Drain(const Transfer& transfer, const Chunk& chunk, Done done) {
  const ChunkRange range = chunk.range;
  const std::byte* const data = chunk.data;
  const PoolBinding* pool = transfer.target_pool;
  const CopyPlace* place = &transfer.spec.target;
  if (transfer.route.target == Tier::kHbm) {
    CopierOf(pool->pool).Post([pool, place, range, data, done = std::move(done)] {
      done(pool->device->Upload(*place, range.at, data, range.size));
    });
    return;
  }
  pool->store->Write(place->extent.offset + range.at, {data, AlignUp(range.size)}, std::move(done));
}

void ChunkMover::Sync(const Transfer& transfer, Done done) {
  transfer.target_pool->store->Sync(std::move(done));
}

}  // namespace residency
