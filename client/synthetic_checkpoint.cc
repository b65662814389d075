#include "client/synthetic_checkpoint.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace residency {
namespace {

constexpr size_t kTableEntries = 65536;
constexpr uint64_t kMaxExpertsInAll = 1'000'000;
constexpr uint64_t kMaxWidth = uint64_t{1} << 20;
constexpr size_t kChunkWords = size_t{1} << 17;  // 1 MiB
constexpr uint64_t kProgressEveryBytes = uint64_t{8} << 20;

// The quantiles of the standard normal distribution at (i + 0.5) / 65536, ascending. Drawing one
// uniformly draws a Gaussian as fine as bf16 can show, for a table look-up per weight.
std::vector<double> NormalQuantiles() {
  std::vector<double> quantiles(kTableEntries);
  double x = 0;
  for (size_t i = kTableEntries / 2; i < kTableEntries; ++i) {
    const double wanted = (static_cast<double>(i) + 0.5) / kTableEntries;
    // Newton from the quantile before: the distribution function is concave here, so the iterates
    // rise towards the root and never pass it.
    for (int step = 0; step < 30; ++step) {
      const double probability = 1 - 0.5 * std::erfc(x / std::sqrt(2.0));
      const double density = std::exp(-0.5 * x * x) / std::sqrt(2 * M_PI);
      const double move = (wanted - probability) / density;
      x += move;
      if (std::abs(move) < 1e-10) break;
    }
    quantiles[i] = x;
    quantiles[kTableEntries - 1 - i] = -x;
  }
  return quantiles;
}

uint16_t ToBf16(double value) {
  const uint32_t bits = std::bit_cast<uint32_t>(static_cast<float>(value));
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);  // nearest, ties to even
}

std::vector<uint16_t> WeightTable(float standard_deviation) {
  static const std::vector<double> quantiles = NormalQuantiles();
  std::vector<uint16_t> table(kTableEntries);
  std::transform(quantiles.begin(), quantiles.end(), table.begin(),
                 [=](double q) { return ToBf16(q * standard_deviation); });
  return table;
}

// splitmix64: four table indexes a word.
uint64_t RandomWord(uint64_t seed, uint64_t index) {
  uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

// Weights [4 * first_word, ...) of the stream that `seed` names.
void FillWeights(const std::vector<uint16_t>& table, uint64_t seed, uint64_t first_word,
                 std::span<uint64_t> words) {
  static_assert(std::endian::native == std::endian::little);
  for (size_t i = 0; i < words.size(); ++i) {
    const uint64_t random = RandomWord(seed, first_word + i);
    words[i] = uint64_t{table[random & 0xffff]} | uint64_t{table[random >> 16 & 0xffff]} << 16 |
               uint64_t{table[random >> 32 & 0xffff]} << 32 | uint64_t{table[random >> 48]} << 48;
  }
}

absl::Status CheckOptions(const SyntheticCheckpointOptions& options) {
  const uint64_t experts = uint64_t{options.layers} * options.experts;
  if (experts == 0 || experts > kMaxExpertsInAll) {
    return absl::InvalidArgumentError(
        absl::StrCat("a synthetic checkpoint needs 1 to ", kMaxExpertsInAll, " experts in all, ",
                     options.layers, " layers of ", options.experts, " were asked for"));
  }
  if (options.hidden == 0 || options.hidden > kMaxWidth || options.intermediate > kMaxWidth) {
    return absl::InvalidArgumentError(absl::StrCat("widths of a synthetic checkpoint go from 1 to ",
                                                   kMaxWidth, ", found hidden ", options.hidden,
                                                   ", intermediate ", options.intermediate));
  }
  if (!std::isfinite(options.standard_deviation) || options.standard_deviation <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the standard deviation must be above 0, found ", options.standard_deviation));
  }
  return absl::OkStatus();
}

class Stream {
 public:
  Stream(CheckpointWriter* writer, const SyntheticCheckpointOptions& options)
      : writer_(writer),
        options_(options),
        table_(WeightTable(options.standard_deviation)),
        chunk_(kChunkWords) {}

  // `number` is the tensor's place in the file and seeds it: its bytes depend on nothing else.
  absl::Status WriteTensor(uint64_t number, uint64_t bytes) {
    const uint64_t seed = RandomWord(options_.seed, number);
    for (uint64_t at = 0; at < bytes;) {
      const uint64_t size = std::min<uint64_t>(bytes - at, kChunkWords * sizeof(uint64_t));
      const std::span<uint64_t> words(chunk_.data(), (size + 7) / 8);
      FillWeights(table_, seed, at / 8, words);
      auto status = writer_->Append(std::as_bytes(words).first(size));
      if (!status.ok()) return status;
      at += size;
      done_ += size;
      if (!Report()) return absl::CancelledError("the synthetic checkpoint was not wanted further");
    }
    return absl::OkStatus();
  }

 private:
  bool Report() {
    if (!options_.progress) return true;
    if (done_ < next_report_ && done_ != writer_->data_bytes()) return true;
    next_report_ = done_ + kProgressEveryBytes;
    return options_.progress(done_, writer_->data_bytes());
  }

  CheckpointWriter* const writer_;
  const SyntheticCheckpointOptions& options_;
  const std::vector<uint16_t> table_;
  std::vector<uint64_t> chunk_;
  uint64_t done_ = 0;
  uint64_t next_report_ = 0;
};

}  // namespace

