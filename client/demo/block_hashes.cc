#include "client/demo/block_hashes.h"

#include <fstream>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/xxh.h"

namespace residency::demo {

absl::StatusOr<BlockHashes> HashBlocks(const Model& model,
                                       const std::function<void(uint64_t)>& progress) {
  BlockHashes hashes;
  std::map<std::string, std::ifstream> files;
  std::vector<char> bytes;
  uint64_t done = 0;
  for (const Block& block : model.blocks()) {
    std::ifstream& file = files.try_emplace(block.file, block.file, std::ios::binary).first->second;
    bytes.resize(block.bytes);
    file.seekg(static_cast<std::streamoff>(block.offset));
    if (!file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()))) {
      return absl::DataLossError(absl::StrCat("can't read ", block.bytes, " bytes of block ",
                                              block.name, " at ", block.offset, " of ",
                                              block.file));
    }
    hashes[static_cast<uint32_t>(block.id)] = internal::Xxh3(bytes.data(), bytes.size());
    progress(done += block.bytes);
  }
  return hashes;
}

}  // namespace residency::demo
