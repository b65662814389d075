// A GGUF file, from its bytes to the blocks of a model.
#include <algorithm>
#include <string>

#include "client/checkpoint.h"
#include "client/gguf_header.h"
#include "tests/fuzz/memory_file.h"

namespace {

using residency::fuzz::Check;

void CheckRanges(const residency::GgufCheckpoint& checkpoint) {
  uint64_t covered = checkpoint.files[0].header_bytes;
  for (const residency::GgufTensor& tensor : checkpoint.tensors) {
    Check(tensor.offset >= covered, "tensors do not overlap each other or the header");
    Check(residency::GgmlBytes(*tensor.type, tensor.shape).value_or(~uint64_t{0}) == tensor.bytes,
          "a tensor's range is of its size");
    covered = tensor.offset + tensor.bytes;
  }
  Check(covered <= checkpoint.files[0].bytes, "tensors lie in the file");
}

// How many blocks there would be; what takes long is left out here.
uint64_t Pieces(const residency::GgufCheckpoint& checkpoint) {
  uint64_t pieces = 0;
  for (const residency::GgufTensor& tensor : checkpoint.tensors) {
    pieces += tensor.shape.empty() ? 1 : std::min<uint64_t>(tensor.shape.back(), 1 << 20);
  }
  return pieces;
}

void CheckBlocks(const residency::GgufCheckpoint& checkpoint) {
  const auto content = residency::internal::ContentOf(checkpoint, {});
  if (!content.ok()) return;
  residency::internal::ModelState model;
  if (!GroupTensors(*content, residency::Grouping::kPerExpert, &model).ok()) return;
  uint64_t of_tensors = 0, of_blocks = 0;
  for (const residency::GgufTensor& tensor : checkpoint.tensors) of_tensors += tensor.bytes;
  for (const residency::Block& block : model.blocks) {
    of_blocks += block.bytes;
    Check(block.offset + block.bytes <= checkpoint.files[0].bytes, "blocks lie in the file");
  }
  Check(of_tensors == of_blocks, "every byte of a tensor is in one block");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto& file = *new residency::fuzz::MemoryFile;
  // The first byte is how much data follows, so that few bytes can describe much.
  if (size < 1) return 0;
  const uint64_t hole = data[0] == 0 ? 0 : uint64_t{1} << std::min<int>(data[0], 42);
  const std::string_view bytes = residency::fuzz::TextOf(data + 1, size - 1);
  const uint64_t file_bytes = bytes.size() + hole;
  const auto header = residency::ParseGgufHeader("f", bytes, file_bytes);
  if (header.ok() && header->bytes > 0) {
    // What a part of the header is not enough for, it says; it never says something else.
    const auto part =
        residency::ParseGgufHeader("f", bytes.substr(0, header->bytes / 2), file_bytes);
    Check(absl::IsOutOfRange(part.status()), "half a header is not enough");
  }
  file.Write(bytes, hole);
  const auto checkpoint = residency::OpenGguf(file.path());
  if (!checkpoint.ok()) return 0;
  // A header may go on in the zeros that follow.
  Check(header.ok() || absl::IsOutOfRange(header.status()), "a file that opens has a header");
  CheckRanges(*checkpoint);
  if (Pieces(*checkpoint) < 10'000) CheckBlocks(*checkpoint);
  return 0;
}
