// codec_report [--file CHECKPOINT]: what the codecs lose, leave and cost, beside their references.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/safetensors.h"
#include "movers/compressed_codec.h"
#include "movers/float_bits.h"
#include "movers/lowbit_codec.h"
#include "tests/bench/ggml_reference.h"
#include "tests/bench/sample_weights.h"

namespace residency::bench {
namespace {

using Blob = std::vector<std::byte>;

constexpr uint64_t kSeed = 20240607;

// Squared differences and squares, over any number of calls.
struct Loss {
  double error_sq = 0;
  double signal_sq = 0;

  void Add(std::span<const float> original, std::span<const float> decoded) {
    for (size_t i = 0; i < original.size(); ++i) {
      const double error = double{original[i]} - decoded[i];
      error_sq += error * error;
      signal_sq += double{original[i]} * original[i];
    }
  }
  double Db() const { return 10 * std::log10(error_sq / signal_sq); }
};

struct Losses {
  Loss int8, q8_0, int4, q4_0;

  void Add(std::span<const float> weights) {  // a multiple of 32
    const std::span<const std::byte> full = std::as_bytes(weights);
    std::vector<float> decoded(weights.size());
    for (const LowbitFormat format : {LowbitFormat::kInt8, LowbitFormat::kInt4}) {
      Blob lowbit(LowbitBytes(ElementType::kF32, format, Bytes(full.size())).count());
      EncodeLowbit(ElementType::kF32, format, full, lowbit);
      DecodeLowbit(format, lowbit, decoded);
      (format == LowbitFormat::kInt8 ? int8 : int4).Add(weights, decoded);
    }
    RoundTripQ8_0(weights, decoded);
    q8_0.Add(weights, decoded);
    RoundTripQ4_0(weights, decoded);
    q4_0.Add(weights, decoded);
  }

