// XXH3, compiled in, so that what links the client need not find the library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace residency::inline client::internal {

uint64_t Xxh3(const void* data, size_t bytes);
std::string Xxh3Hex(std::string_view text);  // of 128 bits: 32 digits

}  // namespace residency::inline client::internal
