#include "client/gguf_header.h"

#include <algorithm>
#include <bit>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/gguf_cursor.h"
#include "client/gguf_metadata.h"
#include "client/safetensors_json.h"

namespace residency {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr uint32_t kVersion = 3;
constexpr uint64_t kDefaultAlignment = 32;
// A description with an empty name or key and no dimension or value.
constexpr uint64_t kMinTensorBytes = 24, kMinMetadataBytes = 13;
constexpr char kAlignmentKey[] = "general.alignment";

void CheckMagicAndVersion(GgufCursor& cursor) {
  const std::string_view magic = cursor.Bytes(kMagic.size());
  if (!cursor.ok()) return;
  if (magic != kMagic) {
    cursor.Fail(absl::StrCat("begins with ", QuotedForMessage(std::string(magic)),
                             ", not with 'GGUF': not a GGUF file"));
    return;
  }
  const uint32_t version = cursor.U32();
  if (!cursor.ok() || version == kVersion) return;
  // Only the lower half of a version was ever used.
  if (version != 0 && (version & 0xffff) == 0) {
    cursor.Fail(absl::StrCat("is big endian (version ", __builtin_bswap32(version),
                             "); only little-endian files can be read"));
    return;
  }
  cursor.Fail(absl::StrCat("has GGUF version ", version, "; only version ", kVersion,
                           " can be read",
                           version < kVersion ? ": convert the file again from its source" : ""));
}

// A count of things that take `bytes_each` at least.
uint64_t ReadCount(std::string_view what, uint64_t count_max, uint64_t bytes_each,
                   GgufCursor& cursor) {
  const uint64_t count = cursor.U64();
  const std::string things(what);
  if (!cursor.ok()) return 0;
  if (count > count_max) {
    cursor.Fail(
        absl::StrCat("claims ", count, " ", things, "; at most ", count_max, " are understood"));
  } else if (count > cursor.RoomFor(bytes_each)) {
    cursor.Fail(absl::StrCat("claims ", count, " ", things,
                             ", which do not fit the file: it is truncated or damaged"));
  }
  return count;
}

uint64_t AlignmentOf(const std::map<std::string, GgufValue>& metadata, GgufCursor& cursor) {
  const auto found = metadata.find(kAlignmentKey);
  if (found == metadata.end()) return kDefaultAlignment;
  const uint64_t* value = std::get_if<uint64_t>(&found->second);
  if (value == nullptr || *value > uint32_t(-1)) {
    cursor.Fail(absl::StrCat("'", kAlignmentKey, "' must be an unsigned number of 32 bits"));
  } else if (!std::has_single_bit(*value) || *value < 8) {
    cursor.Fail(
        absl::StrCat("'", kAlignmentKey, "' must be a power of two from 8 on, found ", *value));
  }
  return cursor.ok() ? *value : kDefaultAlignment;
}

GgufTensor ReadTensor(uint64_t number, uint64_t alignment, GgufCursor& cursor) {
  GgufTensor tensor;
  tensor.name = cursor.Text(kMaxGgufNameBytes);
  if (cursor.ok() && tensor.name.empty()) {
    cursor.Fail(absl::StrCat("tensor number ", number, " has no name"));
  }
  cursor.SetTensor(tensor.name);
  if (cursor.ok() && !IsUtf8(tensor.name)) cursor.Fail("the name is not UTF-8");
  const uint32_t dimensions = cursor.U32();
  if (cursor.ok() && dimensions > kMaxGgufDimensions) {
    cursor.Fail(
        absl::StrCat("has ", dimensions, " dimensions; the format allows ", kMaxGgufDimensions));
  }
  for (uint32_t i = 0; i < dimensions && cursor.ok(); ++i) tensor.shape.push_back(cursor.U64());
  const uint32_t type_id = cursor.U32();
  tensor.offset = cursor.U64();
  if (!cursor.ok()) return tensor;
  absl::StatusOr<const GgmlType*> type = FindGgmlType(type_id);
  if (!type.ok()) {
    cursor.Fail(std::string(type.status().message()));
    return tensor;
  }
  tensor.type = *type;
  absl::StatusOr<uint64_t> bytes = GgmlBytes(**type, tensor.shape);
  if (!bytes.ok()) {
    cursor.Fail(std::string(bytes.status().message()));
    return tensor;
  }
  tensor.bytes = *bytes;
  if (tensor.offset % alignment != 0) {
    cursor.Fail(
        absl::StrCat("offset ", tensor.offset, " is not a multiple of the alignment, ", alignment));
  }
  return tensor;
}

// Makes the offset absolute and checks that the data lies in the file.
void Place(uint64_t data_start, uint64_t file_bytes, GgufTensor& tensor, GgufCursor& cursor) {
  cursor.SetTensor(tensor.name);
  uint64_t end = 0;
  if (__builtin_add_overflow(tensor.offset, data_start, &tensor.offset) ||
      __builtin_add_overflow(tensor.offset, tensor.bytes, &end) || end > file_bytes) {
    cursor.Fail(absl::StrCat(tensor.bytes, " bytes from offset ", tensor.offset,
                             " on go beyond the file, which has ", file_bytes,
                             " bytes: it is truncated or its header is wrong"));
  }
}

// REQUIRES: sorted by offset, then bytes.
void CheckOverlap(const std::vector<GgufTensor>& tensors, GgufCursor& cursor) {
  uint64_t covered = 0;
  const GgufTensor* previous = nullptr;
  for (const GgufTensor& tensor : tensors) {
    if (previous != nullptr && tensor.offset < covered) {
      cursor.SetTensor(tensor.name);
      cursor.Fail(absl::StrCat("begins at byte ", tensor.offset, ", inside tensor ",
                               QuotedForMessage(previous->name), ", which ends at ", covered));
      return;
    }
    covered = tensor.offset + tensor.bytes;
    previous = &tensor;
  }
}

std::vector<GgufTensor> ReadTensors(uint64_t count, uint64_t alignment, GgufCursor& cursor) {
  std::vector<GgufTensor> tensors;
  std::set<std::string> names;
  for (uint64_t i = 0; i < count && cursor.ok(); ++i) {
    GgufTensor tensor = ReadTensor(i, alignment, cursor);
    // The context of the next problem must not name a tensor that is gone.
    if (cursor.ok() && !names.insert(tensor.name).second) cursor.Fail("the name is given twice");
    cursor.SetTensor({});
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

}  // namespace

absl::StatusOr<GgufHeader> ParseGgufHeader(const std::string& file, std::string_view prefix,
                                           uint64_t file_bytes) {
  GgufCursor cursor(file, prefix, file_bytes, kMaxGgufHeaderBytes);
  CheckMagicAndVersion(cursor);
  const uint64_t tensors = ReadCount("tensors", kMaxGgufTensors, kMinTensorBytes, cursor);
  const uint64_t entries =
      ReadCount("metadata entries", kMaxGgufMetadata, kMinMetadataBytes, cursor);
  GgufHeader header;
  header.metadata = ReadGgufMetadata(cursor.ok() ? entries : 0, cursor);
  const uint64_t alignment = AlignmentOf(header.metadata, cursor);
  header.tensors = ReadTensors(cursor.ok() ? tensors : 0, alignment, cursor);
  header.bytes = cursor.offset();
  const uint64_t data_start = (header.bytes + alignment - 1) / alignment * alignment;
  for (GgufTensor& tensor : header.tensors) {
    if (cursor.ok()) Place(data_start, file_bytes, tensor, cursor);
  }
  if (!cursor.ok()) return cursor.status();
  std::sort(header.tensors.begin(), header.tensors.end(), [](const auto& a, const auto& b) {
    return std::tie(a.offset, a.bytes, a.name) < std::tie(b.offset, b.bytes, b.name);
  });
  CheckOverlap(header.tensors, cursor);
  if (!cursor.ok()) return cursor.status();
  return header;
}

}  // namespace residency
