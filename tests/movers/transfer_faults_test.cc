// Corrupt copies, changed files, failing disks, impossible orders: each is told apart.
#include "tests/movers/node_testing.h"

namespace residency {
namespace {

constexpr uint64_t kBytes = 100'003;

class TransferFaultsTest : public testing::Test {
 protected:
  CopySource PutCopy(PoolId pool) {
    const CopySource source{TestNode::Place(pool, 8192, kBytes), ChecksumOf(bytes_)};
    node_.Put(source.place, bytes_);
    return source;
  }
  std::string WriteFile() {
    const std::string path = node_.dir() / "model";
    WriteAt(path, 0, TestBytes(7, 500'000));
    Touch(path, 1'000'000);
    return path;
  }
  void ExpectHealthy() {
    const TransferOutcome outcome = node_.Run(PutCopy(kDram), Target(kHbm0), kBytes);
    EXPECT_TRUE(outcome.status.ok()) << outcome.status;
    EXPECT_EQ(node_.staging().free_count(), node_.staging().buffer_count());
  }
  static CopyPlace Target(PoolId pool) { return TestNode::Place(pool, 4 << 20, kBytes); }

  const ByteVector bytes_ = TestBytes(1, kBytes);
  TestNode node_;
};

TEST_F(TransferFaultsTest, FlippedByteInAnyTierIsCorrupt) {
  for (const PoolId pool : {kHbm0, kDram, kNvme0}) {
    const CopySource source = PutCopy(pool);
    ByteVector flipped = bytes_;
    flipped[kBytes - 1] ^= std::byte{1};
    node_.Put(source.place, flipped);
    for (const PoolId target : {kHbm1, kDram, kNvme1}) {
      const TransferOutcome outcome = node_.Run(source, Target(target), kBytes);
      EXPECT_EQ(outcome.failure, TransferFailure::kSourceCorrupt) << pool << " to " << target;
      EXPECT_EQ(outcome.status.code(), absl::StatusCode::kDataLoss);
    }
  }
  ExpectHealthy();
}

TEST_F(TransferFaultsTest, FlippedPaddingIsNoCorruption) {
  const CopySource source = PutCopy(kNvme0);
  WriteAt(node_.DiskPath(kNvme0), 8192 + kBytes, TestBytes(9, 100));
  EXPECT_TRUE(node_.Run(source, Target(kDram), kBytes).status.ok());
}

TEST_F(TransferFaultsTest, RecipeWithAnotherResultThanExpectedIsCorrupt) {
  const Recipe recipe = node_.FileRecipe(WriteFile(), 33);
  const Ticket ticket =
      node_.Start(recipe, Target(kDram), kBytes, LinkClass::kDemand, ChecksumOf(bytes_));
  EXPECT_EQ(node_.outcomes.Wait(ticket).failure, TransferFailure::kSourceCorrupt);
}

TEST_F(TransferFaultsTest, CorruptExtentIsNotSynced) {
  CopySource source = PutCopy(kDram);
  source.checksum ^= 1;
  EXPECT_EQ(node_.Run(source, Target(kNvme0), kBytes).failure, TransferFailure::kSourceCorrupt);
  EXPECT_EQ(node_.disk(kNvme0).syncs(), 0);
}

TEST_F(TransferFaultsTest, FileChangedBeforeIsNamed) {
  const std::string path = WriteFile();
  const Recipe recipe = node_.FileRecipe(path, 33);
  Touch(path, 2'000'000);
  const TransferOutcome outcome = node_.Run(recipe, Target(kDram), kBytes);
  EXPECT_EQ(outcome.failure, TransferFailure::kSourceChanged);
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(outcome.status.message().find(path), absl::string_view::npos);
}

TEST_F(TransferFaultsTest, FileChangedMidwayIsNoticed) {
  const std::string path = WriteFile();
  const auto changes = std::vector<std::function<void()>>{
      [&] { WriteAt(path, 40'000, TestBytes(3, 10)), Touch(path, 3'000'000); },
      [&] { ASSERT_EQ(truncate(path.c_str(), 1000), 0); },
      [&] {
        WriteAt(path + ".new", 0, TestBytes(3, 500'000));
        std::filesystem::rename(path + ".new", path);
      },
  };
  for (const auto& change : changes) {
    WriteFile();
    const Recipe recipe = node_.FileRecipe(path, 33);
    node_.file_gate().Close();
    const Ticket ticket = node_.Start(recipe, Target(kHbm0), kBytes);
    ASSERT_TRUE(node_.file_gate().AwaitHeld(1));
    change();
    node_.file_gate().Open();
    const TransferOutcome outcome = node_.outcomes.Wait(ticket);
    EXPECT_EQ(outcome.failure, TransferFailure::kSourceChanged) << outcome.status;
  }
  ExpectHealthy();
}

TEST_F(TransferFaultsTest, RangeBeyondTheFileIsASourceError) {
  const std::string path = WriteFile();
  for (const uint64_t offset : {uint64_t{450'000}, uint64_t{500'000}, ~uint64_t{0} - 10}) {
    const TransferOutcome outcome =
        node_.Run(node_.FileRecipe(path, offset), Target(kDram), kBytes);
    EXPECT_EQ(outcome.failure, TransferFailure::kSourceError);
    EXPECT_EQ(outcome.status.code(), absl::StatusCode::kOutOfRange) << outcome.status;
  }
}

TEST_F(TransferFaultsTest, UnknownFileAndMissingRecipeAreSourceErrors) {
  Recipe recipe;
  EXPECT_EQ(node_.Run(recipe, Target(kDram), kBytes).failure, TransferFailure::kSourceError);
  recipe.kind = RecipeKind::kFileRange;
  recipe.file = FileId(77);
  EXPECT_EQ(node_.Run(recipe, Target(kDram), kBytes).failure, TransferFailure::kSourceError);
}

TEST_F(TransferFaultsTest, FullDiskIsATargetError) {
  node_.disk(kNvme0).FailWrites(IoError(ENOSPC, "write"));
  for (const PoolId pool : {kDram, kHbm0, kNvme1}) {
    const TransferOutcome outcome = node_.Run(PutCopy(pool), Target(kNvme0), kBytes);
    EXPECT_EQ(outcome.failure, TransferFailure::kTargetError);
    EXPECT_EQ(outcome.status.code(), absl::StatusCode::kResourceExhausted);
  }
  node_.disk(kNvme0).FailWrites(absl::OkStatus());
  EXPECT_TRUE(node_.Run(PutCopy(kDram), Target(kNvme0), kBytes).status.ok());
  ExpectHealthy();
}

TEST_F(TransferFaultsTest, FailedSyncIsATargetError) {
  node_.disk(kNvme0).FailSyncs(IoError(EIO, "fdatasync"));
  const TransferOutcome outcome = node_.Run(PutCopy(kDram), Target(kNvme0), kBytes);
  EXPECT_EQ(outcome.failure, TransferFailure::kTargetError);
}

TEST_F(TransferFaultsTest, UnreadableDiskIsASourceError) {
  const CopySource source = PutCopy(kNvme0);
  ASSERT_EQ(truncate(node_.DiskPath(kNvme0).c_str(), 8192), 0);
  const TransferOutcome outcome = node_.Run(source, Target(kHbm0), kBytes);
  EXPECT_EQ(outcome.failure, TransferFailure::kSourceError) << outcome.status;
  ExpectHealthy();
}

TEST_F(TransferFaultsTest, ImpossiblePlacesAreRefused) {
  const CopySource source = PutCopy(kDram);
  CopyPlace unknown = Target(kDram);
  unknown.pool = PoolId(42);
  CopyPlace small = Target(kDram);
  small.extent.length = 4096;
  CopyPlace outside = TestNode::Place(kDram, 16 << 20, kBytes);
  CopyPlace unaligned = Target(kNvme0);
  unaligned.extent.offset += 512;
  CopyPlace unlabelled = Target(kDram);
  unlabelled.regions.clear();
  CopyPlace beyond_disk = TestNode::Place(kNvme0, 16 << 20, kBytes);
  for (const CopyPlace& place : {unknown, small, outside, unaligned, unlabelled, beyond_disk}) {
    const TransferOutcome outcome = node_.Run(source, place, kBytes);
    EXPECT_EQ(outcome.failure, TransferFailure::kTargetError) << outcome.status;
  }
  CopySource bad = source;
  bad.place = outside;
  EXPECT_EQ(node_.Run(bad, Target(kHbm0), kBytes).failure, TransferFailure::kSourceError);
  EXPECT_EQ(node_.Run(source, Target(kHbm0), 0).failure, TransferFailure::kSourceError);
  ExpectHealthy();
}

}  // namespace
}  // namespace residency
