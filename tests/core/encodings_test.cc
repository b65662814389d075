#include "core/encodings.h"

#include <cmath>
#include <limits>
#include <set>
#include <string>

#include "gtest/gtest.h"

namespace residency {
namespace {

constexpr auto kInt8 = LowbitFormat::kInt8;
constexpr auto kInt4 = LowbitFormat::kInt4;

// As random bf16 weights are found to be.
Block Weights(Bytes bytes = MiB(4), ElementType element = ElementType::kBf16) {
  Block block;
  block.bytes = bytes;
  block.element = element;
  block.facts = {.measured = true, .lowbit_error = 0.005f, .compressed_share = 0.67f};
  return block;
}

TEST(EncodingsTest, FullSuitsEverything) {
  Block block;
  block.bytes = Bytes(1);
  EXPECT_EQ(Suits(block, Encoding::kFull, kInt8), Suitability::kSuits);
  block.bytes = GiB(100);
  EXPECT_EQ(Suits(block, Encoding::kFull, kInt4), Suitability::kSuits);
}

TEST(EncodingsTest, MeasuredWeightsSuitBoth) {
  for (const ElementType element : {ElementType::kBf16, ElementType::kF16, ElementType::kF32}) {
    for (const LowbitFormat format : {kInt8, kInt4}) {
      EXPECT_EQ(Suits(Weights(MiB(4), element), Encoding::kLowbit, format), Suitability::kSuits);
      EXPECT_EQ(Suits(Weights(MiB(4), element), Encoding::kCompressed, format),
                Suitability::kSuits);
    }
  }
}

TEST(EncodingsTest, ElementsThatNoCodecUnderstandsSuitNeither) {
  for (const ElementType element :
       {ElementType::kOther, ElementType::kQuantized8, ElementType::kQuantizedSub8}) {
    const Block block = Weights(MiB(4), element);
    EXPECT_EQ(Suits(block, Encoding::kLowbit, kInt8), Suitability::kElements);
    EXPECT_EQ(Suits(block, Encoding::kCompressed, kInt8), Suitability::kElements);
  }
}

TEST(EncodingsTest, NothingSuitsBeforeItWasLookedAt) {
  Block block = Weights();
  block.facts = {};
  EXPECT_EQ(Suits(block, Encoding::kLowbit, kInt8), Suitability::kNotMeasured);
  EXPECT_EQ(Suits(block, Encoding::kCompressed, kInt8), Suitability::kNotMeasured);
  // Compressed once is better than any sample, and remembered where a sample is not.
  block.compressed_pages = 700;
  EXPECT_EQ(Suits(block, Encoding::kCompressed, kInt8), Suitability::kSuits);
  EXPECT_EQ(Suits(block, Encoding::kLowbit, kInt8), Suitability::kNotMeasured);
}

TEST(EncodingsTest, LowBitNeedsWholeElementsAndFiniteOnes) {
  Block block = Weights(MiB(4) + Bytes(1));
  EXPECT_EQ(Suits(block, Encoding::kLowbit, kInt8), Suitability::kElements);
  EXPECT_EQ(Suits(block, Encoding::kCompressed, kInt8), Suitability::kSuits);
  block = Weights();
  block.facts.lowbit_error = std::numeric_limits<float>::infinity();
  EXPECT_EQ(Suits(block, Encoding::kLowbit, kInt8), Suitability::kNotFinite);
  EXPECT_EQ(Suits(block, Encoding::kCompressed, kInt8), Suitability::kSuits);
}

TEST(EncodingsTest, WhatHardlyShrinksIsNotWorthAState) {
  Block block = Weights();
  block.facts.compressed_share = 0.96f;
  EXPECT_EQ(Suits(block, Encoding::kCompressed, kInt8), Suitability::kNoGain);
  // A frame of padding outweighs a few elements.
  EXPECT_EQ(Suits(Weights(Bytes(64)), Encoding::kLowbit, kInt8), Suitability::kNoGain);
  EXPECT_EQ(Suits(Weights(KiB(8)), Encoding::kLowbit, kInt8), Suitability::kSuits);
  // So do a directory and the padding of one piece.
  EXPECT_EQ(Suits(Weights(KiB(16)), Encoding::kCompressed, kInt8), Suitability::kNoGain);
}

TEST(EncodingsTest, TheRatioIsTakenExactlyOnceItIsKnown) {
  Block block = Weights(Bytes(105 * 4096));
  block.compressed_pages = 100;
  EXPECT_EQ(Suits(block, Encoding::kCompressed, kInt8), Suitability::kSuits);
  block.compressed_pages = 101;
  EXPECT_EQ(Suits(block, Encoding::kCompressed, kInt8), Suitability::kNoGain)
      << "whatever the sample promised";
}

TEST(EncodingsTest, BlocksBeyondTheCodecsStayFull) {
  EXPECT_EQ(Suits(Weights(kCodecBytesMax), Encoding::kLowbit, kInt8), Suitability::kSuits);
  const Block block = Weights(kCodecBytesMax + Bytes(4096));
  EXPECT_EQ(Suits(block, Encoding::kLowbit, kInt8), Suitability::kTooLarge);
  EXPECT_EQ(Suits(block, Encoding::kCompressed, kInt8), Suitability::kTooLarge);
}

TEST(EncodingsTest, EveryReasonIsExplainedInItsOwnWords) {
  std::set<std::string> words;
  for (int s = 0; s <= static_cast<int>(Suitability::kTooLarge); ++s) {
    words.insert(Explain(static_cast<Suitability>(s)));
  }
  EXPECT_EQ(words.size(), static_cast<size_t>(Suitability::kTooLarge) + 1);
  EXPECT_FALSE(words.contains("unknown"));
}

TEST(EncodingsTest, LowBitBytesAreThoseOfWholeFrames) {
  EXPECT_EQ(EncodedBytes(Weights(Bytes(2)), Encoding::kLowbit, kInt8), Bytes(256 + 4096));
  EXPECT_EQ(EncodedBytes(Weights(KiB(8)), Encoding::kLowbit, kInt8), Bytes(256 + 4096));
  EXPECT_EQ(EncodedBytes(Weights(KiB(8) + Bytes(2)), Encoding::kLowbit, kInt4),
            Bytes(2 * (256 + 2048)));
  EXPECT_EQ(EncodedBytes(Weights(KiB(16), ElementType::kF32), Encoding::kLowbit, kInt8),
            Bytes(256 + 4096));
}

TEST(EncodingsTest, TheEstimateHasRoomForWhatTheSamplePromisesAndPadding) {
  for (const uint64_t kib : {64, 1024, 1025, 8192}) {
    const Block block = Weights(KiB(kib));
    const Bytes estimate = EncodedBytes(block, Encoding::kCompressed, kInt8);
    EXPECT_EQ(estimate.count() % 4096, 0u);
    const uint64_t pieces = (kib + 1023) / 1024;
    const double payload = 0.67 * static_cast<double>(block.bytes.count());
    EXPECT_GE(static_cast<double>(estimate.count()), payload + static_cast<double>(pieces) * 4096);
    EXPECT_LE(static_cast<double>(estimate.count()),
              payload * 1.03 + static_cast<double>(pieces + 2) * 4096);
  }
}

TEST(EncodingsTest, OnceCompressedTheBytesAreExact) {
  Block block = Weights();
  block.compressed_pages = 690;
  EXPECT_EQ(EncodedBytes(block, Encoding::kCompressed, kInt8), Bytes(690 * 4096));
}

}  // namespace
}  // namespace residency
