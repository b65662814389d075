// A file in memory whose content changes with every input, under a path that stays.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "tests/fuzz/fuzz_input.h"

namespace residency::fuzz {

class MemoryFile {
 public:
  MemoryFile() : fd_(::memfd_create("fuzz", MFD_CLOEXEC)) { Check(fd_ >= 0, "memfd_create"); }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  // `hole`: bytes that follow, zeros that take no memory.
  void Write(std::string_view content, uint64_t hole = 0) {
    Check(::ftruncate(fd_, 0) == 0, "ftruncate");
    Check(::pwrite(fd_, content.data(), content.size(), 0) == static_cast<ssize_t>(content.size()),
          "pwrite");
    Check(::ftruncate(fd_, static_cast<off_t>(content.size() + hole)) == 0, "ftruncate");
  }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  const int fd_;
};

}  // namespace residency::fuzz
