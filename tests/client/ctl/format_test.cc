#include "client/ctl/format.h"

#include "client/ctl/cli.h"
#include "client/ctl/names.h"
#include "gtest/gtest.h"

namespace residency::ctl {
namespace {

TEST(FormatTest, SizesHaveThreeSignificantDigits) {
  EXPECT_EQ(FormatSize(0), "0 B");
  EXPECT_EQ(FormatSize(1023), "1023 B");
  EXPECT_EQ(FormatSize(1536), "1.50 KiB");
  EXPECT_EQ(FormatSize(15 << 20), "15.0 MiB");
  EXPECT_EQ(FormatSize((uint64_t{1} << 30) - 1), "1.00 GiB");
  EXPECT_EQ(FormatSize(UINT64_MAX), "16.0 EiB");
}

TEST(FormatTest, TimesChangeUnitWithTheirLength) {
  EXPECT_EQ(FormatMicros(180), "180 us");
  EXPECT_EQ(FormatMicros(12345), "12.3 ms");
  EXPECT_EQ(FormatMicros(4.21e6), "4.21 s");
  EXPECT_EQ(FormatMicros(185e6), "3m 05s");
  EXPECT_EQ(FormatMicros(7380e6), "2h 03m");
  EXPECT_EQ(FormatMicros(446400e6), "5d 04h");
}

TEST(FormatTest, CountsAreGrouped) {
  EXPECT_EQ(FormatCount(7), "7");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1000), "1,000");
  EXPECT_EQ(FormatCount(1234567), "1,234,567");
}

TEST(FormatTest, AnUnmeasuredRateIsADash) {
  EXPECT_EQ(FormatRate(0), "-");
  EXPECT_EQ(FormatRate(3 << 20), "3.00 MiB/s");
}

TEST(FormatTest, ControlCharactersBecomeVisible) {
  EXPECT_EQ(Printable("a\tb\x7f"), "a\\x09b\\x7f");
  EXPECT_EQ(Printable("\xC2\x9B"
                      "31m"),
            "\\x9b31m");  // The 8-bit form of an escape sequence.
  EXPECT_EQ(Printable("größe"), "größe");
}

TEST(FormatTest, CutsBetweenCharacters) {
  EXPECT_EQ(DisplayWidth("größe"), 5u);
  EXPECT_EQ(Truncate("größe", 5), "größe");
  EXPECT_EQ(Truncate("größe", 4), "grö~");
  EXPECT_EQ(Truncate("abc", 0), "");
  EXPECT_EQ(TruncateFront("größe", 5), "größe");
  EXPECT_EQ(TruncateFront("größe", 4), "~öße");
  EXPECT_EQ(TruncateFront("größe", 1), "~");
  EXPECT_EQ(TruncateFront("abc", 0), "");
}

TEST(FormatTest, RatesAreShort) {
  EXPECT_EQ(FormatShort(0), "0");
  EXPECT_EQ(FormatShort(0.42), "0.42");
  EXPECT_EQ(FormatShort(12.34), "12.3");
  EXPECT_EQ(FormatShort(1234.5), "1,235");
  EXPECT_EQ(FormatMegabytes(0), "0");
  EXPECT_EQ(FormatMegabytes(1.5e6), "1.5");
  EXPECT_EQ(FormatMegabytes(1234e6), "1,234");
}

TEST(FormatTest, StatesAreReadAsTheyAreWritten) {
  for (int s = 0; s <= 6; ++s) {
    const auto state = static_cast<v1::ResidencyState>(v1::RESIDENCY_STATE_S0_FULL_HBM + s);
    EXPECT_EQ(ParseState(StateName(state)), state);
  }
  EXPECT_EQ(ParseState("s3"), v1::RESIDENCY_STATE_S3_DRAM);
  EXPECT_EQ(ParseRole("dense_mlp"), v1::ROLE_DENSE_MLP);
  EXPECT_EQ(ParseTier("nvme"), v1::TIER_NVME);
  EXPECT_EQ(ParseElementType("quantized_sub8"), v1::ELEMENT_TYPE_QUANTIZED_SUB8);
  EXPECT_EQ(ParseRole("-"), std::nullopt);
  EXPECT_FALSE(ParseState("S7").has_value());
  EXPECT_FALSE(ParseState("").has_value());
}

TEST(FormatTest, StatesOfANewerDaemonAppearByNumber) {
  EXPECT_EQ(StateName(static_cast<v1::ResidencyState>(9)), "state 9");
}

TEST(FormatTest, DurationsNeedNoUnitButMustBeAboveZero) {
  EXPECT_EQ(*ParseDuration("500ms"), absl::Milliseconds(500));
  EXPECT_EQ(*ParseDuration("2m"), absl::Minutes(2));
  EXPECT_EQ(*ParseDuration("1.5"), absl::Milliseconds(1500));
  for (const char* bad : {"", "0", "-3s", "inf", "nan", "5x", "s"}) {
    EXPECT_FALSE(ParseDuration(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace residency::ctl