absl::StatusOr<std::vector<TensorSpec>> SyntheticTensors(
    const SyntheticCheckpointOptions& options) {
  auto status = CheckOptions(options);
  if (!status.ok()) return status;
  const uint64_t hidden = options.hidden;
  uint64_t inner = options.intermediate;
  if (inner == 0) inner = std::clamp<uint64_t>(options.expert_bytes / (6 * hidden), 1, kMaxWidth);
  std::vector<TensorSpec> tensors;
  const auto add = [&tensors](std::string name, std::vector<uint64_t> shape) {
    tensors.push_back({absl::StrCat(name, ".weight"), Dtype::kBF16, std::move(shape)});
  };
  for (uint32_t l = 0; l < options.layers; ++l) {
    const std::string layer = absl::StrCat("model.layers.", l);
    add(absl::StrCat(layer, ".input_layernorm"), {hidden});
    add(absl::StrCat(layer, ".self_attn.qkv_proj"), {3 * hidden, hidden});
    add(absl::StrCat(layer, ".self_attn.o_proj"), {hidden, hidden});
    add(absl::StrCat(layer, ".post_attention_layernorm"), {hidden});
    add(absl::StrCat(layer, ".mlp.router"), {options.experts, hidden});
    for (uint32_t e = 0; e < options.experts; ++e) {
      const std::string expert = absl::StrCat(layer, ".mlp.experts.", e);
      add(absl::StrCat(expert, ".gate_up_proj"), {2 * inner, hidden});
      add(absl::StrCat(expert, ".down_proj"), {hidden, inner});
    }
  }
  return tensors;
}

absl::Status WriteSyntheticCheckpoint(const std::string& path,
                                      const SyntheticCheckpointOptions& options) {
  auto tensors = SyntheticTensors(options);
  if (!tensors.ok()) return tensors.status();
  auto writer = CheckpointWriter::Create(
      path, *tensors, {{"format", "pt"}, {"synthetic_seed", absl::StrCat(options.seed)}});
  if (!writer.ok()) return writer.status();
  Stream stream(writer->get(), options);
  for (size_t i = 0; i < tensors->size(); ++i) {
    const TensorSpec& tensor = (*tensors)[i];
    auto status = stream.WriteTensor(i, *TensorBytes(tensor.dtype, tensor.shape));
    if (!status.ok()) return status;
  }
  return (*writer)->Finish();
}

}  // namespace residency
