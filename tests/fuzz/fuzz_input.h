// What the fuzz targets share: checks that end the program, and inputs of several frames.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace residency::fuzz {

// A promise that was broken: libFuzzer keeps the input.
inline void Check(bool holds, const char* promise) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

inline std::string_view TextOf(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// One of several things that an input holds one after the other: a byte that says what it is, two
// bytes of length, little endian, and as many bytes, or what is left.
struct Frame {
  uint8_t kind = 0;
  std::string payload;
};

class Frames {
 public:
  Frames(const uint8_t* data, size_t size) : rest_(TextOf(data, size)) {}

  // False at the end, or after kFramesMax.
  bool Next(Frame* frame) {
    constexpr size_t kHeadBytes = 3;
    if (taken_ == kFramesMax || rest_.size() < kHeadBytes) return false;
    ++taken_;
    frame->kind = Byte(0);
    const size_t wanted = Byte(1) | size_t{Byte(2)} << 8;
    frame->payload = rest_.substr(kHeadBytes, wanted);
    rest_.remove_prefix(kHeadBytes + frame->payload.size());
    return true;
  }

  // For those who write inputs.
  static std::string Encode(uint8_t kind, std::string_view payload) {
    std::string out = {static_cast<char>(kind), static_cast<char>(payload.size()),
                       static_cast<char>(payload.size() >> 8)};
    return out.append(payload);
  }

 private:
  static constexpr size_t kFramesMax = 256;

  uint8_t Byte(size_t i) const { return static_cast<uint8_t>(rest_[i]); }

  std::string_view rest_;
  size_t taken_ = 0;
};

}  // namespace residency::fuzz
