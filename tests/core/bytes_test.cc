#include "core/bytes.h"

#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace residency {
namespace {

TEST(BytesTest, EveryUnitIsUnderstood) {
  const std::pair<const char*, uint64_t> cases[] = {
      {"0", 0},
      {"4096", 4096},
      {"512B", 512},
      {"3kB", 3'000},
      {"1.5MB", 1'500'000},
      {"2GB", 2'000'000'000},
      {"1TB", 1'000'000'000'000},
      {"512 MiB", 512ull << 20},
      {"24GiB", 24ull << 30},
      {"0.5KiB", 512},
      {"2TiB", 2ull << 40},
  };
  for (const auto& [text, count] : cases) {
    const auto parsed = ParseBytes(text);
    ASSERT_TRUE(parsed.ok()) << text << ": " << parsed.status();
    EXPECT_EQ(parsed->count(), count) << text;
  }
}

TEST(BytesTest, WhatIsNoSizeIsNamedInTheError) {
  for (const char* text : {"", " ", "GiB", "-1", "24Gib", "24 gib", "24GiBs", "0x10", "1e3", "nan",
                           "inf", "1,5GiB", "99999999999TiB", "24GiB "}) {
    const auto parsed = ParseBytes(text);
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(parsed.status().message()), testing::HasSubstr(text));
  }
}

TEST(BytesTest, PeopleReadThreeDigits) {
  EXPECT_EQ(FormatBytes(Bytes(0)), "0 B");
  EXPECT_EQ(FormatBytes(Bytes(1023)), "1023 B");
  EXPECT_EQ(FormatBytes(KiB(1)), "1.00 KiB");
  EXPECT_EQ(FormatBytes(Bytes((3ull << 30) / 2)), "1.50 GiB");
  EXPECT_EQ(FormatBytes(MiB(24)), "24.0 MiB");
  EXPECT_EQ(FormatBytes(MiB(512)), "512 MiB");
  EXPECT_EQ(FormatBytes(GiB(5000)), "4.88 TiB");
}

TEST(BytesTest, WhatIsFormattedExactlyIsReadBack) {
  for (const Bytes bytes : {Bytes(7), KiB(4), MiB(512), GiB(24), GiB(2048)}) {
    const auto parsed = ParseBytes(FormatBytes(bytes));
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(*parsed, bytes);
  }
}

TEST(BytesTest, RoundingUpReachesTheNextMultipleOnly) {
  static_assert(RoundUp(Bytes(0), Bytes(4096)) == Bytes(0));
  static_assert(RoundUp(Bytes(1), Bytes(4096)) == Bytes(4096));
  static_assert(RoundUp(Bytes(4096), Bytes(4096)) == Bytes(4096));
  static_assert(RoundUp(Bytes(4097), Bytes(4096)) == Bytes(8192));
  static_assert(RoundUp(Bytes(10), Bytes(3)) == Bytes(12));
}

TEST(BytesTest, LogsSayTheUnit) {
  std::ostringstream os;
  os << Bytes(5);
  EXPECT_EQ(os.str(), "5 B");
}

}  // namespace
}  // namespace residency
