#include "movers/lowbit_codec.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "movers/float_bits.h"
#include "tests/bench/ggml_reference.h"
#include "tests/bench/sample_weights.h"

namespace residency {
namespace {

using bench::Distribution;
using bench::SampleWeights;
using bench::ToBytes;
using Blob = std::vector<std::byte>;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Encoded {
  Blob lowbit;
  LowbitError error;
};

Encoded Encode(ElementType element, LowbitFormat format, std::span<const std::byte> full) {
  Encoded encoded;
  encoded.lowbit.resize(LowbitBytes(element, format, Bytes(full.size())).count());
  encoded.error = EncodeLowbit(element, format, full, encoded.lowbit);
  return encoded;
}

Encoded EncodeFloats(LowbitFormat format, const std::vector<float>& weights) {
  return Encode(ElementType::kF32, format, std::as_bytes(std::span(weights)));
}

std::vector<float> Decode(LowbitFormat format, const Blob& lowbit, size_t elements) {
  std::vector<float> out(elements);
  DecodeLowbit(format, lowbit, out);
  return out;
}

std::vector<float> RoundTrip(LowbitFormat format, const std::vector<float>& weights) {
  return Decode(format, EncodeFloats(format, weights).lowbit, weights.size());
}

float ScaleOf(LowbitFormat format, const Blob& lowbit, size_t at) {
  uint16_t scale = 0;
  std::memcpy(&scale,
              lowbit.data() + at / kLowbitFrame * LowbitFrameBytes(format) +
                  at % kLowbitFrame / kLowbitGroup * sizeof(scale),
              sizeof(scale));
  return HalfToFloat(scale);
}

double ErrorSq(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
  return sum;
}

// Every element lies as near its original as the format promises.
void ExpectWithinBound(LowbitFormat format, const std::vector<float>& weights) {
  const Encoded encoded = EncodeFloats(format, weights);
  ASSERT_TRUE(encoded.error.finite);
  const std::vector<float> decoded = Decode(format, encoded.lowbit, weights.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    const float scale = ScaleOf(format, encoded.lowbit, i);
    const float off = std::abs(weights[i] - decoded[i]);
    ASSERT_LE(off, LowbitBound(format, scale)) << "element " << i << ", " << weights[i];
    const float level = scale == 0 ? 0 : decoded[i] / scale;
    if (format == LowbitFormat::kInt4 && level > -8 && level < 7) {
      ASSERT_LE(off, LowbitBound(LowbitFormat::kInt8, scale)) << "element " << i;
    }
  }
}

class LowbitCodec : public testing::TestWithParam<LowbitFormat> {};

INSTANTIATE_TEST_SUITE_P(Formats, LowbitCodec,
                         testing::Values(LowbitFormat::kInt8, LowbitFormat::kInt4),
                         [](const auto& test) { return Name(test.param); });

TEST_P(LowbitCodec, EveryElementIsWithinItsBoundWhateverTheSize) {
  for (const Distribution d :
       {Distribution::kGaussian, Distribution::kLaplace, Distribution::kStudentT}) {
    for (int exponent = -40; exponent <= 18; ++exponent) {
      std::vector<float> weights = SampleWeights(d, 8 * kLowbitGroup, 7);
      for (float& x : weights) x = std::clamp(std::ldexp(x, exponent), -500000.0f, 500000.0f);
      SCOPED_TRACE(testing::Message() << bench::Name(d) << " by 2^" << exponent);
      ExpectWithinBound(GetParam(), weights);
    }
  }
}

TEST_P(LowbitCodec, LopsidedGroupsAreWithinTheirBound) {
  std::mt19937 random(11);
  std::uniform_real_distribution<float> uniform(0, 1);
  for (int round = 0; round < 2000; ++round) {
    // One side reaches `other` of what the greatest reaches, with many elements at the ends.
    const float other = uniform(random);
    std::vector<float> weights(kLowbitGroup);
    for (float& x : weights) x = uniform(random) < 0.5f ? uniform(random) : 1.0f;
    for (float& x : weights) x *= uniform(random) < 0.5f ? -other : 1.0f;
    if (round % 2 == 1) {
      for (float& x : weights) x = -x;
    }
    SCOPED_TRACE(testing::Message() << "round " << round);
    ExpectWithinBound(GetParam(), weights);
  }
}

TEST_P(LowbitCodec, LosesNoMoreThanGgmlAtEqualBits) {
  for (const Distribution d :
       {Distribution::kGaussian, Distribution::kLaplace, Distribution::kStudentT}) {
    const std::vector<float> weights = SampleWeights(d, 1 << 18, 3);
    std::vector<float> reference(weights.size());
    GetParam() == LowbitFormat::kInt8 ? bench::RoundTripQ8_0(weights, reference)
                                      : bench::RoundTripQ4_0(weights, reference);
    EXPECT_LE(ErrorSq(weights, RoundTrip(GetParam(), weights)), ErrorSq(weights, reference))
        << bench::Name(d);
  }
}

TEST_P(LowbitCodec, ErrorSaysWhatDecodingShows) {
  const std::vector<float> weights = SampleWeights(Distribution::kLaplace, 3 * kLowbitFrame, 5);
  const Encoded encoded = EncodeFloats(GetParam(), weights);
  const std::vector<float> decoded = Decode(GetParam(), encoded.lowbit, weights.size());
  const double actual =
      std::sqrt(ErrorSq(weights, decoded) / ErrorSq(weights, std::vector<float>(weights.size())));
  EXPECT_NEAR(encoded.error.Relative(), actual, actual * 1e-4);
}

TEST_P(LowbitCodec, PiecesMergeIntoTheWhole) {
  const std::vector<float> weights = SampleWeights(Distribution::kGaussian, 4 * kLowbitFrame, 5);
  const std::span<const std::byte> full = std::as_bytes(std::span(weights));
  const Encoded whole = Encode(ElementType::kF32, GetParam(), full);
  const size_t cut = 3 * kLowbitFrame * sizeof(float);
  Encoded first = Encode(ElementType::kF32, GetParam(), full.first(cut));
  const Encoded second = Encode(ElementType::kF32, GetParam(), full.subspan(cut));
  first.error.Merge(second.error);
  first.lowbit.insert(first.lowbit.end(), second.lowbit.begin(), second.lowbit.end());
  EXPECT_EQ(first.lowbit, whole.lowbit);
  EXPECT_DOUBLE_EQ(first.error.Relative(), whole.error.Relative());
}

TEST_P(LowbitCodec, HalfWidthElementsEncodeAsTheirFloats) {
  const std::vector<float> weights = SampleWeights(Distribution::kStudentT, kLowbitFrame, 9);
  for (const ElementType element : {ElementType::kBf16, ElementType::kF16}) {
    const Blob full = ToBytes(element, weights);
    std::vector<float> widened(weights.size());
    for (size_t i = 0; i < widened.size(); ++i) {
      uint16_t bits = 0;
      std::memcpy(&bits, full.data() + i * 2, 2);
      widened[i] = element == ElementType::kBf16 ? Bf16ToFloat(bits) : HalfToFloat(bits);
    }
    EXPECT_EQ(Encode(element, GetParam(), full).lowbit, EncodeFloats(GetParam(), widened).lowbit)
        << Name(element);
  }
}

TEST_P(LowbitCodec, LastFrameIsPaddedWithZeros) {
  for (const size_t elements : {1u, 31u, 33u, 4095u, 4097u, 5000u}) {
    const std::vector<float> weights = SampleWeights(Distribution::kGaussian, elements, 2);
    const Encoded encoded = EncodeFloats(GetParam(), weights);
    const size_t padded = encoded.lowbit.size() / LowbitFrameBytes(GetParam()) * kLowbitFrame;
    const std::vector<float> decoded = Decode(GetParam(), encoded.lowbit, padded);
    for (size_t i = elements; i < padded; ++i) ASSERT_EQ(decoded[i], 0) << elements << ", " << i;
    EXPECT_NE(decoded[0], 0);
  }
}

TEST_P(LowbitCodec, BytesThatMakeNoElementAreLeftOut) {
  Blob full = ToBytes(ElementType::kF32, {1, 2, 3});
  const Blob whole = Encode(ElementType::kF32, GetParam(), full).lowbit;
  full.resize(full.size() + 3, std::byte{0xff});
  EXPECT_EQ(Encode(ElementType::kF32, GetParam(), full).lowbit, whole);
  EXPECT_TRUE(Encode(ElementType::kF32, GetParam(), {}).lowbit.empty());
  EXPECT_TRUE(Encode(ElementType::kF32, GetParam(), std::span(full).first(3)).lowbit.empty());
}

TEST_P(LowbitCodec, WhatIsNotFiniteBecomesZeroAndIsTold) {
  for (const float odd : {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> weights = SampleWeights(Distribution::kGaussian, 2 * kLowbitGroup, 4);
    const std::vector<float> others = RoundTrip(GetParam(), weights);
    weights[5] = odd;
    const Encoded encoded = EncodeFloats(GetParam(), weights);
    EXPECT_FALSE(encoded.error.finite);
    EXPECT_EQ(encoded.error.Relative(), kInfinity);
    const std::vector<float> decoded = Decode(GetParam(), encoded.lowbit, weights.size());
    EXPECT_EQ(decoded[5], 0);
    EXPECT_NEAR(decoded[6], weights[6], 0.02) << "its neighbours are kept";
    EXPECT_EQ(decoded[kLowbitGroup], others[kLowbitGroup]);
  }
}

TEST_P(LowbitCodec, GroupBeyondEveryScaleBecomesZeroAndIsTold) {
  std::vector<float> weights(2 * kLowbitGroup, 1.0f);
  weights[3] = -1e30f;
  const Encoded encoded = EncodeFloats(GetParam(), weights);
  EXPECT_FALSE(encoded.error.finite);
  const std::vector<float> decoded = Decode(GetParam(), encoded.lowbit, weights.size());
  EXPECT_EQ(decoded[0], 0);
  EXPECT_EQ(decoded[3], 0);
  EXPECT_NEAR(decoded[kLowbitGroup], 1, 0.01);
}

TEST_P(LowbitCodec, GreatestScaleIsUsed) {
  const float greatest = 65504.0f * (GetParam() == LowbitFormat::kInt8 ? 127 : 8);
  std::vector<float> weights(kLowbitGroup, greatest);
  EXPECT_TRUE(EncodeFloats(GetParam(), weights).error.finite);
  EXPECT_EQ(RoundTrip(GetParam(), weights)[0], greatest);
  weights[0] = std::nextafter(greatest, kInfinity);
  EXPECT_FALSE(EncodeFloats(GetParam(), weights).error.finite);
}

TEST_P(LowbitCodec, WhatIsTooSmallForAnyScaleIsLostAndCounted) {
  const std::vector<float> weights(kLowbitGroup, 1e-38f);
  const Encoded encoded = EncodeFloats(GetParam(), weights);
  EXPECT_DOUBLE_EQ(encoded.error.Relative(), 1);
  EXPECT_TRUE(encoded.error.finite);
  EXPECT_EQ(Decode(GetParam(), encoded.lowbit, 1)[0], 0);
  EXPECT_EQ(EncodeFloats(GetParam(), std::vector<float>(64)).error.Relative(), 0);
}

TEST(LowbitLayout, Int8FrameIsScalesThenValues) {
  std::vector<float> weights(kLowbitFrame);
  weights[32] = 127;
  weights[33] = -5;
  const Blob lowbit = EncodeFloats(LowbitFormat::kInt8, weights).lowbit;
  ASSERT_EQ(lowbit.size(), 256u + 4096u);
  EXPECT_EQ(lowbit[2], std::byte{0x00});
  EXPECT_EQ(lowbit[3], std::byte{0x3c});  // 1.0
  EXPECT_EQ(lowbit[256 + 32], std::byte{127});
  EXPECT_EQ(lowbit[256 + 33], std::byte{0xfb});
}

TEST(LowbitLayout, Int4PutsTheEvenElementLow) {
  std::vector<float> weights(kLowbitFrame);
  for (size_t i = 0; i < 16; ++i) weights[32 + i] = static_cast<float>(i) - 8;
  const Blob lowbit = EncodeFloats(LowbitFormat::kInt4, weights).lowbit;
  ASSERT_EQ(lowbit.size(), 256u + 2048u);
  EXPECT_EQ(lowbit[0], std::byte{0});
  EXPECT_EQ(lowbit[256], std::byte{0x88});  // two zeros
  EXPECT_EQ(lowbit[3], std::byte{0x3c});
  EXPECT_EQ(lowbit[256 + 16], std::byte{0x10});      // -8, -7
  EXPECT_EQ(lowbit[256 + 16 + 7], std::byte{0xfe});  // 6, 7
}

TEST(FloatBits, EveryHalfSurvivesFloat) {
  for (uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const float value = HalfToFloat(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      EXPECT_TRUE((bits & 0x7c00) == 0x7c00 && (bits & 0x3ff) != 0) << bits;
    } else {
      ASSERT_EQ(FloatToHalf(value), bits);
    }
  }
  EXPECT_EQ(HalfToFloat(0x0001), 0x1p-24f);
  EXPECT_EQ(HalfToFloat(0x3c00), 1.0f);
  EXPECT_EQ(HalfToFloat(0xfbff), -65504.0f);
  EXPECT_EQ(HalfToFloat(0x7c00), kInfinity);
}

TEST(FloatBits, RoundsToTheNearestHalfAndTiesToEven) {
  EXPECT_EQ(FloatToHalf(1 + 0x1p-11f), 0x3c00);
  EXPECT_EQ(FloatToHalf(1 + 0x1.8p-10f), 0x3c02);
  EXPECT_EQ(FloatToHalf(1 + 0x1.1p-11f), 0x3c01);
  EXPECT_EQ(FloatToHalf(0x1p-25f), 0);
  EXPECT_EQ(FloatToHalf(0x1.1p-25f), 1);
  EXPECT_EQ(FloatToHalf(65519.0f), 0x7bff);
  EXPECT_EQ(FloatToHalf(65520.0f), 0x7c00);
  EXPECT_EQ(FloatToHalf(-kInfinity), 0xfc00);
}

}  // namespace
}  // namespace residency
