#include "client/gguf_metadata.h"

#include <array>
#include <bit>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/safetensors_json.h"

namespace residency {
namespace {

constexpr uint64_t kMaxKeyBytes = 65'535;  // the format's own

enum ValueType : uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kText,
  kArray,
  kUint64,
  kInt64,
  kFloat64,
  kTypeCount
};

// Of one value in the file; of a text or an array, at least.
constexpr std::array<uint64_t, kTypeCount> kBytes = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};

// A signed number of `bytes`, from the low bits.
int64_t SignExtend(uint64_t value, uint64_t bytes) {
  const uint64_t unused = 64 - 8 * bytes;
  return static_cast<int64_t>(value << unused) >> unused;
}

bool CheckType(uint32_t type, GgufCursor& cursor) {
  if (!cursor.ok()) return false;
  if (type < kTypeCount) return true;
  return cursor.Fail(absl::StrCat("metadata of type ", type, " at byte ", cursor.offset(),
                                  "; types 0 to ", kTypeCount - 1, " are known"));
}

bool ReadBool(GgufCursor& cursor) {
  const uint8_t value = cursor.U8();
  if (cursor.ok() && value > 1) {
    cursor.Fail(absl::StrCat("a truth value of ", static_cast<int>(value), " at byte ",
                             cursor.offset() - 1, "; it must be 0 or 1"));
  }
  return value == 1;
}

GgufArray ReadArray(int depth, GgufCursor& cursor);

// Looks at an array's elements and forgets them.
void PassElements(const GgufArray& array, int depth, GgufCursor& cursor) {
  switch (array.element_type) {
    case kText:
      for (uint64_t i = 0; i < array.count && cursor.ok(); ++i) cursor.Text(kMaxGgufTextBytes);
      return;
    case kArray:
      for (uint64_t i = 0; i < array.count && cursor.ok(); ++i) ReadArray(depth + 1, cursor);
      return;
    case kBool:
      for (uint64_t i = 0; i < array.count && cursor.ok(); ++i) ReadBool(cursor);
      return;
    default:
      cursor.Bytes(array.count * kBytes[array.element_type]);
  }
}

GgufArray ReadArray(int depth, GgufCursor& cursor) {
  GgufArray array;
  array.element_type = cursor.U32();
  array.count = cursor.U64();
  if (!CheckType(array.element_type, cursor)) return array;
  if (depth > kMaxGgufArrayDepth) {
    cursor.Fail(absl::StrCat("arrays are nested more than ", kMaxGgufArrayDepth, " deep"));
    return array;
  }
  if (array.count > cursor.RoomFor(kBytes[array.element_type])) {
    cursor.Fail(absl::StrCat("an array of ", array.count, " elements at byte ", cursor.offset(),
                             " does not fit the header: the file is truncated or damaged"));
    return array;
  }
  PassElements(array, depth, cursor);
  return array;
}

GgufValue ReadValue(uint32_t type, GgufCursor& cursor) {
  switch (type) {
    case kInt8:
    case kInt16:
    case kInt32:
    case kInt64:
      return SignExtend(cursor.Little(kBytes[type]), kBytes[type]);
    case kFloat32:
      return static_cast<double>(std::bit_cast<float>(cursor.U32()));
    case kFloat64:
      return std::bit_cast<double>(cursor.U64());
    case kBool:
      return ReadBool(cursor);
    case kText:
      return std::string(cursor.Text(kMaxGgufTextBytes));
    case kArray:
      return ReadArray(1, cursor);
    default:
      return cursor.Little(kBytes[type]);
  }
}

}  // namespace

std::map<std::string, GgufValue> ReadGgufMetadata(uint64_t count, GgufCursor& cursor) {
  std::map<std::string, GgufValue> metadata;
  for (uint64_t i = 0; i < count && cursor.ok(); ++i) {
    std::string key(cursor.Text(kMaxKeyBytes));
    if (cursor.ok() && key.empty()) cursor.Fail(absl::StrCat("metadata entry ", i, " has no key"));
    const uint32_t type = cursor.U32();
    if (!CheckType(type, cursor)) break;
    GgufValue value = ReadValue(type, cursor);
    if (!cursor.ok()) break;
    const auto [at, added] = metadata.try_emplace(std::move(key), std::move(value));
    if (!added) {
      cursor.Fail(absl::StrCat("the metadata key ", QuotedForMessage(at->first),
                               " is given twice; every key may be used once"));
    }
  }
  return metadata;
}

}  // namespace residency