  void PrintRow(const std::string& name) const {
    std::printf("%-24s %10.3f %10.3f %10.3f %10.3f\n", name.c_str(), int8.Db(), q8_0.Db(),
                int4.Db(), q4_0.Db());
  }
  static void PrintHead() {
    std::printf("%-24s %10s %10s %10s %10s\n", "error, dB of the signal", "int8_g32", "Q8_0",
                "int4_g32", "Q4_0");
  }
};

// Bytes that compression leaves of `full`.
uint64_t CompressedBytes(ElementType element, std::span<const std::byte> full) {
  Blob out(kPieceBytes);
  uint64_t total = 0;
  for (; !full.empty(); full = full.subspan(std::min<size_t>(full.size(), kPieceBytes))) {
    total += CompressPiece(element, full.first(std::min<size_t>(full.size(), kPieceBytes)), out);
  }
  return total;
}

void ReportLosses() {
  Losses::PrintHead();
  for (const Distribution d :
       {Distribution::kGaussian, Distribution::kLaplace, Distribution::kStudentT}) {
    Losses losses;
    losses.Add(SampleWeights(d, 1 << 20, kSeed));
    losses.PrintRow(Name(d));
  }
}

void ReportRatios() {
  std::printf("\n%-24s %10s %10s %10s\n", "compressed / full", "bf16", "f16", "f32");
  for (const Distribution d :
       {Distribution::kGaussian, Distribution::kLaplace, Distribution::kStudentT}) {
    const std::vector<float> weights = SampleWeights(d, 4 << 20, kSeed);
    std::printf("%-24s", Name(d));
    for (const ElementType element : {ElementType::kBf16, ElementType::kF16, ElementType::kF32}) {
      const Blob full = ToBytes(element, weights);
      std::printf(" %10.4f", static_cast<double>(CompressedBytes(element, full)) / full.size());
    }
    std::printf("\n");
  }
}

// Of this thread on its core: others may be using the machine.
double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

double SecondsOf(const auto& work) {
  const double begin = CpuSeconds();
  work();
  return CpuSeconds() - begin;
}

// The best of some runs of `work` against the best of as many copies of the same bytes, taken in
// turn.
void PrintSpeed(const std::string& name, const Blob& full, const auto& work) {
  constexpr int kRuns = 7;
  Blob copy(full.size());
  double best_copy = 1e9;
  double best_work = 1e9;
  for (int i = 0; i < kRuns; ++i) {
    best_copy =
        std::min(best_copy, SecondsOf([&] { std::memcpy(copy.data(), full.data(), full.size()); }));
    best_work = std::min(best_work, SecondsOf(work));
  }
  const double gb = static_cast<double>(full.size()) / 1e9;
  std::printf("%-24s %10.2f %10.2f %10.3f\n", name.c_str(), gb / best_work, gb / best_copy,
              best_copy / best_work);
}

void ReportLowbitSpeed(ElementType element, const Blob& full) {
  std::vector<float> decoded(full.size() / ElementBytes(element));
  for (const LowbitFormat format : {LowbitFormat::kInt8, LowbitFormat::kInt4}) {
    Blob lowbit(LowbitBytes(element, format, Bytes(full.size())).count());
    const std::string name = absl::StrCat(Name(format), " ", Name(element));
    PrintSpeed(name + " encode", full, [&] { EncodeLowbit(element, format, full, lowbit); });
    PrintSpeed(name + " decode", full, [&] { DecodeLowbit(format, lowbit, decoded); });
  }
}

void ReportCompressedSpeed(ElementType element, const Blob& full) {
  const size_t pieces = full.size() / kPieceBytes;
  Blob encoded(full.size());
  Blob decoded(full.size());
  std::vector<size_t> sizes(pieces);
  const std::span<const std::byte> in(full);
  const std::string name = absl::StrCat("compressed ", Name(element));
  PrintSpeed(name + " encode", full, [&] {
    for (size_t i = 0; i < pieces; ++i) {
      sizes[i] = CompressPiece(element, in.subspan(i * kPieceBytes, kPieceBytes),
                               std::span(encoded).subspan(i * kPieceBytes, kPieceBytes));
    }
  });
  bool ok = true;
  PrintSpeed(name + " decode", full, [&] {
    for (size_t i = 0; i < pieces; ++i) {
      ok &= DecompressPiece(element, std::span(encoded).subspan(i * kPieceBytes, sizes[i]),
                            std::span(decoded).subspan(i * kPieceBytes, kPieceBytes))
                .ok();
    }
  });
  if (!ok || decoded != full) std::printf("%s: NOT what was encoded\n", name.c_str());
}

void ReportSpeeds() {
  std::printf("\n%-24s %10s %10s %10s\n", "CPU time, full bytes", "GB/s", "memcpy", "ratio");
  const std::vector<float> weights = SampleWeights(Distribution::kGaussian, 16 << 20, kSeed);
  for (const ElementType element : {ElementType::kBf16, ElementType::kF16, ElementType::kF32}) {
    const Blob full = ToBytes(element, weights);
    ReportLowbitSpeed(element, full);
    ReportCompressedSpeed(element, full);
  }
}

ElementType ElementOf(Dtype dtype) {
  switch (dtype) {
    case Dtype::kBF16:
      return ElementType::kBf16;
    case Dtype::kF16:
      return ElementType::kF16;
    case Dtype::kF32:
      return ElementType::kF32;
    default:
      return ElementType::kOther;
  }
}

std::vector<float> Decoded(ElementType element, std::span<const std::byte> full) {
  std::vector<float> weights(full.size() / ElementBytes(element));
  for (size_t i = 0; i < weights.size(); ++i) {
    const std::byte* at = full.data() + i * ElementBytes(element);
    if (element == ElementType::kF32) {
      std::memcpy(&weights[i], at, sizeof(float));
      continue;
    }
    uint16_t bits = 0;
    std::memcpy(&bits, at, sizeof(bits));
    weights[i] = element == ElementType::kBf16 ? Bf16ToFloat(bits) : HalfToFloat(bits);
  }
  return weights;
}

// Of all tensors of one element type in a checkpoint.
struct Content {
  uint64_t tensors = 0;
  uint64_t full = 0;
  uint64_t compressed = 0;
  Losses losses;
};

int ReportFile(const std::string& path) {
  const absl::StatusOr<SafetensorsCheckpoint> checkpoint = OpenSafetensors(path);
  if (!checkpoint.ok()) {
    std::fprintf(stderr, "%s\n", checkpoint.status().ToString().c_str());
    return 1;
  }
  std::map<ElementType, Content> contents;
  for (const SafetensorsTensor& tensor : checkpoint->tensors) {
    const ElementType element = ElementOf(tensor.dtype);
    if (element == ElementType::kOther || tensor.bytes == 0) continue;
    Blob full(tensor.bytes);
    std::ifstream in(checkpoint->files[tensor.file].path, std::ios::binary);
    in.seekg(static_cast<std::streamoff>(tensor.offset));
    if (!in.read(reinterpret_cast<char*>(full.data()), static_cast<std::streamsize>(full.size()))) {
      std::fprintf(stderr, "%s: cannot read tensor %s\n", path.c_str(), tensor.name.c_str());
      return 1;
    }
    Content& content = contents[element];
    ++content.tensors;
    content.full += full.size();
    content.compressed += CompressedBytes(element, full);
    std::vector<float> weights = Decoded(element, full);
    weights.resize(weights.size() / kLowbitGroup * kLowbitGroup);
    content.losses.Add(weights);
  }
  std::printf("\n%s\n", path.c_str());
  for (const auto& [element, content] : contents) {
    std::printf("%s: %lu tensors, %lu bytes, compressed / full %.4f\n", Name(element),
                content.tensors, content.full,
                static_cast<double>(content.compressed) / content.full);
    Losses::PrintHead();
    content.losses.PrintRow(Name(element));
  }
  return 0;
}

}  // namespace
}  // namespace residency::bench

int main(int argc, char** argv) {
  CLI::App app("What the codecs lose, leave and cost, beside their references.");
  std::string file;
  app.add_option("--file", file,
                 "a safetensors file or a checkpoint's directory, reported as well");
  CLI11_PARSE(app, argc, argv);
  residency::bench::ReportLosses();
  residency::bench::ReportRatios();
  residency::bench::ReportSpeeds();
  return file.empty() ? 0 : residency::bench::ReportFile(file);
}
