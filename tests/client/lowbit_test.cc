// The client decodes what the daemon encodes.
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "movers/lowbit_codec.h"
#include "tests/bench/sample_weights.h"
#include "tests/client/lowbit_decoder.h"

namespace residency {
namespace {

using residency::testing::ClientBound;
using residency::testing::ClientContentBytes;
using residency::testing::ClientDecodes;
using Blob = std::vector<std::byte>;

class Lowbit : public ::testing::TestWithParam<LowbitFormat> {
 protected:
  static bool Int4() { return GetParam() == LowbitFormat::kInt4; }

  static Blob Encode(const std::vector<float>& weights) {
    const auto full = std::as_bytes(std::span(weights));
    Blob content(LowbitBytes(ElementType::kF32, GetParam(), Bytes(full.size())).count());
    EncodeLowbit(ElementType::kF32, GetParam(), full, content);
    return content;
  }
};

INSTANTIATE_TEST_SUITE_P(Formats, Lowbit,
                         ::testing::Values(LowbitFormat::kInt8, LowbitFormat::kInt4),
                         [](const auto& test) { return Name(test.param); });

TEST_P(Lowbit, ClientAndDaemonAgreeOnEveryElement) {
  for (const size_t elements : {0u, 1u, 31u, 32u, 4095u, 4096u, 12345u}) {
    const auto weights = bench::SampleWeights(bench::Distribution::kStudentT, elements, 3);
    const Blob content = Encode(weights);
    ASSERT_EQ(content.size(), ClientContentBytes(Int4(), elements));
    std::vector<float> daemons(elements);
    DecodeLowbit(GetParam(), content, daemons);
    const auto clients = ClientDecodes(Int4(), content, elements);
    ASSERT_TRUE(clients.ok()) << clients.status();
    EXPECT_EQ(*clients, daemons) << elements;
  }
}

TEST_P(Lowbit, ClientAndDaemonAgreeOnEveryScaleAndValue) {
  // A frame for each 128 of the scales there are, and every value in some group.
  const size_t frames = 65536 / 128;
  Blob content(frames * LowbitFrameBytes(GetParam()));
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<std::byte>(i * 37 >> 3);
  for (uint32_t scale = 0; scale < 65536; ++scale) {
    const uint16_t bits = (scale & 0x7c00) == 0x7c00 ? 0 : static_cast<uint16_t>(scale);
    std::memcpy(content.data() + scale / 128 * LowbitFrameBytes(GetParam()) + scale % 128 * 2,
                &bits, sizeof(bits));
  }
  std::vector<float> daemons(frames * kLowbitFrame);
  DecodeLowbit(GetParam(), content, daemons);
  const auto clients = ClientDecodes(Int4(), content, daemons.size());
  ASSERT_TRUE(clients.ok()) << clients.status();
  EXPECT_EQ(*clients, daemons);
}

TEST_P(Lowbit, BoundHoldsForEveryGroup) {
  auto weights = bench::SampleWeights(bench::Distribution::kLaplace, 10000, 5);
  for (size_t i = 0; i < 64; ++i) weights[i] *= 1e-10f;  // less than any scale
  const Blob content = Encode(weights);
  const auto decoded = ClientDecodes(Int4(), content, weights.size());
  ASSERT_TRUE(decoded.ok());
  float greatest = 0;
  for (size_t at = 0; at < weights.size(); ++at) {
    const auto bound = ClientBound(Int4(), content, at, 1);
    ASSERT_TRUE(bound.ok()) << bound.status();
    ASSERT_LE(std::abs(weights[at] - (*decoded)[at]), *bound) << at;
    greatest = std::max(greatest, *bound);
  }
  EXPECT_EQ(ClientBound(Int4(), content, 0, weights.size()).value(), greatest);
  EXPECT_EQ(ClientBound(Int4(), content, 100, 0).value(), 0);
}

TEST_P(Lowbit, RangeAsksItsOwnGroupsAlone) {
  std::vector<float> weights(4096, 0.5f);
  for (size_t i = 64; i < 96; ++i) weights[i] = 100;
  const Blob content = Encode(weights);
  const float small = ClientBound(Int4(), content, 0, 64).value();
  EXPECT_LT(small, 0.1f);
  EXPECT_EQ(ClientBound(Int4(), content, 96, 4000).value(), small);
  EXPECT_GT(ClientBound(Int4(), content, 95, 2).value(), small * 100);
  EXPECT_GT(ClientBound(Int4(), content, 63, 2).value(), small * 100);
}

TEST_P(Lowbit, ShortContentIsRefused) {
  Blob content = Encode(std::vector<float>(5000, 1.0f));
  constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
  EXPECT_TRUE(ClientDecodes(Int4(), content, 8192).ok());
  EXPECT_TRUE(absl::IsOutOfRange(ClientDecodes(Int4(), content, 8193).status()));
  EXPECT_TRUE(absl::IsOutOfRange(ClientDecodes(Int4(), content, kMost).status()));
  EXPECT_TRUE(absl::IsOutOfRange(ClientBound(Int4(), content, 8192, 1).status()));
  EXPECT_TRUE(absl::IsOutOfRange(ClientBound(Int4(), content, kMost, 2).status()));
  EXPECT_TRUE(absl::IsOutOfRange(ClientBound(Int4(), content, 1, kMost).status()));
  content.pop_back();
  EXPECT_TRUE(absl::IsOutOfRange(ClientDecodes(Int4(), content, 5000).status()));
  EXPECT_TRUE(ClientDecodes(Int4(), content, 4096).ok());
}

TEST_P(Lowbit, DamagedScaleHasNoBound) {
  Blob content = Encode(std::vector<float>(64, 1.0f));
  content[1] = std::byte{0x7e};  // NaN
  EXPECT_EQ(ClientBound(Int4(), content, 0, 1).value(), std::numeric_limits<float>::infinity());
}

}  // namespace
}  // namespace residency
