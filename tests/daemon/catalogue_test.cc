#include "daemon/catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <fstream>
#include <limits>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "daemon/catalogue_schema.h"
#include "daemon/sqlite.h"
#include "tests/daemon/temp_dir.h"

namespace residency {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();

ModelRow Model(uint32_t id) { return {ModelId(id), DomainId(1000), "m", absl::StrCat("f", id)}; }

BlockRow BlockOf(uint32_t id, uint32_t model = 0) {
  BlockRow row;
  row.id = BlockId(id);
  row.model = ModelId(model);
  row.name = absl::StrCat("block.", id);
  row.bytes = MiB(3);
  row.role = Role::kExpert;
  row.layer = 4;
  row.expert = 7;
  row.criticality = 0.5f;
  row.sensitivity = 0.25f;
  row.layout = "marlin";
  row.flags = 3;
  return row;
}

ExtentRow ExtentAt(uint64_t offset, uint64_t length, uint32_t block = 0) {
  return {"nvme0", {offset, length}, BlockId(block), Encoding::kFull, kHuge};
}

class CatalogueTest : public testing::Test {
 protected:
  std::unique_ptr<Catalogue> Open() {
    auto catalogue = Catalogue::Open(path_);
    EXPECT_TRUE(catalogue.ok()) << catalogue.status();
    return catalogue.ok() ? *std::move(catalogue) : nullptr;
  }
  static std::vector<absl::Status> Apply(Catalogue& catalogue,
                                         std::vector<CatalogueOperation> operations) {
    auto results = catalogue.Apply(operations);
    EXPECT_TRUE(results.ok()) << results.status();
    return results.ok() ? *results : std::vector<absl::Status>();
  }
  static void ApplyAll(Catalogue& catalogue, std::vector<CatalogueOperation> operations) {
    for (const absl::Status& status : Apply(catalogue, std::move(operations))) {
      EXPECT_TRUE(status.ok()) << status;
    }
  }

