#include "movers/synthetic.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "core/recipe.h"
#include "movers/checksum.h"

namespace residency {
namespace {

TEST(SyntheticTest, PiecesOfAnySizeMakeTheSameBlock) {
  std::vector<std::byte> whole(1003);
  FillSynthetic(42, 0, whole);
  for (const size_t piece : {1u, 3u, 7u, 8u, 64u, 500u}) {
    std::vector<std::byte> made(whole.size());
    for (size_t at = 0; at < made.size(); at += piece) {
      FillSynthetic(42, at, std::span(made).subspan(at, std::min(piece, made.size() - at)));
    }
    EXPECT_EQ(made, whole) << "pieces of " << piece;
  }
}

TEST(SyntheticTest, FirstWordIsTheRecipesLittleEndian) {
  std::vector<std::byte> block(8);
  FillSynthetic(7, 0, block);
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(static_cast<uint8_t>(block[i]), SyntheticWord(7, 0) >> (8 * i) & 0xff);
  }
}

// Reference values of XXH3-64 with seed 0, from the algorithm's own test vectors.
TEST(ChecksumTest, IsXxh3) {
  EXPECT_EQ(ChecksumOf({}), 0x2d06800538d394c2ull);
  Checksum empty;
  EXPECT_EQ(empty.value(), 0x2d06800538d394c2ull);
}

TEST(ChecksumTest, PiecesMakeTheSameChecksum) {
  std::vector<std::byte> bytes(100'003);
  FillSynthetic(1, 0, bytes);
  Checksum checksum;
  for (size_t at = 0; at < bytes.size(); at += 4097) {
    checksum.Add(std::span(bytes).subspan(at, std::min<size_t>(4097, bytes.size() - at)));
  }
  EXPECT_EQ(checksum.value(), ChecksumOf(bytes));
  bytes[50'000] ^= std::byte{1};
  EXPECT_NE(checksum.value(), ChecksumOf(bytes));
}

}  // namespace
}  // namespace residency
