// The version that programs of this project report; set by the build.
#pragma once

namespace residency {

#ifndef RESIDENCY_VERSION
#define RESIDENCY_VERSION "unknown"
#endif
inline constexpr const char* kVersion = RESIDENCY_VERSION;

}  // namespace residency
