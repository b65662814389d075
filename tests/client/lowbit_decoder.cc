#include "tests/client/lowbit_decoder.h"

#include <algorithm>

#include "residency/lowbit.h"

namespace residency::testing {
namespace {

LowbitFormat Format(bool int4) { return int4 ? LowbitFormat::kInt4 : LowbitFormat::kInt8; }

}  // namespace

absl::StatusOr<std::vector<float>> ClientDecodes(bool int4, std::span<const std::byte> content,
                                                 uint64_t element_count) {
  // No more room than the content could fill, whatever the count says.
  std::vector<float> out(std::min<uint64_t>(element_count, content.size() * 2));
  if (absl::Status ok = DecodeLowbit(Format(int4), content, element_count, out.data()); !ok.ok()) {
    return ok;
  }
  return out;
}

absl::StatusOr<float> ClientBound(bool int4, std::span<const std::byte> content, uint64_t first,
                                  uint64_t count) {
  return LowbitErrorBound(Format(int4), content, first, count);
}

uint64_t ClientContentBytes(bool int4, uint64_t element_count) {
  return LowbitContentBytes(Format(int4), element_count);
}

}  // namespace residency::testing
