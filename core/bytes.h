// Sizes with a type, and their text form ("24GiB").
#pragma once

#include <compare>
#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace residency {

class Bytes {
 public:
  constexpr Bytes() = default;
  constexpr explicit Bytes(uint64_t count) : count_(count) {}

  constexpr uint64_t count() const { return count_; }
  constexpr bool zero() const { return count_ == 0; }

  friend constexpr auto operator<=>(Bytes, Bytes) = default;
  friend constexpr Bytes operator+(Bytes a, Bytes b) { return Bytes(a.count_ + b.count_); }
  // REQUIRES: a >= b.
  friend constexpr Bytes operator-(Bytes a, Bytes b) { return Bytes(a.count_ - b.count_); }
  friend constexpr Bytes operator*(Bytes a, uint64_t n) { return Bytes(a.count_ * n); }
  friend constexpr uint64_t operator/(Bytes a, Bytes b) { return a.count_ / b.count_; }
  constexpr Bytes& operator+=(Bytes b) { return *this = *this + b; }
  constexpr Bytes& operator-=(Bytes b) { return *this = *this - b; }
  friend std::ostream& operator<<(std::ostream& os, Bytes b);
  template <class H>
  friend H AbslHashValue(H h, Bytes b) {
    return H::combine(std::move(h), b.count_);
  }

 private:
  uint64_t count_ = 0;
};

constexpr Bytes KiB(uint64_t n) { return Bytes(n << 10); }
constexpr Bytes MiB(uint64_t n) { return Bytes(n << 20); }
constexpr Bytes GiB(uint64_t n) { return Bytes(n << 30); }

// Rounds up to a multiple of `unit`. REQUIRES: unit > 0.
constexpr Bytes RoundUp(Bytes b, Bytes unit) {
  return Bytes((b.count() + unit.count() - 1) / unit.count() * unit.count());
}

// Reads "24GiB", "512 MiB", "1.5TB", "4096". Units: B, kB/MB/GB/TB (powers of 1000) and
// KiB/MiB/GiB/TiB (powers of 1024). InvalidArgument says what was found and what is understood.
absl::StatusOr<Bytes> ParseBytes(std::string_view text);

// "1.50 GiB", "512 B": for people, three significant digits.
std::string FormatBytes(Bytes bytes);

}  // namespace residency
