#include "movers/piece_directory.h"

#include <cstring>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "movers/checksum.h"

namespace residency {
namespace {

using Blob = std::vector<std::byte>;

constexpr Bytes kFull(3 * kPieceBytes + 5001);

// Of four pieces, of 1, 4096, 700000 and 5001 bytes.
PieceDirectory Filled() {
  PieceDirectory directory(ElementType::kBf16, kFull);
  for (const uint64_t bytes : {1u, 4096u, 700000u, 5001u}) directory.Append(bytes);
  return directory;
}

Blob FooterOf(const PieceDirectory& directory, Bytes full) {
  Blob footer(PieceDirectory::FooterBytes(full));
  directory.WriteFooter(footer);
  return footer;
}

void Reseal(Blob& footer) {
  const size_t checked = footer.size() - sizeof(uint64_t);
  const uint64_t checksum = ChecksumOf(std::span(footer).first(checked));
  std::memcpy(footer.data() + checked, &checksum, sizeof(checksum));
}

absl::Status ParseStatus(const Blob& footer, Bytes total) {
  return PieceDirectory::Parse(ElementType::kBf16, kFull, total, footer).status();
}

TEST(PieceDirectory, PiecesBeginAtMultiplesAndTheFooterEndsTheCopy) {
  PieceDirectory directory(ElementType::kBf16, kFull);
  ASSERT_EQ(directory.piece_count(), 4u);
  EXPECT_EQ(directory.FullBytesOf(0), Bytes(kPieceBytes));
  EXPECT_EQ(directory.FullBytesOf(3), Bytes(5001));
  EXPECT_EQ(directory.Append(1), 0u);
  EXPECT_EQ(directory.Append(4096), 4096u);
  EXPECT_EQ(directory.Append(700000), 8192u);
  EXPECT_FALSE(directory.complete());
  EXPECT_EQ(directory.Append(5001), 8192u + 700416u);
  EXPECT_TRUE(directory.complete());
  const uint64_t end = 8192 + 700416 + 5001;
  EXPECT_EQ(directory.TotalBytes(),
            RoundUp(Bytes(end + PieceDirectory::FooterBytes(kFull)), Bytes(4096)));
}

TEST(PieceDirectory, ComesBackFromItsFooter) {
  const PieceDirectory directory = Filled();
  const auto parsed = PieceDirectory::Parse(ElementType::kBf16, kFull, directory.TotalBytes(),
                                            FooterOf(directory, kFull));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  for (uint32_t piece = 0; piece < 4; ++piece) {
    EXPECT_EQ(parsed->OffsetOf(piece), directory.OffsetOf(piece));
    EXPECT_EQ(parsed->EncodedBytesOf(piece), directory.EncodedBytesOf(piece));
  }
  EXPECT_TRUE(parsed->complete());
}

TEST(PieceDirectory, EmptyBlockHasNoPieces) {
  const PieceDirectory directory(ElementType::kF32, Bytes(0));
  EXPECT_TRUE(directory.complete());
  EXPECT_EQ(directory.TotalBytes(), Bytes(4096));
  EXPECT_TRUE(
      PieceDirectory::Parse(ElementType::kF32, Bytes(0), Bytes(4096), FooterOf(directory, Bytes(0)))
          .ok());
}

TEST(PieceDirectory, FooterOfAnotherBlockIsRefused) {
  const PieceDirectory directory = Filled();
  const Blob footer = FooterOf(directory, kFull);
  const Bytes total = directory.TotalBytes();
  EXPECT_TRUE(
      absl::IsDataLoss(PieceDirectory::Parse(ElementType::kF16, kFull, total, footer).status()));
  EXPECT_TRUE(absl::IsDataLoss(
      PieceDirectory::Parse(ElementType::kBf16, kFull + Bytes(1), total, footer).status()));
  EXPECT_TRUE(absl::IsDataLoss(
      PieceDirectory::Parse(ElementType::kBf16, kFull + GiB(1), total, footer).status()));
  EXPECT_TRUE(absl::IsDataLoss(ParseStatus(footer, total + Bytes(4096))));
  EXPECT_TRUE(absl::IsDataLoss(ParseStatus(footer, total - Bytes(1))));
}

TEST(PieceDirectory, EveryFlippedBitIsSeen) {
  const PieceDirectory directory = Filled();
  Blob footer = FooterOf(directory, kFull);
  for (size_t bit = 0; bit < footer.size() * 8; ++bit) {
    footer[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    ASSERT_TRUE(absl::IsDataLoss(ParseStatus(footer, directory.TotalBytes()))) << "bit " << bit;
    footer[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
  }
  EXPECT_TRUE(ParseStatus(footer, directory.TotalBytes()).ok());
}

// A footer whose checksum fits is still not believed.
TEST(PieceDirectory, SizesThatCannotBeAreRefused) {
  const PieceDirectory directory = Filled();
  constexpr size_t kSizes = 24;  // after the head
  for (const uint32_t bytes : {0u, 5002u, 0xffffffffu}) {
    Blob footer = FooterOf(directory, kFull);
    std::memcpy(footer.data() + kSizes + 3 * sizeof(bytes), &bytes, sizeof(bytes));
    Reseal(footer);
    const absl::Status status = ParseStatus(footer, directory.TotalBytes());
    EXPECT_TRUE(absl::IsDataLoss(status)) << bytes;
    EXPECT_NE(status.message().find("piece 3"), std::string::npos) << status;
  }
  Blob footer = FooterOf(directory, kFull);
  const uint32_t larger = 800000;  // a size that could be, but then the copy would be longer
  std::memcpy(footer.data() + kSizes + 2 * sizeof(larger), &larger, sizeof(larger));
  Reseal(footer);
  EXPECT_TRUE(absl::IsDataLoss(ParseStatus(footer, directory.TotalBytes())));
}

TEST(PieceDirectory, GarbageIsRefusedAndWhatIsTakenLiesBeforeTheFooter) {
  const uint64_t seed = std::random_device{}();
  RecordProperty("seed", std::to_string(seed));
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  const PieceDirectory directory = Filled();
  const Blob good = FooterOf(directory, kFull);
  int taken = 0;
  for (int round = 0; round < 20000; ++round) {
    Blob footer = good;
    const size_t from = round % 2 == 0 ? 24 : 0;  // spares the head in every other round
    for (uint64_t flips = random() % 3; flips > 0; --flips) {
      footer[from + random() % (footer.size() - from)] = static_cast<std::byte>(random());
    }
    if (round % 5 != 0) Reseal(footer);
    if (round % 7 == 0) footer.resize(random() % (footer.size() + 1));
    const Bytes total(random() % 512 * 4096);
    const Bytes given = round % 3 == 0 ? total : directory.TotalBytes();
    const auto parsed = PieceDirectory::Parse(ElementType::kBf16, kFull, given, footer);
    if (!parsed.ok()) {
      ASSERT_TRUE(absl::IsDataLoss(parsed.status())) << parsed.status();
      continue;
    }
    ++taken;
    for (uint32_t piece = 0; piece < parsed->piece_count(); ++piece) {
      ASSERT_LE(parsed->OffsetOf(piece) + parsed->EncodedBytesOf(piece),
                given.count() - PieceDirectory::FooterBytes(kFull));
    }
  }
  EXPECT_GT(taken, 0);
}

}  // namespace
}  // namespace residency
