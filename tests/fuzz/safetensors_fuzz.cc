// A safetensors file: its length field, its JSON and the ranges in it.
#include <string>

#include "client/safetensors.h"
#include "tests/fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using residency::fuzz::Check;
  static auto& file = *new residency::fuzz::MemoryFile;
  // The first two bytes are how much data follows, so that few bytes can describe much.
  if (size < 2) return 0;
  const uint64_t hole = data[0] | uint64_t{data[1]} << 8;
  file.Write(residency::fuzz::TextOf(data + 2, size - 2), hole);
  const auto checkpoint = residency::OpenSafetensors(file.path());
  if (!checkpoint.ok()) return 0;
  uint64_t covered = checkpoint->files[0].header_bytes + residency::kSafetensorsHeaderOffset;
  for (const residency::SafetensorsTensor& tensor : checkpoint->tensors) {
    Check(tensor.offset == covered, "tensors cover the data without hole or overlap");
    Check(tensor.bytes == residency::TensorBytes(tensor.dtype, tensor.shape),
          "a tensor's range is of its size");
    covered += tensor.bytes;
  }
  Check(covered == size - 2 + hole, "tensors cover the data up to its end");
  return 0;
}
