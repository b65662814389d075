#include "client/safetensors.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/header_file.h"
#include "client/safetensors_header.h"
#include "client/safetensors_json.h"

namespace residency {
namespace {

namespace fs = std::filesystem;

constexpr char kFileSuffix[] = ".safetensors";
constexpr char kIndexSuffix[] = ".safetensors.index.json";
constexpr uint64_t kLengthFieldBytes = kSafetensorsHeaderOffset;

absl::Status Invalid(const std::string& file, const std::string& problem) {
  return absl::InvalidArgumentError(absl::StrCat(file, ": ", problem));
}

uint64_t LittleEndian64(const std::string& raw) {
  uint64_t value = 0;
  for (size_t i = raw.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(raw[i]);
  return value;
}

struct FileContents {
  SafetensorsHeader header;  // offsets already absolute
  uint64_t file_bytes = 0;
  uint64_t header_bytes = 0;
};

absl::StatusOr<FileContents> ReadFileHeader(const std::string& path) {
  auto file = OpenHeaderFile(path);
  if (!file.ok()) return file.status();
  if (file->bytes < kLengthFieldBytes) {
    return Invalid(path, absl::StrCat("holds ", file->bytes,
                                      " bytes; a safetensors file has at "
                                      "least the 8 of its header length: it is truncated"));
  }
  auto raw = ReadAt(*file, 0, kLengthFieldBytes);
  if (!raw.ok()) return raw.status();
  const uint64_t length = LittleEndian64(*raw);
  if (length > kMaxSafetensorsHeaderBytes) {
    return Invalid(path, absl::StrCat("header length ", length, " is above the limit of ",
                                      kMaxSafetensorsHeaderBytes, " bytes"));
  }
  if (length > file->bytes - kLengthFieldBytes) {
    return Invalid(path, absl::StrCat("header length ", length, " goes beyond the file, which has ",
                                      file->bytes, " bytes: it is truncated"));
  }
  auto json = ReadAt(*file, kLengthFieldBytes, length);
  if (!json.ok()) return json.status();
  const uint64_t data_start = kLengthFieldBytes + length;
  auto header = ParseSafetensorsHeader(path, *json, file->bytes - data_start);
  if (!header.ok()) return header.status();
  for (SafetensorsTensor& tensor : header->tensors) tensor.offset += data_start;
  return FileContents{*std::move(header), file->bytes, length};
}

// Appends the tensors of one file for which `listed` is true.
template <class Listed>
void AddFile(const std::string& path, FileContents contents, Listed listed,
             SafetensorsCheckpoint* checkpoint) {
  const size_t file = checkpoint->files.size();
  checkpoint->files.push_back({path, contents.file_bytes, contents.header_bytes});
  for (SafetensorsTensor& tensor : contents.header.tensors) {
    if (!listed(tensor.name)) continue;
    tensor.file = file;
    checkpoint->tensors.push_back(std::move(tensor));
  }
  checkpoint->metadata.merge(contents.header.metadata);
}

absl::StatusOr<SafetensorsCheckpoint> OpenSingle(const std::string& path) {
  auto contents = ReadFileHeader(path);
  if (!contents.ok()) return contents.status();
  SafetensorsCheckpoint checkpoint;
  AddFile(
      path, *std::move(contents), [](const std::string&) { return true; }, &checkpoint);
  return checkpoint;
}

// A shard is named relative to its index and lies below it: an index from a stranger must not be
// able to name other files of the reader.
bool StaysInside(const std::string& shard) {
  if (shard.empty() || shard.find('\0') != std::string::npos) return false;
  const fs::path path(shard);
  if (path.is_absolute()) return false;
  return std::none_of(path.begin(), path.end(), [](const fs::path& part) { return part == ".."; });
}

using ShardTensors = std::map<std::string, std::set<std::string>>;  // shard -> tensors expected

absl::StatusOr<ShardTensors> ParseWeightMap(const std::string& path, const nlohmann::json& root) {
  const auto map = root.is_object() ? root.find("weight_map") : root.end();
  if (!root.is_object() || map == root.end() || !map->is_object()) {
    return Invalid(path, "an index must be an object with an object 'weight_map'");
  }
  ShardTensors shards;
  for (const auto& [tensor, shard] : map->items()) {
    if (!shard.is_string()) {
      return Invalid(path, absl::StrCat("tensor ", QuotedForMessage(tensor),
                                        ": its shard must be text, found ", shard.type_name()));
    }
    const auto& name = shard.get_ref<const std::string&>();
    if (!StaysInside(name)) {
      return Invalid(
          path,
          absl::StrCat("tensor ", QuotedForMessage(tensor), ": the shard ", QuotedForMessage(name),
                       " is not below the index's own "
                       "directory; only relative names without '..' are followed"));
    }
    shards[name].insert(tensor);
    if (shards.size() > kMaxSafetensorsShards) {
      return Invalid(path, absl::StrCat("names more than ", kMaxSafetensorsShards, " shards"));
    }
  }
  if (shards.empty()) return Invalid(path, "'weight_map' names no tensor");
  return shards;
}

absl::StatusOr<ShardTensors> ReadIndex(const std::string& path) {
  auto file = OpenHeaderFile(path);
  if (!file.ok()) return file.status();
  if (file->bytes > kMaxSafetensorsHeaderBytes) {
    return Invalid(path, absl::StrCat("an index of ", file->bytes, " bytes is above the limit of ",
                                      kMaxSafetensorsHeaderBytes));
  }
  auto text = ReadAt(*file, 0, file->bytes);
  if (!text.ok()) return text.status();
  auto root = ParseStrictJson(path, *text);
  if (!root.ok()) return root.status();
  return ParseWeightMap(path, *root);
}

absl::StatusOr<SafetensorsCheckpoint> OpenSharded(const std::string& index) {
  auto shards = ReadIndex(index);
  if (!shards.ok()) return shards.status();
  SafetensorsCheckpoint checkpoint;
  for (auto& [shard, expected] : *shards) {
    const std::string path = (fs::path(index).parent_path() / shard).string();
    auto contents = ReadFileHeader(path);
    if (!contents.ok()) return contents.status();
    std::set<std::string> missing = expected;
    for (const SafetensorsTensor& tensor : contents->header.tensors) missing.erase(tensor.name);
    if (!missing.empty()) {
      return Invalid(path, absl::StrCat("tensor ", QuotedForMessage(*missing.begin()),
                                        " is not in this shard, though ", index, " says so"));
    }
    const auto listed = [&expected](const std::string& name) { return expected.contains(name); };
    AddFile(path, *std::move(contents), listed, &checkpoint);
  }
  return checkpoint;
}

// The one file of the directory to open; an index comes before plain files.
absl::StatusOr<std::string> ChooseInDirectory(const std::string& directory) {
  std::error_code error;
  std::vector<std::string> indexes, files;
  fs::directory_iterator it(directory, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) {
    const std::string path = it->path().string();
    if (absl::EndsWith(path, kIndexSuffix)) indexes.push_back(path);
    if (absl::EndsWith(path, kFileSuffix)) files.push_back(path);
  }
  if (error) {
    return absl::ErrnoToStatus(error.value(), absl::StrCat(directory, ": cannot list"));
  }
  const std::vector<std::string>& choice = indexes.empty() ? files : indexes;
  if (choice.size() == 1) return choice[0];
  if (choice.empty()) {
    return absl::NotFoundError(
        absl::StrCat(directory, ": holds neither a *", kFileSuffix, " file nor a *", kIndexSuffix));
  }
  return Invalid(directory, absl::StrCat("holds ", indexes.size(), " indexes and ", files.size(),
                                         " safetensors files; name the one to open"));
}

}  // namespace

absl::StatusOr<SafetensorsCheckpoint> OpenSafetensors(const std::string& path) {
  std::error_code error;
  std::string chosen = path;
  if (fs::is_directory(path, error)) {
    auto choice = ChooseInDirectory(path);
    if (!choice.ok()) return choice.status();
    chosen = *std::move(choice);
  }
  if (absl::EndsWith(chosen, kIndexSuffix)) return OpenSharded(chosen);
  return OpenSingle(chosen);
}

}  // namespace residency
