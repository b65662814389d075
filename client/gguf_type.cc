#include "client/gguf_type.h"

#include <algorithm>
#include <array>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace residency {
namespace {

using enum GgmlKind;

// Sorted by number. The blocks of quantised types hold scales beside the weights.
constexpr std::array<GgmlType, 34> kTypes = {{
    {0, "F32", 1, 4, kF32},
    {1, "F16", 1, 2, kF16},
    {2, "Q4_0", 32, 18, kQuantizedSub8},
    {3, "Q4_1", 32, 20, kQuantizedSub8},
    {6, "Q5_0", 32, 22, kQuantizedSub8},
    {7, "Q5_1", 32, 24, kQuantizedSub8},
    {8, "Q8_0", 32, 34, kQuantized8},
    {9, "Q8_1", 32, 36, kQuantized8},
    {10, "Q2_K", 256, 84, kQuantizedSub8},
    {11, "Q3_K", 256, 110, kQuantizedSub8},
    {12, "Q4_K", 256, 144, kQuantizedSub8},
    {13, "Q5_K", 256, 176, kQuantizedSub8},
    {14, "Q6_K", 256, 210, kQuantizedSub8},
    {15, "Q8_K", 256, 292, kQuantized8},
    {16, "IQ2_XXS", 256, 66, kQuantizedSub8},
    {17, "IQ2_XS", 256, 74, kQuantizedSub8},
    {18, "IQ3_XXS", 256, 98, kQuantizedSub8},
    {19, "IQ1_S", 256, 50, kQuantizedSub8},
    {20, "IQ4_NL", 32, 18, kQuantizedSub8},
    {21, "IQ3_S", 256, 110, kQuantizedSub8},
    {22, "IQ2_S", 256, 82, kQuantizedSub8},
    {23, "IQ4_XS", 256, 136, kQuantizedSub8},
    {24, "I8", 1, 1, kQuantized8},
    {25, "I16", 1, 2, kOther},
    {26, "I32", 1, 4, kOther},
    {27, "I64", 1, 8, kOther},
    {28, "F64", 1, 8, kOther},
    {29, "IQ1_M", 256, 56, kQuantizedSub8},
    {30, "BF16", 1, 2, kBf16},
    {34, "TQ1_0", 256, 54, kQuantizedSub8},
    {35, "TQ2_0", 256, 66, kQuantizedSub8},
    {39, "MXFP4", 32, 17, kQuantizedSub8},
    {40, "NVFP4", 64, 36, kQuantizedSub8},
    {41, "Q1_0", 128, 18, kQuantizedSub8},
}};

// Numbers of types that files may have had once: Q4_2, Q4_3, and layouts of Q4_0 and IQ4_NL that
// are made in memory today.
constexpr std::array<uint32_t, 8> kWithdrawn = {4, 5, 31, 32, 33, 36, 37, 38};

constexpr uint64_t kBytesMax = std::numeric_limits<int64_t>::max();

}  // namespace

absl::StatusOr<const GgmlType*> FindGgmlType(uint32_t id) {
  const auto* found =
      std::lower_bound(kTypes.begin(), kTypes.end(), id,
                       [](const GgmlType& type, uint32_t wanted) { return type.id < wanted; });
  if (found != kTypes.end() && found->id == id) return found;
  if (std::find(kWithdrawn.begin(), kWithdrawn.end(), id) != kWithdrawn.end()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "type ", id,
        " has been withdrawn from the format; convert the file again from its source"));
  }
  return absl::InvalidArgumentError(absl::StrCat("type ", id, " is unknown; the highest known is ",
                                                 kTypes.back().id, " (", kTypes.back().name, ")"));
}

absl::StatusOr<uint64_t> GgmlBytes(const GgmlType& type, const std::vector<uint64_t>& shape) {
  const uint64_t row = shape.empty() ? 1 : shape[0];
  if (row % type.block_elements != 0) {
    return absl::InvalidArgumentError(absl::StrCat("a row of ", row, " elements is not of whole ",
                                                   type.name, " blocks, which hold ",
                                                   type.block_elements));
  }
  uint64_t bytes = row / type.block_elements;
  bool overflows = __builtin_mul_overflow(bytes, uint64_t{type.block_bytes}, &bytes);
  for (size_t i = 1; i < shape.size(); ++i) {
    overflows = __builtin_mul_overflow(bytes, shape[i], &bytes) || overflows;
  }
  if (overflows || bytes > kBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("the size of shape [", absl::StrJoin(shape, ","),
                                                   "] of ", type.name, " does not fit 63 bits"));
  }
  return bytes;
}

}  // namespace residency
