#include "client/gguf.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/gguf_header.h"
#include "client/header_file.h"
#include "client/safetensors_json.h"

namespace residency {
namespace {

constexpr uint64_t kFirstReadBytes = uint64_t{1} << 20;
constexpr uint64_t kReadGrowth = 8;
constexpr char kPartKey[] = "split.no";
constexpr char kPartsKey[] = "split.count";
constexpr char kTensorsKey[] = "split.tensors.count";

absl::Status Invalid(const std::string& file, const std::string& problem) {
  return absl::InvalidArgumentError(absl::StrCat(file, ": ", problem));
}

struct FileContents {
  GgufHeader header;
  uint64_t file_bytes = 0;
};

// How long the header is shows only when it has been read: tries with more and more of the file.
absl::StatusOr<FileContents> ReadFileHeader(const std::string& path) {
  auto file = OpenHeaderFile(path);
  if (!file.ok()) return file.status();
  for (uint64_t wanted = kFirstReadBytes;; wanted *= kReadGrowth) {
    auto prefix = ReadAt(*file, 0, std::min({wanted, file->bytes, kMaxGgufHeaderBytes}));
    if (!prefix.ok()) return prefix.status();
    auto header = ParseGgufHeader(path, *prefix, file->bytes);
    if (header.ok()) return FileContents{*std::move(header), file->bytes};
    if (!absl::IsOutOfRange(header.status())) return header.status();
  }
}

// A whole number that is not negative; `otherwise` where there is no such key.
absl::StatusOr<uint64_t> Number(const std::string& path, const GgufHeader& header, const char* key,
                                uint64_t otherwise) {
  const auto found = header.metadata.find(key);
  if (found == header.metadata.end()) return otherwise;
  if (const auto* value = std::get_if<uint64_t>(&found->second)) return *value;
  const auto* value = std::get_if<int64_t>(&found->second);
  if (value != nullptr && *value >= 0) return static_cast<uint64_t>(*value);
  return Invalid(path, absl::StrCat("'", key, "' must be a number that is not negative"));
}

// What the file says of itself and the others. A file without these keys is the only one.
struct Part {
  uint64_t number = 0;  // from 0
  uint64_t count = 1;
  uint64_t tensors = 0;  // of all parts
};

absl::StatusOr<Part> PartOf(const std::string& path, const GgufHeader& header) {
  auto number = Number(path, header, kPartKey, 0);
  if (!number.ok()) return number.status();
  auto count = Number(path, header, kPartsKey, 1);
  if (!count.ok()) return count.status();
  auto tensors = Number(path, header, kTensorsKey, header.tensors.size());
  if (!tensors.ok()) return tensors.status();
  if (*count > kMaxGgufParts) {
    return Invalid(path, absl::StrCat("is one of ", *count, " parts; at most ", kMaxGgufParts,
                                      " are understood"));
  }
  return Part{*number, std::max<uint64_t>(*count, 1), *tensors};
}

std::string PartSuffix(uint64_t number, uint64_t count) {
  return absl::StrFormat("-%05d-of-%05d.gguf", number + 1, count);
}

// The path of another part, by that of this one.
absl::StatusOr<std::string> PathOfPart(const std::string& path, const Part& part, uint64_t number) {
  const std::string own = PartSuffix(part.number, part.count);
  if (!path.ends_with(own)) {
    return Invalid(path, absl::StrCat("is part ", part.number + 1, " of ", part.count,
                                      ": its name must end in ", own,
                                      ", so that the other parts can be found"));
  }
  return path.substr(0, path.size() - own.size()) + PartSuffix(number, part.count);
}

// A part without the keys that say so would pass for the whole.
absl::Status CheckWhole(const std::string& path, const Part& part) {
  constexpr std::string_view kShape = "-00000-of-00000.gguf";
  if (part.count > 1 || path.size() < kShape.size()) return absl::OkStatus();
  const std::string end = path.substr(path.size() - kShape.size());
  for (size_t i = 0; i < end.size(); ++i) {
    const bool fits = kShape[i] == '0' ? end[i] >= '0' && end[i] <= '9' : end[i] == kShape[i];
    if (!fits) return absl::OkStatus();
  }
  if (end == PartSuffix(0, 1)) return absl::OkStatus();
  return Invalid(path, absl::StrCat("is named as one of several parts, but its metadata has no '",
                                    kPartsKey, "' above 1; rename it if it is whole"));
}

absl::Status CheckPart(const std::string& path, const Part& found, const Part& wanted) {
  if (found.number == wanted.number && found.count == wanted.count &&
      found.tensors == wanted.tensors) {
    return absl::OkStatus();
  }
  return Invalid(
      path, absl::StrCat("says that it is part ", found.number + 1, " of ", found.count, " with ",
                         found.tensors, " tensors in all; wanted part ", wanted.number + 1, " of ",
                         wanted.count, " with ", wanted.tensors));
}

absl::Status AddFile(const std::string& path, FileContents contents, std::set<std::string>* names,
                     GgufCheckpoint* checkpoint) {
  const size_t file = checkpoint->files.size();
  checkpoint->files.push_back({path, contents.file_bytes, contents.header.bytes});
  for (GgufTensor& tensor : contents.header.tensors) {
    if (!names->insert(tensor.name).second) {
      return Invalid(path, absl::StrCat("tensor ", QuotedForMessage(tensor.name),
                                        ": is in another part of the checkpoint too"));
    }
    tensor.file = file;
    checkpoint->tensors.push_back(std::move(tensor));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GgufCheckpoint> OpenGguf(const std::string& path) {
  auto first = ReadFileHeader(path);
  if (!first.ok()) return first.status();
  auto part = PartOf(path, first->header);
  if (!part.ok()) return part.status();
  if (auto whole = CheckWhole(path, *part); !whole.ok()) return whole;
  if (part->number != 0) {
    auto wanted = PathOfPart(path, *part, 0);
    if (!wanted.ok()) return wanted.status();
    return Invalid(path, absl::StrCat("is part ", part->number + 1, " of ", part->count,
                                      "; name the first: ", *wanted));
  }
  GgufCheckpoint checkpoint;
  std::set<std::string> names;
  if (auto added = AddFile(path, *std::move(first), &names, &checkpoint); !added.ok()) return added;
  for (uint64_t number = 1; number < part->count; ++number) {
    auto next = PathOfPart(path, *part, number);
    if (!next.ok()) return next.status();
    auto contents = ReadFileHeader(*next);
    if (!contents.ok()) return contents.status();
    auto found = PartOf(*next, contents->header);
    if (!found.ok()) return found.status();
    auto same = CheckPart(*next, *found, Part{number, part->count, part->tensors});
    if (!same.ok()) return same;
    if (auto added = AddFile(*next, *std::move(contents), &names, &checkpoint); !added.ok()) {
      return added;
    }
  }
  if (checkpoint.tensors.size() != part->tensors) {
    return Invalid(path, absl::StrCat("'", kTensorsKey, "' is ", part->tensors, ", but its ",
                                      part->count, " parts hold ", checkpoint.tensors.size()));
  }
  return checkpoint;
}

}  // namespace residency
