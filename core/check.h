// For what must hold unless this project itself is wrong. Input and I/O never end up here: those
// are absl::Status.
#pragma once

#include <string_view>

namespace residency {

// Prints where and why to stderr and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, std::string_view what);

}  // namespace residency

#define RESIDENCY_CHECK(condition, what)                    \
  do {                                                      \
    if (!(condition)) [[unlikely]] {                        \
      ::residency::CheckFailed(__FILE__, __LINE__, (what)); \
    }                                                       \
  } while (false)
