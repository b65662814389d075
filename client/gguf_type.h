// The element types of GGUF files: what ggml calls its tensors' types, with their numbers in the
// file and how many bytes a block of elements takes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace residency {

// What an element is, as far as matters to who holds it.
enum class GgmlKind : uint8_t { kF16, kBf16, kF32, kOther, kQuantized8, kQuantizedSub8 };

struct GgmlType {
  uint32_t id = 0;
  const char* name = "";
  uint32_t block_elements = 1;
  uint32_t block_bytes = 1;
  GgmlKind kind = GgmlKind::kOther;
};

// InvalidArgument says whether the number was never given out or its type has been withdrawn.
absl::StatusOr<const GgmlType*> FindGgmlType(uint32_t id);  // constant, never deleted

// The bytes of a tensor of this type and shape (fastest dimension first; an empty shape is a
// scalar). InvalidArgument if a row is not of whole blocks, or if the size does not fit 63 bits.
absl::StatusOr<uint64_t> GgmlBytes(const GgmlType& type, const std::vector<uint64_t>& shape);

}  // namespace residency
