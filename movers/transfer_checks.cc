#include "movers/transfer_checks.h"

#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "movers/io_alignment.h"

namespace residency {
namespace {

TransferFault Fault(TransferFailure failure, absl::Status status) {
  return {failure, std::move(status)};
}

TransferFault FileFault(absl::Status status) {
  const bool changed = IsFileChanged(status);
  return Fault(changed ? TransferFailure::kSourceChanged : TransferFailure::kSourceError,
               std::move(status));
}

// Whether a place can hold the block: the pool exists and is what its tier asks for, and the
// extent is long enough and aligned.
absl::Status CheckPlace(const char* end, const PoolBinding* pool, const CopyPlace& place,
                        Bytes bytes) {
  if (pool == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(end, " pool ", place.pool.value(), " does not exist"));
  }
  const Extent& extent = place.extent;
  const bool aligned = IsAligned(extent.offset) && IsAligned(extent.length);
  if (bytes.zero() || extent.length < bytes.count() || !aligned) {
    return absl::InvalidArgumentError(absl::StrCat(
        end, " extent [", extent.offset, ", ", extent.end(), ") of pool ", place.pool.value(),
        " cannot hold ", bytes.count(), " B in aligned pages of ", kIoAlignment, " B"));
  }
  if (pool->tier != Tier::kDram) return absl::OkStatus();
  const uint64_t capacity = pool->memory->capacity().count();
  if (extent.length <= capacity && extent.offset <= capacity - extent.length) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(end, " extent ends at ", extent.end(), " B in a pool of ", capacity, " B"));
}

TransferFault WrongChecksum(const Transfer& transfer, Bytes bytes, uint64_t found,
                            uint64_t wanted) {
  return Fault(TransferFailure::kSourceCorrupt,
               absl::DataLossError(absl::StrFormat(
                   "block %d: the checksum of its %d B is %016x and has to be %016x",
                   transfer.spec.block.value(), bytes.count(), found, wanted)));
}

SourceKind KindOf(const Transfer& transfer) {
  if (transfer.recipe() != nullptr) {
    return transfer.reads_file() ? SourceKind::kFile : SourceKind::kSynthetic;
  }
  constexpr SourceKind kKinds[] = {SourceKind::kHbm, SourceKind::kDram, SourceKind::kNvme};
  return kKinds[static_cast<int>(transfer.source_pool->tier)];
}

}  // namespace

TransferFault TransferChecks::Prepare(Transfer& transfer) const {
  TransferFault fault = transfer.copy() != nullptr ? CheckCopy(transfer, *transfer.copy())
                                                   : CheckRecipe(transfer, *transfer.recipe());
  if (fault.ok()) fault = CheckTarget(transfer);
  if (fault.ok()) fault = CheckCodec(transfer);
  if (!fault.ok()) return fault;
  RouteEnds ends;
  ends.bytes = transfer.source_bytes().count();
  ends.transcoded = transfer.transcoded();
  ends.source = KindOf(transfer);
  if (transfer.copy() != nullptr) ends.source_pool = transfer.copy()->place.pool;
  if (transfer.file != nullptr) {
    ends.file_offset = transfer.recipe()->offset;
    ends.file_direct = transfer.file->direct;
  }
  ends.target = transfer.target_pool->tier;
  ends.target_pool = transfer.spec.target.pool;
  transfer.route = RouteBetween(ends, *links, chunk);
  const bool full_passes = transfer.source_encoding() == Encoding::kFull && !transfer.transcoded();
  if (transfer.spec.measure && full_passes) {
    transfer.meter = std::make_unique<ContentMeter>(transfer.spec.element, transfer.spec.lowbit);
  }
  return {};
}

TransferFault TransferChecks::CheckCodec(const Transfer& transfer) const {
  if (!transfer.transcoded()) return {};
  const auto refused = [](auto&&... why) {
    return Fault(TransferFailure::kTargetError, absl::InvalidArgumentError(absl::StrCat(why...)));
  };
  const TransferSpec& spec = transfer.spec;
  if (ElementBytes(spec.element) == 0) {
    return refused("no codec for elements of type ", Name(spec.element));
  }
  if (transfer.full_bytes().count() > Transcoder::kFullBytesMax) {
    return refused("codecs take blocks of up to ", Transcoder::kFullBytesMax, " B, this one has ",
                   transfer.full_bytes().count());
  }
  if (transfer.source_encoding() == Encoding::kLowbit) {
    return refused("a low-bit copy is no source of anything");
  }
  constexpr uint64_t kWanted = Transcoder::kPieceBytes + Transcoder::kSlackBytes;
  if (staging_buffer.count() < kWanted) {
    return refused("codecs need staging buffers of ", kWanted, " B, these have ",
                   staging_buffer.count());
  }
  return {};
}

