#include "client/checkpoint_content.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/header_file.h"
#include "client/safetensors_json.h"

namespace residency::inline client::internal {
namespace {

constexpr std::string_view kGgufMagic = "GGUF";

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

ElementType ElementOf(GgmlKind kind) {
  switch (kind) {
    case GgmlKind::kF16:
      return ElementType::kF16;
    case GgmlKind::kBf16:
      return ElementType::kBf16;
    case GgmlKind::kF32:
      return ElementType::kF32;
    case GgmlKind::kQuantized8:
      return ElementType::kQuantized8;
    case GgmlKind::kQuantizedSub8:
      return ElementType::kQuantizedSub8;
    case GgmlKind::kOther:
      break;
  }
  return ElementType::kOther;
}

absl::Status InvalidTensor(const GgufCheckpoint& checkpoint, const GgufTensor& tensor,
                           const std::string& problem) {
  return absl::InvalidArgumentError(absl::StrCat(checkpoint.files[tensor.file].path, ": tensor ",
                                                 QuotedForMessage(tensor.name), ": ", problem));
}

CheckpointPiece WholePiece(const GgufTensor& tensor, TensorPlace place) {
  CheckpointPiece piece;
  piece.tensor = Tensor{tensor.name, tensor.type->name, tensor.shape, 0, tensor.bytes};
  piece.block_name = tensor.name;
  piece.place = std::move(place);
  piece.element = ElementOf(tensor.type->kind);
  piece.file = tensor.file;
  piece.offset = tensor.offset;
  return piece;
}

// A piece for each expert, in order.
absl::Status AddExperts(const GgufCheckpoint& checkpoint, const GgufTensor& tensor,
                        const TensorPlace& place, std::vector<CheckpointPiece>* pieces) {
  const uint64_t experts = tensor.shape.empty() ? 0 : tensor.shape.back();
  if (experts == 0) return InvalidTensor(checkpoint, tensor, "has no dimension of experts");
  if (experts > kMaxStackedExperts) {
    return InvalidTensor(checkpoint, tensor,
                         absl::StrCat("holds ", experts, " experts; at most ", kMaxStackedExperts,
                                      " are understood"));
  }
  // In one dimension the experts share the blocks of a quantised type.
  if (tensor.bytes % experts != 0 ||
      (tensor.shape.size() == 1 && tensor.type->block_elements > 1)) {
    return InvalidTensor(checkpoint, tensor,
                         absl::StrCat("its ", tensor.bytes, " bytes of ", tensor.type->name,
                                      " can't be divided among ", experts, " experts"));
  }
  CheckpointPiece all = WholePiece(tensor, place);
  all.tensor.shape.pop_back();
  all.tensor.bytes = tensor.bytes / experts;
  for (uint64_t expert = 0; expert < experts; ++expert) {
    CheckpointPiece& piece = pieces->emplace_back(all);
    piece.block_name = absl::StrCat(tensor.name, "[", expert, "]");
    piece.place.expert = static_cast<int32_t>(expert);
    piece.place.expert_name = absl::StrCat(place.expert_name, ".", expert);
    piece.offset += expert * all.tensor.bytes;
  }
  return absl::OkStatus();
}

struct Found {
  std::vector<std::string> safetensors;
  std::vector<std::string> gguf;
};

absl::StatusOr<Found> ListDirectory(const std::string& directory) {
  std::error_code error;
  Found found;
  std::filesystem::directory_iterator it(directory, error);
  for (; !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    const std::string path = it->path().string();
    if (path.ends_with(".safetensors") || path.ends_with(".safetensors.index.json")) {
      found.safetensors.push_back(path);
    }
    if (path.ends_with(".gguf")) found.gguf.push_back(path);
  }
  if (error) return absl::ErrnoToStatus(error.value(), absl::StrCat(directory, ": cannot list"));
  return found;
}

// Of several GGUF files, the one from which all the others are found.
absl::StatusOr<std::string> ChooseGguf(const std::string& directory, const Found& found) {
  std::vector<std::string> firsts;
  for (const std::string& path : found.gguf) {
    if (found.gguf.size() == 1 || path.find("-00001-of-") != std::string::npos) {
      firsts.push_back(path);
    }
  }
  const bool same_count =
      firsts.size() == 1 && (found.gguf.size() == 1 ||
                             firsts[0].ends_with(absl::StrCat(
                                 "-of-", absl::Dec(found.gguf.size(), absl::kZeroPad5), ".gguf")));
  if (same_count && found.safetensors.empty()) return firsts[0];
  return absl::InvalidArgumentError(absl::StrCat(
      directory, ": holds ", found.gguf.size(), " GGUF files and ", found.safetensors.size(),
      " files of safetensors, which are not one checkpoint; name the file to open"));
}

absl::StatusOr<bool> IsGguf(const std::string& path) {
  if (path.ends_with(".gguf")) return true;
  if (path.ends_with(".json")) return false;
  auto file = OpenHeaderFile(path);
  if (!file.ok()) return file.status();
  if (file->bytes < kGgufMagic.size()) return false;
  auto magic = ReadAt(*file, 0, kGgufMagic.size());
  if (!magic.ok()) return magic.status();
  return *magic == kGgufMagic;
}

}  // namespace

CheckpointContent ContentOf(const SafetensorsCheckpoint& checkpoint,
                            std::span<const RoleRule> rules) {
  CheckpointContent content;
  content.format = "safetensors";
  for (const SafetensorsFile& file : checkpoint.files) {
    content.files.push_back({file.path, kSafetensorsHeaderOffset, file.header_bytes});
  }
  for (const SafetensorsTensor& tensor : checkpoint.tensors) {
    if (tensor.bytes == 0) continue;
    CheckpointPiece& piece = content.pieces.emplace_back();
    piece.tensor =
        Tensor{tensor.name, residency::Name(tensor.dtype), tensor.shape, 0, tensor.bytes};
    piece.block_name = tensor.name;
    piece.place = PlaceOf(tensor.name, rules);
    piece.element = ElementOf(tensor.dtype);
    piece.file = tensor.file;
    piece.offset = tensor.offset;
  }
  return content;
}

absl::StatusOr<CheckpointContent> ContentOf(const GgufCheckpoint& checkpoint,
                                            std::span<const RoleRule> rules) {
  CheckpointContent content;
  content.format = "gguf";
  for (const GgufFile& file : checkpoint.files) {
    content.files.push_back({file.path, 0, file.header_bytes});
  }
  for (const GgufTensor& tensor : checkpoint.tensors) {
    if (tensor.bytes == 0) continue;
    TensorPlace place = PlaceOf(tensor.name, rules);
    // Some writers leave out dimensions of 1: then this is a matrix, of the layer's only expert.
    if (place.holds_all_experts && tensor.name.ends_with(".weight") && tensor.shape.size() < 3) {
      place.holds_all_experts = false;
      place.expert = 0;
      place.expert_name += ".0";
    }
    if (place.holds_all_experts) {
      absl::Status added = AddExperts(checkpoint, tensor, place, &content.pieces);
      if (!added.ok()) return added;
    } else {
      content.pieces.push_back(WholePiece(tensor, std::move(place)));
    }
    if (content.pieces.size() > kMaxCheckpointPieces) {
      return InvalidTensor(checkpoint, tensor,
                           absl::StrCat("with it the checkpoint has more than ",
                                        kMaxCheckpointPieces, " blocks, which is the limit"));
    }
  }
  return content;
}

absl::StatusOr<CheckpointContent> OpenCheckpoint(const std::string& path,
                                                 std::span<const RoleRule> rules) {
  std::error_code error;
  std::string chosen = path;
  bool gguf = false;
  if (std::filesystem::is_directory(path, error)) {
    absl::StatusOr<Found> found = ListDirectory(path);
    if (!found.ok()) return found.status();
    gguf = !found->gguf.empty();
    if (gguf) {
      absl::StatusOr<std::string> choice = ChooseGguf(path, *found);
      if (!choice.ok()) return choice.status();
      chosen = *std::move(choice);
    }
  } else {
    absl::StatusOr<bool> is_gguf = IsGguf(path);
    if (!is_gguf.ok()) return is_gguf.status();
    gguf = *is_gguf;
  }
  if (gguf) {
    absl::StatusOr<GgufCheckpoint> checkpoint = OpenGguf(chosen);
    if (!checkpoint.ok()) return checkpoint.status();
    return ContentOf(*checkpoint, rules);
  }
  absl::StatusOr<SafetensorsCheckpoint> checkpoint = OpenSafetensors(path);
  if (!checkpoint.ok()) return checkpoint.status();
  return ContentOf(*checkpoint, rules);
}

}  // namespace residency::inline client::internal
