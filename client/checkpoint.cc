#include "client/checkpoint.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/block_spec.h"
#include "client/tensor_names.h"
#include "client/xxh.h"

namespace residency::inline client::internal {
namespace {

absl::Status ReadFully(int fd, uint64_t offset, char* out, size_t bytes, const std::string& path) {
  while (bytes > 0) {
    ssize_t got = ::pread(fd, out, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": reading its header: ", got == 0 ? "the file ends" : std::strerror(errno)));
    }
    out += got;
    offset += static_cast<uint64_t>(got);
    bytes -= static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

// The identity of the file and its header, appended to `identity`.
absl::Status AppendIdentity(const SourceFile& source, std::string* identity) {
  struct stat file {};
  if (::fstat(source.file.get(), &file) != 0) {
    return absl::ErrnoToStatus(errno, source.path);
  }
  unsigned char length_bytes[8];
  if (absl::Status read = ReadFully(source.file.get(), 0, reinterpret_cast<char*>(length_bytes),
                                    sizeof(length_bytes), source.path);
      !read.ok()) {
    return read;
  }
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | length_bytes[i];
  if (length > kMaxSafetensorsHeaderBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(source.path, ": its header changed while it was opened"));
  }
  std::string header(length, '\0');
  if (absl::Status read = ReadFully(source.file.get(), 8, header.data(), length, source.path);
      !read.ok()) {
    return read;
  }
  absl::StrAppend(identity, file.st_dev, ":", file.st_ino, ":", file.st_size, ":",
                  file.st_mtim.tv_sec, ".", file.st_mtim.tv_nsec, ":", file.st_ctim.tv_sec, ".",
                  file.st_ctim.tv_nsec, ":", Xxh3(header.data(), header.size()), "\n");
  return absl::OkStatus();
}

absl::Status OpenFiles(const SafetensorsCheckpoint& checkpoint, ModelState* model) {
  std::string identity;
  for (const SafetensorsFile& file : checkpoint.files) {
    absl::StatusOr<SourceFile> source = OpenSource(file.path);
    if (!source.ok()) return source.status();
    if (absl::Status read = AppendIdentity(*source, &identity); !read.ok()) return read;
    model->files.push_back(*std::move(source));
  }
  model->fingerprint = absl::StrFormat("safetensors-%s", Xxh3Hex(identity));
  return absl::OkStatus();
}

Tensor ToTensor(const SafetensorsTensor& tensor, uint64_t block_offset) {
  return Tensor{tensor.name, residency::Name(tensor.dtype), tensor.shape,
                tensor.offset - block_offset, tensor.bytes};
}

ElementType ElementOf(Dtype dtype) {
  switch (dtype) {
    case Dtype::kBF16:
      return ElementType::kBf16;
    case Dtype::kF16:
      return ElementType::kF16;
    case Dtype::kF32:
      return ElementType::kF32;
    case Dtype::kI8:
    case Dtype::kU8:
    case Dtype::kF8E5M2:
    case Dtype::kF8E4M3:
      return ElementType::kQuantized8;
    default:
      return ElementType::kOther;
  }
}

Block ToBlock(const SafetensorsCheckpoint& checkpoint, const SafetensorsTensor& tensor,
              const TensorPlace& place, std::string name) {
  Block block;
  block.name = std::move(name);
  block.bytes = tensor.bytes;
  block.layer = place.layer;
  block.expert = place.expert;
  block.role = place.role;
  block.element = ElementOf(tensor.dtype);
  block.file = checkpoint.files[tensor.file].path;
  block.offset = tensor.offset;
  block.tensors.push_back(ToTensor(tensor, tensor.offset));
  return block;
}

// Whether the tensor lies right behind the block, in the same file.
bool Continues(const Block& block, size_t block_file, const SafetensorsTensor& tensor) {
  return block_file == tensor.file && block.offset + block.bytes == tensor.offset;
}

// An expert in one piece has the expert's name, one in runs has numbered names.
void NameRuns(const std::map<std::string, std::vector<size_t>>& runs, std::vector<Block>* blocks) {
  for (const auto& [expert, indices] : runs) {
    if (indices.size() == 1) continue;
    for (size_t i = 0; i < indices.size(); ++i) {
      (*blocks)[indices[i]].name = absl::StrCat(expert, "#", i);
    }
  }
}

}  // namespace

absl::Status GroupTensors(const SafetensorsCheckpoint& checkpoint, const CheckpointOptions& options,
                          ModelState* model) {
  std::map<std::string, std::vector<size_t>> runs;  // of an expert: indices of its blocks
  for (const SafetensorsTensor& tensor : checkpoint.tensors) {
    if (tensor.bytes == 0) continue;
    TensorPlace place = PlaceOf(tensor.name, options.role_rules);
    const bool grouped = options.grouping == Grouping::kPerExpert && place.expert >= 0;
    if (grouped) {
      std::vector<size_t>& run = runs[place.expert_name];
      if (!run.empty()) {
        Block& last = model->blocks[run.back()];
        if (Continues(last, model->sources[run.back()].file, tensor)) {
          last.tensors.push_back(ToTensor(tensor, last.offset));
          last.bytes += tensor.bytes;
          if (last.element != ElementOf(tensor.dtype)) last.element = ElementType::kOther;
          continue;
        }
      }
      run.push_back(model->blocks.size());
    }
    model->blocks.push_back(
        ToBlock(checkpoint, tensor, place, grouped ? place.expert_name : tensor.name));
    BlockSource source;
    source.recipe = FileRange{model->blocks.back().file, tensor.offset};
    source.file = static_cast<uint32_t>(tensor.file);
    model->sources.push_back(std::move(source));
  }
  NameRuns(runs, &model->blocks);
  for (const Block& block : model->blocks) {
    if (absl::Status valid = CheckBlock(block.name, block.bytes); !valid.ok()) return valid;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<ModelState>> LoadCheckpoint(const std::string& path,
                                                           const CheckpointOptions& options) {
  absl::StatusOr<SafetensorsCheckpoint> checkpoint = OpenSafetensors(path);
  if (!checkpoint.ok()) return checkpoint.status();
  auto model = std::make_shared<ModelState>();
  model->name = options.model_name.empty() ? path : options.model_name;
  model->limits = options.limits;
  if (absl::Status opened = OpenFiles(*checkpoint, model.get()); !opened.ok()) return opened;
  if (absl::Status grouped = GroupTensors(*checkpoint, options, model.get()); !grouped.ok()) {
    return absl::Status(grouped.code(), absl::StrCat(path, ": ", grouped.message()));
  }
  if (model->blocks.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": holds no tensor with bytes"));
  }
  model->ResolveLimits();
  return model;
}

}  // namespace residency::inline client::internal
