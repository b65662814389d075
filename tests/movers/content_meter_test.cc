#include "movers/content_meter.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "movers/compressed_codec.h"
#include "tests/bench/sample_weights.h"

namespace residency {
namespace {

using bench::Distribution;
using bench::SampleWeights;
using bench::ToBytes;
using Blob = std::vector<std::byte>;

ContentFacts Measure(ElementType element, const Blob& full, size_t chunk) {
  ContentMeter meter(element, LowbitFormat::kInt8);
  for (size_t at = 0; at < full.size(); at += chunk) {
    meter.Add(at, std::span(full).subspan(at, std::min(chunk, full.size() - at)));
  }
  return meter.Result();
}

TEST(ContentMeter, SampleIsCloseToTheWhole) {
  const std::vector<float> weights = SampleWeights(Distribution::kGaussian, 4 << 20, 6);
  for (const ElementType element : {ElementType::kBf16, ElementType::kF16, ElementType::kF32}) {
    const Blob full = ToBytes(element, weights);
    uint64_t compressed = 0;
    Blob out(kPieceBytes);
    for (size_t at = 0; at < full.size(); at += kPieceBytes) {
      compressed += CompressPiece(element, std::span(full).subspan(at, kPieceBytes), out);
    }
    Blob lowbit(LowbitBytes(element, LowbitFormat::kInt8, Bytes(full.size())).count());
    const double error = EncodeLowbit(element, LowbitFormat::kInt8, full, lowbit).Relative();

    const ContentFacts facts = Measure(element, full, 4 << 20);
    EXPECT_TRUE(facts.measured);
    EXPECT_NEAR(facts.lowbit_error, error, error * 0.02) << Name(element);
    EXPECT_NEAR(facts.compressed_share, static_cast<double>(compressed) / full.size(), 0.01)
        << Name(element);
  }
}

TEST(ContentMeter, ChunksOfOddSizesGiveTheSame) {
  const Blob full = ToBytes(ElementType::kBf16, SampleWeights(Distribution::kLaplace, 2 << 20, 6));
  const ContentFacts whole = Measure(ElementType::kBf16, full, full.size());
  for (const size_t chunk : {100003u, 1u << 16, (1u << 20) + 7}) {
    const ContentFacts facts = Measure(ElementType::kBf16, full, chunk);
    EXPECT_TRUE(facts.measured);
    EXPECT_NEAR(facts.lowbit_error, whole.lowbit_error, whole.lowbit_error * 0.05) << chunk;
    EXPECT_NEAR(facts.compressed_share, whole.compressed_share, 0.02) << chunk;
  }
}

TEST(ContentMeter, NoiseDoesNotCompress) {
  Blob noise(1 << 20);
  uint64_t state = 1;
  for (std::byte& b : noise) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    b = static_cast<std::byte>(state >> 56);
  }
  EXPECT_EQ(Measure(ElementType::kBf16, noise, 1 << 20).compressed_share, 1);
}

TEST(ContentMeter, WhatIsNotFiniteHasNoLowbitForm) {
  Blob full = ToBytes(ElementType::kF32, SampleWeights(Distribution::kGaussian, 1000, 6));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(full.data() + 400, &nan, sizeof(nan));
  EXPECT_EQ(Measure(ElementType::kF32, full, 4096).lowbit_error,
            std::numeric_limits<float>::infinity());
}

TEST(ContentMeter, NothingSeenIsNothingMeasured) {
  EXPECT_FALSE(Measure(ElementType::kF32, {}, 1).measured);
  EXPECT_FALSE(Measure(ElementType::kF32, Blob(3), 3).measured);
  EXPECT_FALSE(Measure(ElementType::kOther, Blob(4096), 4096).measured);
}

}  // namespace
}  // namespace residency
