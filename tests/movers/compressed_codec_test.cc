#include "movers/compressed_codec.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/bench/sample_weights.h"

namespace residency {
namespace {

using bench::Distribution;
using bench::SampleWeights;
using bench::ToBytes;
using Blob = std::vector<std::byte>;

Blob RandomBytes(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  Blob bytes(count);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

Blob Compress(ElementType element, const Blob& full) {
  Blob out(full.size());
  out.resize(CompressPiece(element, full, out));
  return out;
}

void ExpectRestored(ElementType element, const Blob& full) {
  const Blob encoded = Compress(element, full);
  Blob restored(full.size(), std::byte{0x5a});
  const absl::Status status = DecompressPiece(element, encoded, restored);
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(restored, full) << Name(element) << " of " << full.size() << " bytes";
}

class CompressedCodec : public testing::TestWithParam<ElementType> {};

INSTANTIATE_TEST_SUITE_P(Elements, CompressedCodec,
                         testing::Values(ElementType::kBf16, ElementType::kF16, ElementType::kF32),
                         [](const auto& test) { return Name(test.param); });

TEST_P(CompressedCodec, WeightsShrinkAndComeBack) {
  for (const Distribution d :
       {Distribution::kGaussian, Distribution::kLaplace, Distribution::kStudentT}) {
    Blob full = ToBytes(GetParam(), SampleWeights(d, 1 << 19, 1));
    full.resize(std::min<size_t>(full.size(), kPieceBytes));
    const double share = static_cast<double>(Compress(GetParam(), full).size()) / full.size();
    EXPECT_LT(share, GetParam() == ElementType::kBf16 ? 0.69 : 0.88) << bench::Name(d);
    ExpectRestored(GetParam(), full);
  }
}

TEST_P(CompressedCodec, EveryPatternOfBitsComesBack) {
  // All values of the upper 16 bits: infinities, NaNs with their payloads, subnormals, zeros.
  Blob full(kPieceBytes / 4);
  for (uint32_t i = 0; i < full.size() / 4; ++i) {
    const uint32_t bits = ElementBytes(GetParam()) == 4 ? i << 16 | (i * 40503 & 0xffff) : i * 2;
    std::memcpy(full.data() + i * 4, &bits, sizeof(bits));
  }
  ExpectRestored(GetParam(), full);
  // The same where most of them compress, so that they take the coded way.
  Blob mostly = ToBytes(GetParam(), SampleWeights(Distribution::kGaussian, 1 << 17, 8));
  std::copy_n(full.begin() + 1000, 4000, mostly.begin() + 4000);
  ASSERT_LT(Compress(GetParam(), mostly).size(), mostly.size());
  ExpectRestored(GetParam(), mostly);
}

TEST_P(CompressedCodec, PiecesOfAnyLengthComeBack) {
  const Blob weights = ToBytes(GetParam(), SampleWeights(Distribution::kGaussian, 70000, 2));
  for (size_t bytes = 0; bytes < 300; ++bytes) {
    ExpectRestored(GetParam(), Blob(weights.begin(), weights.begin() + bytes));
  }
  for (const size_t bytes : {4095u, 4097u, 65537u, 131071u, 131073u, 139999u}) {
    const Blob full(weights.begin(), weights.begin() + bytes);
    EXPECT_LT(Compress(GetParam(), full).size(), full.size()) << "not the coded way";
    ExpectRestored(GetParam(), full);
  }
}

TEST_P(CompressedCodec, WhatDoesNotShrinkIsStoredAsItIs) {
  const Blob noise = RandomBytes(kPieceBytes, 3);
  EXPECT_EQ(Compress(GetParam(), noise), noise);
  ExpectRestored(GetParam(), noise);
}

TEST_P(CompressedCodec, ConstantPiecesComeBack) {
  const Blob zeros(kPieceBytes);
  EXPECT_LT(Compress(GetParam(), zeros).size(), zeros.size() * 3 / 4 + 4096);
  ExpectRestored(GetParam(), zeros);
  ExpectRestored(GetParam(), Blob(kPieceBytes, std::byte{0xff}));
}

TEST_P(CompressedCodec, AnotherThreadRestoresIt) {
  const Blob full = ToBytes(GetParam(), SampleWeights(Distribution::kGaussian, 50000, 2));
  const Blob encoded = Compress(GetParam(), full);
  Blob restored(full.size());
  std::thread([&] { EXPECT_TRUE(DecompressPiece(GetParam(), encoded, restored).ok()); }).join();
  EXPECT_EQ(restored, full);
}

TEST_P(CompressedCodec, PieceOfTheWrongLengthIsRefused) {
  const Blob full = ToBytes(GetParam(), SampleWeights(Distribution::kGaussian, 4096, 2));
  Blob encoded = Compress(GetParam(), full);
  Blob restored(full.size());
  for (size_t bytes = 0; bytes < encoded.size(); ++bytes) {
    ASSERT_TRUE(
        absl::IsDataLoss(DecompressPiece(GetParam(), std::span(encoded).first(bytes), restored)))
        << bytes << " of " << encoded.size();
  }
  encoded.push_back(std::byte{0});
  EXPECT_TRUE(absl::IsDataLoss(DecompressPiece(GetParam(), encoded, restored)));
  EXPECT_TRUE(absl::IsDataLoss(DecompressPiece(GetParam(), Blob(full.size() + 1), restored)));
  encoded.pop_back();
  Blob longer(full.size() + 2 * ElementBytes(GetParam()));
  EXPECT_TRUE(absl::IsDataLoss(DecompressPiece(GetParam(), encoded, longer)));
}

TEST_P(CompressedCodec, GarbageIsRefusedOrYieldsSomePiece) {
  const uint64_t seed = std::random_device{}();
  RecordProperty("seed", std::to_string(seed));
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  const Blob full = ToBytes(GetParam(), SampleWeights(Distribution::kGaussian, 2048, 2));
  const Blob good = Compress(GetParam(), full);
  for (int round = 0; round < 3000; ++round) {
    Blob encoded = round % 2 == 0 ? RandomBytes(random() % 6000, random()) : good;
    if (round % 2 == 1) {
      for (uint64_t flips = random() % 8 + 1; flips > 0; --flips) {
        encoded[random() % encoded.size()] ^= static_cast<std::byte>(1 << random() % 8);
      }
      if (round % 4 == 1) encoded.resize(random() % encoded.size());
    }
    // Exactly as large as it must be, so that a sanitizer sees any step beyond.
    Blob restored(round % 3 == 0 ? random() % 6000 : full.size());
    const absl::Status status = DecompressPiece(GetParam(), encoded, restored);
    ASSERT_TRUE(status.ok() || absl::IsDataLoss(status)) << status;
  }
}

}  // namespace
}  // namespace residency