TransferFault TransferChecks::PlanTranscoding(Transfer& transfer,
                                              std::span<const std::byte> footer) const {
  std::optional<PieceDirectory> directory;
  if (transfer.source_encoding() == Encoding::kCompressed) {
    auto parsed = PieceDirectory::Parse(transfer.spec.element, transfer.full_bytes(),
                                        transfer.source_bytes(), footer);
    if (!parsed.ok()) return Fault(TransferFailure::kSourceCorrupt, parsed.status());
    directory = *std::move(parsed);
  }
  transfer.transcoder =
      std::make_unique<Transcoder>(Transcoder::Options{.from = transfer.source_encoding(),
                                                       .to = transfer.spec.encoding,
                                                       .element = transfer.spec.element,
                                                       .lowbit = transfer.spec.lowbit,
                                                       .full = transfer.full_bytes(),
                                                       .room = transfer.spec.bytes,
                                                       .measure = transfer.spec.measure,
                                                       .clock = clock},
                                   std::move(directory));
  return {};
}

TransferFault TransferChecks::CheckTarget(Transfer& transfer) const {
  const CopyPlace& place = transfer.spec.target;
  transfer.target_pool = pools->Find(place.pool);
  // What is copied as it is fills as much there as where it comes from.
  const Bytes bytes = transfer.transcoded() ? transfer.spec.bytes : transfer.source_bytes();
  absl::Status status = CheckPlace("target", transfer.target_pool, place, bytes);
  // A device labels its own segments with the first upload.
  if (status.ok() && transfer.target_pool->tier == Tier::kDram) {
    status = transfer.target_pool->memory->EnsureExtent(place.extent, place.regions);
  }
  if (status.ok()) return {};
  return Fault(TransferFailure::kTargetError, std::move(status));
}

TransferFault TransferChecks::CheckCopy(Transfer& transfer, const CopySource& copy) const {
  transfer.source_pool = pools->Find(copy.place.pool);
  absl::Status status =
      CheckPlace("source", transfer.source_pool, copy.place, transfer.source_bytes());
  if (status.ok()) return {};
  return Fault(TransferFailure::kSourceError, std::move(status));
}

TransferFault TransferChecks::CheckRecipe(Transfer& transfer, const Recipe& recipe) const {
  if (!recipe.runnable()) {
    return Fault(TransferFailure::kSourceError,
                 absl::InvalidArgumentError("the block has no recipe to run"));
  }
  if (recipe.kind != RecipeKind::kFileRange) return {};
  absl::StatusOr<std::shared_ptr<const OpenFile>> file = files->Open(recipe.file);
  if (!file.ok()) return FileFault(file.status());
  if (absl::Status status = files->CheckIdentity(recipe.file); !status.ok()) {
    return FileFault(std::move(status));
  }
  const uint64_t bytes = transfer.full_bytes().count();
  if (bytes > (*file)->size || recipe.offset > (*file)->size - bytes) {
    const absl::StatusOr<FileInfo> info = files->Info(recipe.file);
    return Fault(TransferFailure::kSourceError,
                 absl::OutOfRangeError(absl::StrCat(
                     "a recipe reads ", bytes, " B at ", recipe.offset, " of the ", (*file)->size,
                     " B of ", info.ok() ? info->path : "a forgotten file")));
  }
  transfer.file = *std::move(file);
  return {};
}

TransferFault TransferChecks::Verify(const Transfer& transfer) const {
  // First, because a changed file explains a wrong checksum.
  if (transfer.reads_file()) {
    absl::Status status = files->CheckIdentity(transfer.recipe()->file);
    if (!status.ok()) return FileFault(std::move(status));
  }
  const Transcoder* const turned = transfer.transcoder.get();
  const uint64_t source = turned ? turned->source_checksum() : transfer.checksum.value();
  if (transfer.copy() != nullptr && source != transfer.copy()->checksum) {
    return WrongChecksum(transfer, transfer.source_bytes(), source, transfer.copy()->checksum);
  }
  const bool full_passed = turned || transfer.source_encoding() == Encoding::kFull;
  const uint64_t full = turned ? turned->full_checksum() : source;
  const std::optional<uint64_t> wanted = transfer.spec.expected_checksum;
  if (full_passed && wanted.has_value() && *wanted != full) {
    return WrongChecksum(transfer, transfer.full_bytes(), full, *wanted);
  }
  if (turned == nullptr || turned->fits()) return {};
  return Fault(TransferFailure::kTooLarge,
               absl::ResourceExhaustedError(absl::StrCat(
                   "block ", transfer.spec.block.value(), " takes ", turned->target_bytes().count(),
                   " B compressed, and ", transfer.spec.bytes.count(), " B were reserved")));
}

TransferFault TransferChecks::Explain(const Transfer& transfer, TransferFault fault) const {
  if (fault.failure != TransferFailure::kSourceError || !transfer.reads_file()) return fault;
  absl::Status status = files->CheckIdentity(transfer.recipe()->file);
  return IsFileChanged(status) ? FileFault(std::move(status)) : fault;
}

}  // namespace residency
