#include "client/block_spec.h"

#include <fcntl.h>

#include <cerrno>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"

namespace residency::inline client::internal {
namespace {

// The index of the file in `model->files`, opened at its first mention.
absl::StatusOr<uint32_t> FileIndex(const std::string& path, ModelState* model,
                                   std::map<std::string, uint32_t>* opened) {
  auto [at, added] = opened->try_emplace(path, static_cast<uint32_t>(model->files.size()));
  if (added) {
    absl::StatusOr<SourceFile> source = OpenSource(path);
    if (!source.ok()) return source.status();
    model->files.push_back(*std::move(source));
  }
  return at->second;
}

Block ToBlock(BlockSpec& spec) {
  Block block;
  block.name = std::move(spec.name);
  block.bytes = spec.bytes;
  block.layer = spec.layer < 0 ? -1 : spec.layer;
  block.expert = spec.expert < 0 ? -1 : spec.expert;
  block.role = spec.role;
  block.element = spec.element;
  if (const auto* range = std::get_if<FileRange>(&spec.recipe)) {
    block.file = range->path;
    block.offset = range->offset;
  }
  return block;
}

}  // namespace

absl::Status CheckBlock(const std::string& name, uint64_t bytes) {
  if (name.empty() || name.size() > kNameBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("block \"", name, "\": name: ", name.size(),
                                                   " bytes; wanted 1 to ", kNameBytesMax));
  }
  if (bytes == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("block \"", name, "\": bytes: 0; an empty block can't be leased"));
  }
  return absl::OkStatus();
}

absl::StatusOr<SourceFile> OpenSource(const std::string& path) {
  SourceFile source{path, UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC))};
  if (!source.file.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", path));
  return source;
}

absl::StatusOr<std::shared_ptr<ModelState>> LoadSpecs(ModelSpec spec,
                                                      std::vector<BlockSpec> blocks) {
  if (spec.fingerprint.empty() || spec.fingerprint.size() > kNameBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("model \"", spec.name,
                                                   "\": fingerprint: ", spec.fingerprint.size(),
                                                   " bytes; wanted 1 to ", kNameBytesMax));
  }
  if (blocks.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("model \"", spec.name, "\": has no blocks"));
  }
  auto model = std::make_shared<ModelState>();
  model->name = spec.name.empty() ? spec.fingerprint : std::move(spec.name);
  model->fingerprint = std::move(spec.fingerprint);
  model->limits = spec.limits;
  std::map<std::string, uint32_t> opened;
  std::set<std::string> names;
  for (BlockSpec& block : blocks) {
    if (absl::Status valid = CheckBlock(block.name, block.bytes); !valid.ok()) return valid;
    if (!names.insert(block.name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("block \"", block.name, "\": name: given twice"));
    }
    BlockSource source;
    if (const auto* range = std::get_if<FileRange>(&block.recipe)) {
      absl::StatusOr<uint32_t> index = FileIndex(range->path, model.get(), &opened);
      if (!index.ok()) return index.status();
      source.file = *index;
    }
    source.criticality = block.criticality;
    source.sensitivity = block.sensitivity;
    source.layout = std::move(block.layout);
    source.recipe = block.recipe;
    model->blocks.push_back(ToBlock(block));
    model->sources.push_back(std::move(source));
  }
  model->ResolveLimits();
  return model;
}

}  // namespace residency::inline client::internal
