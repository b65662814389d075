// The index of a sharded safetensors checkpoint, beside two shards, "a.safetensors" with the tensor
// "x" and "b.safetensors" with "y" and "z".
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "client/safetensors.h"
#include "tests/fuzz/memory_file.h"

namespace {

std::string Shard(const std::string& json, size_t data_bytes) {
  std::string out;
  for (int i = 0; i < 8; ++i) out.push_back(static_cast<char>(json.size() >> (8 * i)));
  return out + json + std::string(data_bytes, 'd');
}

// A folder with the shards and a link to the input, removed at the end of the program.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "fuzz_index_XXXXXX").string();
    residency::fuzz::Check(::mkdtemp(name.data()) != nullptr, "mkdtemp");
    path_ = name;
    Put("a.safetensors", Shard(R"({"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 4));
    Put("b.safetensors", Shard(R"({"y":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                               R"("z":{"dtype":"F16","shape":[2],"data_offsets":[4,8]}})",
                               8));
    std::filesystem::create_symlink(index_.path(), path_ / kIndex);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  residency::fuzz::MemoryFile& index() { return index_; }
  std::string index_path() const { return (path_ / kIndex).string(); }

 private:
  static constexpr char kIndex[] = "m.safetensors.index.json";

  void Put(const std::string& name, const std::string& content) const {
    std::ofstream(path_ / name, std::ios::binary) << content;
  }

  residency::fuzz::MemoryFile index_;
  std::filesystem::path path_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using residency::fuzz::Check;
  static Folder folder;
  folder.index().Write(residency::fuzz::TextOf(data, size));
  const auto checkpoint = residency::OpenSafetensors(folder.index_path());
  if (!checkpoint.ok()) return 0;
  for (const residency::SafetensorsFile& file : checkpoint->files) {
    const std::string name = std::filesystem::path(file.path).filename();
    Check(name == "a.safetensors" || name == "b.safetensors", "only shards beside it are opened");
  }
  Check(!checkpoint->tensors.empty(), "an accepted index names a tensor");
  return 0;
}
