#include "movers/content_meter.h"

#include <algorithm>
#include <array>
#include <vector>

#include "movers/compressed_codec.h"

namespace residency {
namespace {

constexpr uint64_t kSampleBytes = 64 << 10;
constexpr uint64_t kSampleEvery = 1 << 20;

std::span<std::byte> Scratch() {
  thread_local std::vector<std::byte> scratch(kSampleBytes);
  return scratch;
}

}  // namespace

void ContentMeter::Add(uint64_t at, std::span<const std::byte> full) {
  const uint64_t element_bytes = ElementBytes(element_);
  if (element_bytes == 0) return;
  // From the first group that begins in the chunk, so that groups are those of the block.
  const uint64_t group_bytes = kLowbitGroup * element_bytes;
  const uint64_t begin = (std::max(at, next_) + group_bytes - 1) / group_bytes * group_bytes;
  if (begin >= at + full.size()) return;
  std::span<const std::byte> sample = full.subspan(begin - at);
  sample = sample.first(std::min<uint64_t>(sample.size(), kSampleBytes));
  sample = sample.first(sample.size() / element_bytes * element_bytes);
  if (sample.empty()) return;
  next_ = begin + kSampleEvery;

  const uint64_t lowbit = LowbitBytes(element_, format_, Bytes(sample.size())).count();
  std::vector<std::byte> frames(lowbit);
  error_.Merge(EncodeLowbit(element_, format_, sample, frames));
  compressed_bytes_ += CompressPiece(element_, sample, Scratch());
  sampled_bytes_ += sample.size();
}

ContentFacts ContentMeter::Result() const {
  ContentFacts facts;
  if (sampled_bytes_ == 0) return facts;
  facts.measured = true;
  facts.lowbit_error = static_cast<float>(error_.Relative());
  facts.compressed_share =
      static_cast<float>(static_cast<double>(compressed_bytes_) / sampled_bytes_);
  return facts;
}

}  // namespace residency
