#include <array>

#include "client/safetensors.h"

namespace residency {
namespace {

struct DtypeFacts {
  const char* name;
  uint64_t item_bytes;
};

// In the order of the enum.
constexpr std::array<DtypeFacts, kDtypeCount> kDtypes = {{
    {"BOOL", 1},
    {"U8", 1},
    {"I8", 1},
    {"F8_E5M2", 1},
    {"F8_E4M3", 1},
    {"I16", 2},
    {"U16", 2},
    {"F16", 2},
    {"BF16", 2},
    {"I32", 4},
    {"U32", 4},
    {"F32", 4},
    {"F64", 8},
    {"I64", 8},
    {"U64", 8},
}};

}  // namespace

const char* Name(Dtype dtype) { return kDtypes[static_cast<size_t>(dtype)].name; }

uint64_t ItemBytes(Dtype dtype) { return kDtypes[static_cast<size_t>(dtype)].item_bytes; }

std::optional<Dtype> DtypeFromName(const std::string& name) {
  for (size_t i = 0; i < kDtypes.size(); ++i) {
    if (name == kDtypes[i].name) return static_cast<Dtype>(i);
  }
  return std::nullopt;
}

std::optional<uint64_t> TensorBytes(Dtype dtype, const std::vector<uint64_t>& shape) {
  uint64_t bytes = ItemBytes(dtype);
  for (uint64_t dimension : shape) {
    if (__builtin_mul_overflow(bytes, dimension, &bytes)) return std::nullopt;
  }
  return bytes;
}

}  // namespace residency
