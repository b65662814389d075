// Where bytes can be and in which form.
#pragma once

#include <cstdint>

namespace residency {

enum class Tier : uint8_t { kHbm, kDram, kNvme };
inline constexpr int kTierCount = 3;

// `kFull`: the registered bytes. `kLowbit`: lossy, directly usable. `kCompressed`: lossless, must
// be decoded.
enum class Encoding : uint8_t { kFull, kLowbit, kCompressed };
inline constexpr int kEncodingCount = 3;

constexpr const char* Name(Tier tier) {
  constexpr const char* kNames[] = {"hbm", "dram", "nvme"};
  return kNames[static_cast<int>(tier)];
}
constexpr const char* Name(Encoding encoding) {
  constexpr const char* kNames[] = {"full", "lowbit", "compressed"};
  return kNames[static_cast<int>(encoding)];
}
constexpr bool IsLossless(Encoding encoding) { return encoding != Encoding::kLowbit; }

}  // namespace residency
