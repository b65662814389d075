#include "client/checkpoint.h"

#include <sys/stat.h>

#include <cerrno>
#include <map>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "client/block_spec.h"
#include "client/header_file.h"
#include "client/xxh.h"

namespace residency::inline client::internal {
namespace {

// The identity of the file and its header, appended to `identity`.
absl::Status AppendIdentity(const SourceFile& source, const CheckpointFile& file,
                            std::string* identity) {
  struct stat info {};
  if (::fstat(source.file.get(), &info) != 0) {
    return absl::ErrnoToStatus(errno, source.path);
  }
  std::string header(file.header_bytes, '\0');
  if (absl::Status read =
          ReadAt(source.path, source.file.get(), file.header_offset, header.size(), header.data());
      !read.ok()) {
    return read;
  }
  absl::StrAppend(identity, info.st_dev, ":", info.st_ino, ":", info.st_size, ":",
                  info.st_mtim.tv_sec, ".", info.st_mtim.tv_nsec, ":", info.st_ctim.tv_sec, ".",
                  info.st_ctim.tv_nsec, ":", Xxh3(header.data(), header.size()), "\n");
  return absl::OkStatus();
}

absl::Status OpenFiles(const CheckpointContent& content, ModelState* model) {
  std::string identity;
  for (const CheckpointFile& file : content.files) {
    absl::StatusOr<SourceFile> source = OpenSource(file.path);
    if (!source.ok()) return source.status();
    if (absl::Status read = AppendIdentity(*source, file, &identity); !read.ok()) return read;
    model->files.push_back(*std::move(source));
  }
  model->fingerprint = absl::StrCat(content.format, "-", Xxh3Hex(identity));
  return absl::OkStatus();
}

Tensor WithinBlock(const CheckpointPiece& piece, uint64_t block_offset) {
  Tensor tensor = piece.tensor;
  tensor.offset = piece.offset - block_offset;
  return tensor;
}

Block ToBlock(const CheckpointContent& content, const CheckpointPiece& piece, std::string name) {
  Block block;
  block.name = std::move(name);
  block.bytes = piece.tensor.bytes;
  block.layer = piece.place.layer;
  block.expert = piece.place.expert;
  block.role = piece.place.role;
  block.element = piece.element;
  block.file = content.files[piece.file].path;
  block.offset = piece.offset;
  block.tensors.push_back(WithinBlock(piece, piece.offset));
  return block;
}

// Whether the piece lies right behind the block, in the same file.
bool Continues(const Block& block, size_t block_file, const CheckpointPiece& piece) {
  return block_file == piece.file && block.offset + block.bytes == piece.offset;
}

// An expert in one run has the expert's name, one in several has numbered names.
void NameRuns(const std::map<std::string, std::vector<size_t>>& runs, std::vector<Block>* blocks) {
  for (const auto& [expert, indices] : runs) {
    if (indices.size() == 1) continue;
    for (size_t i = 0; i < indices.size(); ++i) {
      (*blocks)[indices[i]].name = absl::StrCat(expert, "#", i);
    }
  }
}

// A stranger may have named tensors as the runs of experts are named here.
absl::Status CheckNames(const std::vector<Block>& blocks) {
  absl::flat_hash_set<std::string> names;
  for (const Block& block : blocks) {
    if (absl::Status valid = CheckBlock(block.name, block.bytes); !valid.ok()) return valid;
    if (!names.insert(block.name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("block \"", block.name, "\": name: two blocks would have it"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status GroupTensors(const CheckpointContent& content, Grouping grouping, ModelState* model) {
  std::map<std::string, std::vector<size_t>> runs;  // of an expert: indices of its blocks
  for (const CheckpointPiece& piece : content.pieces) {
    const bool grouped = grouping == Grouping::kPerExpert && piece.place.expert >= 0;
    if (grouped) {
      std::vector<size_t>& run = runs[piece.place.expert_name];
      if (!run.empty()) {
        Block& last = model->blocks[run.back()];
        if (Continues(last, model->sources[run.back()].file, piece)) {
          last.tensors.push_back(WithinBlock(piece, last.offset));
          last.bytes += piece.tensor.bytes;
          if (last.element != piece.element) last.element = ElementType::kOther;
          continue;
        }
      }
      run.push_back(model->blocks.size());
    }
    model->blocks.push_back(
        ToBlock(content, piece, grouped ? piece.place.expert_name : piece.block_name));
    BlockSource source;
    source.recipe = FileRange{model->blocks.back().file, piece.offset};
    source.file = static_cast<uint32_t>(piece.file);
    model->sources.push_back(std::move(source));
  }
  NameRuns(runs, &model->blocks);
  return CheckNames(model->blocks);
}

absl::StatusOr<std::shared_ptr<ModelState>> LoadCheckpoint(const std::string& path,
                                                           const CheckpointOptions& options) {
  absl::StatusOr<CheckpointContent> content = OpenCheckpoint(path, options.role_rules);
  if (!content.ok()) return content.status();
  auto model = std::make_shared<ModelState>();
  model->name = options.model_name.empty() ? path : options.model_name;
  model->limits = options.limits;
  if (absl::Status opened = OpenFiles(*content, model.get()); !opened.ok()) return opened;
  absl::Status grouped = GroupTensors(*content, options.grouping, model.get());
  if (!grouped.ok()) {
    return absl::Status(grouped.code(), absl::StrCat(path, ": ", grouped.message()));
  }
  if (model->blocks.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": holds no tensor with bytes"));
  }
  model->ResolveLimits();
  return model;
}

}  // namespace residency::inline client::internal