  TempDir dir_;
  const std::string path_ = dir_.File("catalogue.db");
};

TEST_F(CatalogueTest, NewOneIsEmptyAndPrivate) {
  auto catalogue = Open();
  const auto contents = catalogue->Load();
  ASSERT_TRUE(contents.ok()) << contents.status();
  EXPECT_THAT(contents->blocks, IsEmpty());
  for (const char* suffix : {"", "-wal"}) {
    struct stat info = {};
    ASSERT_EQ(stat((path_ + suffix).c_str(), &info), 0) << suffix;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << suffix;
  }
}

TEST_F(CatalogueTest, EveryRowIsReadBackAfterReopening) {
  FileRow file{FileId(0), DomainId(1000), "/w/a.safetensors", kHuge, 2, 3, -4, 5};
  BlockRow from_file = BlockOf(0);
  from_file.recipe = {RecipeKind::kFileRange, FileId(0), kHuge, 0};
  BlockRow synthetic = BlockOf(1);
  synthetic.recipe = {RecipeKind::kSynthetic, FileId(), 0, kHuge};
  synthetic.checksum = kHuge - 1;
  BlockRow put = BlockOf(2);
  const AliasRow alias{ModelId(0), "tied", BlockId(1)};
  const ExtentRow extent{"nvme0", {4096, 8192}, BlockId(1), Encoding::kCompressed, kHuge};
  ApplyAll(*Open(), {PutModelRow{Model(0)}, PutFileRow{file}, PutBlockRow{from_file},
                     PutBlockRow{synthetic}, PutBlockRow{put}, PutAliasRow{alias},
                     PutExtentRow{extent}, PutStatistics{{{BlockId(2), 0.75f}}}});
  const auto contents = Open()->Load();
  ASSERT_TRUE(contents.ok()) << contents.status();
  EXPECT_THAT(contents->models, ElementsAre(Model(0)));
  EXPECT_THAT(contents->files, ElementsAre(file));
  EXPECT_THAT(contents->blocks, ElementsAre(from_file, synthetic, put));
  EXPECT_THAT(contents->aliases, ElementsAre(alias));
  EXPECT_THAT(contents->extents, ElementsAre(extent));
  EXPECT_THAT(contents->statistics, ElementsAre(StatisticRow{BlockId(2), 0.75f}));
}

TEST_F(CatalogueTest, PutAgainReplacesAndKeepsWhatRefersToIt) {
  auto catalogue = Open();
  ApplyAll(*catalogue,
           {PutModelRow{Model(0)}, PutBlockRow{BlockOf(0)}, PutExtentRow{ExtentAt(0, 4096)}});
  BlockRow renewed = BlockOf(0);
  renewed.recipe = {RecipeKind::kSynthetic, FileId(), 0, 9};
  ApplyAll(*catalogue,
           {PutModelRow{Model(0)}, PutBlockRow{renewed}, SetBlockChecksum{BlockId(0), 77}});
  const auto contents = catalogue->Load();
  renewed.checksum = 77;
  EXPECT_THAT(contents->blocks, ElementsAre(renewed));
  EXPECT_THAT(contents->extents, ElementsAre(ExtentAt(0, 4096)));
}

TEST_F(CatalogueTest, OverlappingExtentsAreRefusedAndTheOthersStay) {
  auto catalogue = Open();
  ApplyAll(*catalogue,
           {PutModelRow{Model(0)}, PutBlockRow{BlockOf(0)}, PutExtentRow{ExtentAt(8192, 8192)}});
  for (const auto& [offset, length] : std::vector<std::pair<uint64_t, uint64_t>>{
           {8192, 4096}, {4096, 8192}, {12288, 4096}, {0, 65536}, {12288, 65536}}) {
    const auto results = Apply(
        *catalogue, {PutExtentRow{ExtentAt(offset, length)}, SetBlockChecksum{BlockId(0), offset}});
    EXPECT_EQ(results[0].code(), absl::StatusCode::kAlreadyExists) << offset << "+" << length;
    EXPECT_TRUE(results[1].ok());
  }
  ExtentRow elsewhere = ExtentAt(8192, 8192);
  elsewhere.pool = "nvme1";
  ApplyAll(*catalogue, {PutExtentRow{ExtentAt(0, 8192)}, PutExtentRow{ExtentAt(16384, 4096)},
                        PutExtentRow{elsewhere}});
  EXPECT_EQ(catalogue->Load()->extents.size(), 4u);
  ApplyAll(*catalogue, {RemoveExtentRow{"nvme0", 8192}, PutExtentRow{ExtentAt(12288, 4096)}});
}

TEST_F(CatalogueTest, NothingThatIsReferredToIsRemoved) {
  auto catalogue = Open();
  ApplyAll(*catalogue, {PutModelRow{Model(0)}, PutBlockRow{BlockOf(0)},
                        PutExtentRow{ExtentAt(0, 4096)}, PutStatistics{{{BlockId(0), 1}}}});
  EXPECT_THAT(Apply(*catalogue, {RemoveBlockRow{BlockId(0)}, RemoveModelRow{ModelId(0)}})[0].code(),
              absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Apply(*catalogue, {PutExtentRow{ExtentAt(65536, 4096, 99)}})[0].code(),
            absl::StatusCode::kAlreadyExists);
  ApplyAll(*catalogue, {RemoveExtentRow{"nvme0", 0}, RemoveBlockRow{BlockId(0)},
                        RemoveModelRow{ModelId(0)}, RemoveModelRow{ModelId(0)}});
  const auto contents = catalogue->Load();
  EXPECT_THAT(contents->models, IsEmpty());
  EXPECT_THAT(contents->statistics, IsEmpty());
}

TEST_F(CatalogueTest, WhatIsNotThereIsToldApart) {
  auto catalogue = Open();
  const auto results =
      Apply(*catalogue, {SetBlockChecksum{BlockId(5), 1}, PutStatistics{{{BlockId(5), 0.5f}}},
                         RemoveExtentRow{"nvme0", 0}});
  EXPECT_EQ(results[0].code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(results[1].ok());
  EXPECT_TRUE(results[2].ok());
}

TEST_F(CatalogueTest, SameFingerprintTwiceInADomainIsRefused) {
  auto catalogue = Open();
  ModelRow twin = Model(0);
  twin.id = ModelId(1);
  ModelRow stranger = Model(0);
  stranger.id = ModelId(2);
  stranger.domain = DomainId(1001);
  const auto results =
      Apply(*catalogue, {PutModelRow{Model(0)}, PutModelRow{twin}, PutModelRow{stranger}});
  EXPECT_TRUE(results[0].ok());
  EXPECT_FALSE(results[1].ok());
  EXPECT_TRUE(results[2].ok());
}

TEST_F(CatalogueTest, NewerSchemaIsRefusedAndUntouched) {
  Open();
  {
    auto db = SqliteDatabase::Open(path_);
    ASSERT_TRUE(db->Execute(absl::StrCat("PRAGMA user_version = ", kCatalogueVersion + 1)).ok());
  }
  const auto status = Catalogue::Open(path_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(path_), HasSubstr("schema version 3"), HasSubstr("newer")));
}

TEST_F(CatalogueTest, AnotherProgramsDatabaseIsRefused) {
  {
    auto db = SqliteDatabase::Open(path_);
    ASSERT_TRUE(db->Execute("CREATE TABLE t (x)").ok());
  }
  EXPECT_THAT(std::string(Catalogue::Open(path_).status().message()), HasSubstr("another program"));
}

TEST_F(CatalogueTest, DamagedFileIsReportedAndKept) {
  const std::string junk(100'000, 'j');
  std::ofstream(path_) << junk << std::flush;
  const auto status = Catalogue::Open(path_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(path_), HasSubstr("never deleted")));
  std::stringstream now;
  now << std::ifstream(path_).rdbuf();
  EXPECT_EQ(now.str(), junk);
}

TEST_F(CatalogueTest, DamageInsideIsFoundWhenItIsOpened) {
  {
    auto catalogue = Open();
    std::vector<CatalogueOperation> many = {PutModelRow{Model(0)}};
    for (uint32_t i = 0; i < 2000; ++i) many.push_back(PutBlockRow{BlockOf(i)});
    ApplyAll(*catalogue, many);
  }
  struct stat info = {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  ASSERT_GT(info.st_size, 100'000);
  {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(40'960);
    file << std::string(20'000, '\xff');
  }
  EXPECT_EQ(Catalogue::Open(path_).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(CatalogueTest, FullDiskAppliesNothingAndCanBeTriedAgain) {
  auto catalogue = Open();
  ApplyAll(*catalogue, {PutModelRow{Model(0)}});
  std::vector<CatalogueOperation> many;
  for (uint32_t i = 0; i < 5000; ++i) many.push_back(PutBlockRow{BlockOf(i)});
  struct rlimit before = {};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto old_handler = signal(SIGXFSZ, SIG_IGN);
  const struct rlimit tight = {200'000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &tight);
  const auto refused = catalogue->Apply(many);
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, old_handler);
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(catalogue->Load()->blocks, IsEmpty());
  ApplyAll(*catalogue, many);
  EXPECT_EQ(catalogue->Load()->blocks.size(), 5000u);
}

}  // namespace
}  // namespace residency
