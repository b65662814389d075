// The vocabulary of the client library. Nothing here knows the wire.
//
// All of the library lives in the inline namespace residency::client, so that a program may link it
// beside a daemon's own types of the same names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace residency::inline client {

// A block as this client knows it: dense, given at attach, and stable for the life of the Client,
// across restarts of the daemon too. It is not the number that operators see.
enum class BlockId : uint32_t {};

// Where a block is on the ladder.
enum class ResidencyState : uint8_t {
  kUnspecified,
  kFullHbm,
  kLowbitHbm,
  kCompressedHbm,
  kDram,
  kNvme,
  kInFlight,
  kRecomputable,
};

enum class Tier : uint8_t { kUnspecified, kHbm, kDram, kNvme };

enum class Encoding : uint8_t {
  kUnspecified,
  kFull,
  kLowbit,      // lossy, directly usable
  kCompressed,  // lossless, must be decoded
};

// What a block is to its model; sets its default criticality.
enum class Role : uint8_t {
  kUnspecified,
  kExpert,
  kAttention,
  kRouter,
  kNorm,
  kEmbedding,
  kDenseMlp,
  kAdapter,
  kOther,
};

// What a block's bytes are made of: decides whether the daemon may hold it low-bit or compressed.
enum class ElementType : uint8_t {
  kUnspecified,
  kOther,  // mixed, integers, unknown: held full only
  kBf16,
  kF16,
  kF32,
  kQuantized8,     // 8 bits per weight: int8, fp8, Q8_0
  kQuantizedSub8,  // fewer
};

// The copies that an engine can use, a set: kHbmFull | kHostFull.
enum class Accepts : uint8_t { kNone = 0, kHbmFull = 1, kHbmLowbit = 2, kHostFull = 4 };

constexpr Accepts operator|(Accepts a, Accepts b) {
  return static_cast<Accepts>(static_cast<uint8_t>(a) | static_cast<uint8_t>(b));
}
constexpr bool Includes(Accepts set, Accepts member) {
  return (static_cast<uint8_t>(set) & static_cast<uint8_t>(member)) != 0;
}

enum class LeaseMode : uint8_t {
  kRecallable,  // stays in the client's cache after use until the daemon recalls it
  kPinned,      // until released; its copy is not moved meanwhile
  kStreaming,   // given back on release
};

enum class Phase : uint8_t { kUnspecified, kPrefill, kDecode };

enum class Durability : uint8_t {
  kVolatile,  // put when a copy is in DRAM; lost with the daemon
  kDurable,   // put when it is on disk
};

// "S0", "HBM", "full", ...: for messages and tables.
const char* Name(ResidencyState state);
const char* Name(Encoding encoding);
const char* Name(Role role);
const char* Name(ElementType element);
// Of one element; 0 where elements are not of whole bytes or not of one kind.
constexpr uint64_t ElementBytes(ElementType element) {
  if (element == ElementType::kBf16 || element == ElementType::kF16) return 2;
  return element == ElementType::kF32 ? 4 : 0;
}

struct Tensor {
  std::string name{};
  std::string dtype{};            // as in the checkpoint: "BF16", "Q4_K"
  std::vector<uint64_t> shape{};  // in the checkpoint's order: GGUF has the fastest dimension first
  uint64_t offset = 0;            // from the start of its block
  uint64_t bytes = 0;
};

// One block of an attached model.
struct Block {
  BlockId id{};
  std::string name{};
  uint64_t bytes = 0;
  int32_t layer = -1;   // -1: belongs to no layer
  int32_t expert = -1;  // -1: is no expert
  Role role = Role::kOther;
  ElementType element = ElementType::kOther;
  std::string file{};   // empty where the block comes from no file
  uint64_t offset = 0;  // in `file`
  std::vector<Tensor> tensors{};
};

// How the daemon gets a block's bytes when it holds no copy.
struct NoRecipe {};  // PutBlock supplies them
struct FileRange {
  std::string path{};
  uint64_t offset = 0;
};
struct Alias {
  BlockId of{};  // attached before
};
struct Synthetic {
  uint64_t seed = 0;
};
using Recipe = std::variant<NoRecipe, FileRange, Alias, Synthetic>;

// A block that an engine describes itself.
struct BlockSpec {
  std::string name{};  // unique in the model; 1 to 255 bytes
  uint64_t bytes = 0;
  int32_t layer = -1;
  int32_t expert = -1;
  Role role = Role::kOther;
  ElementType element = ElementType::kOther;
  Recipe recipe{};
  // In [0, 1]; the daemon's own estimate where negative.
  float criticality = -1;
  float sensitivity = -1;
  // How the bytes are laid out, opaque to the daemon and returned with every lease.
  std::string layout{};
};

}  // namespace residency::inline client
