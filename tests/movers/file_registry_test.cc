#include "movers/file_registry.h"

#include <sys/mman.h>

#include <filesystem>
#include <thread>

#include "tests/movers/movers_testing.h"

namespace residency {
namespace {

constexpr DomainId kAlice(1);
constexpr DomainId kBob(2);

class FileRegistryTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = dir_ / "model.safetensors";
    WriteAt(path_, 0, TestBytes(1, 10'000));
    Touch(path_, 1'000'000);
  }
  FileInfo InfoOf(const std::string& path) {
    return {kAlice, path, IdentityOf(OpenRead(path).get()).value()};
  }
  static void ExpectSupplyAgain(const absl::Status& status, const std::string& path) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_NE(status.message().find(path), absl::string_view::npos) << status;
    EXPECT_NE(status.message().find("supply it again"), absl::string_view::npos) << status;
    EXPECT_FALSE(IsFileChanged(status));
  }
  static void ExpectChanged(const absl::Status& status, const std::string& path) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_NE(status.message().find(path), absl::string_view::npos) << status;
    EXPECT_TRUE(IsFileChanged(status)) << status;
  }

  TestDir dir_;
  std::string path_;
  FileRegistry files_{{{dir_.path()}, 8, true}};
};

TEST_F(FileRegistryTest, SameFileInTheSameDomainIsOneFile) {
  const FileId first = files_.Add(kAlice, OpenRead(path_), path_).value();
  std::filesystem::create_hard_link(path_, dir_ / "before");  // changes the identity: ctime
  const FileId second = files_.Add(kAlice, OpenRead(path_), path_).value();
  EXPECT_NE(first, second);
  EXPECT_EQ(files_.Add(kAlice, OpenRead(dir_ / "before"), "another name").value(), second);
  EXPECT_NE(files_.Add(kBob, OpenRead(path_), path_).value(), second);
}

TEST_F(FileRegistryTest, OpenFileCanBeRead) {
  const FileId id = files_.Add(kAlice, OpenRead(path_), path_).value();
  const std::shared_ptr<const OpenFile> file = files_.Open(id).value();
  EXPECT_EQ(file->size, 10'000u);
  alignas(4096) static std::byte page[4096];
  ASSERT_EQ(pread(file->fd.get(), page, sizeof(page), 0), 4096);
  EXPECT_EQ(ByteVector(page, page + 4096), TestBytes(1, 4096));
  EXPECT_TRUE(files_.CheckIdentity(id).ok());
}

TEST_F(FileRegistryTest, DirectReadsLeaveTheClientsDescriptorAlone) {
  OwnedFd client = OpenRead(path_);
  ASSERT_TRUE(files_.Add(kAlice, OwnedFd(dup(client.get())), path_).ok());
  EXPECT_EQ(fcntl(client.get(), F_GETFL) & O_DIRECT, 0);
}

TEST_F(FileRegistryTest, MemfdsAreFiles) {
  OwnedFd memfd(memfd_create("weights", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(memfd.get(), 5000), 0);
  const absl::StatusOr<FileId> id = files_.Add(kAlice, std::move(memfd), "memfd:weights");
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(files_.Open(*id).value()->size, 5000u);
  EXPECT_TRUE(files_.CheckIdentity(*id).ok());
}

TEST_F(FileRegistryTest, WhatIsNoRegularFileIsRefused) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  OwnedFd out(ends[1]);
  EXPECT_EQ(files_.Add(kAlice, OwnedFd(ends[0]), "pipe").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(files_.Add(kAlice, OpenRead(dir_.path()), "directory").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(files_.Add(kAlice, OpenRead("/dev/zero"), "device").status().code(),
            absl::StatusCode::kInvalidArgument);
}

// The daemon may read more than its client: it must not read on a right that the client lacks.
TEST_F(FileRegistryTest, DescriptorsThatTheClientCannotReadAreRefused) {
  OwnedFd write_only(open(path_.c_str(), O_WRONLY | O_CLOEXEC));
  EXPECT_EQ(files_.Add(kAlice, std::move(write_only), path_).status().code(),
            absl::StatusCode::kInvalidArgument);
  OwnedFd path_only(open(path_.c_str(), O_PATH | O_CLOEXEC));
  EXPECT_EQ(files_.Add(kAlice, std::move(path_only), path_).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(FileRegistryTest, EveryChangeOfTheFileIsNoticed) {
  const auto change_by = [&](auto change) {
    const FileId id = files_.Add(kAlice, OpenRead(path_), path_).value();
    ASSERT_TRUE(files_.CheckIdentity(id).ok());
    change();
    ExpectChanged(files_.CheckIdentity(id), path_);
    files_.Forget(id);
  };
  change_by([&] { WriteAt(path_, 10'000, TestBytes(2, 1)); });
  change_by([&] { ASSERT_EQ(truncate(path_.c_str(), 100), 0); });
  change_by([&] { Touch(path_, 2'000'000); });
  change_by([&] { std::filesystem::remove(path_); });
}

TEST_F(FileRegistryTest, ReplacedFileIsNoticed) {
  const FileId id = files_.Add(kAlice, OpenRead(path_), path_).value();
  WriteAt(dir_ / "new", 0, TestBytes(9, 10'000));
  std::filesystem::rename(dir_ / "new", path_);
  ExpectChanged(files_.CheckIdentity(id), path_);
}

TEST_F(FileRegistryTest, RestoredFileIsReopenedBeneathARoot) {
  ASSERT_TRUE(files_.Restore(FileId(5), InfoOf(path_)).ok());
  ASSERT_TRUE(files_.Open(FileId(5)).ok());
  EXPECT_TRUE(files_.CheckIdentity(FileId(5)).ok());
  // Its id is taken: new files get later ones.
  WriteAt(dir_ / "other", 0, TestBytes(4, 10));
  EXPECT_GT(files_.Add(kAlice, OpenRead(dir_ / "other"), "other").value(), FileId(5));
}

TEST_F(FileRegistryTest, RestoredFileOutsideTheRootsMustBeSuppliedAgain) {
  TestDir elsewhere;
  const std::string path = elsewhere / "model";
  WriteAt(path, 0, TestBytes(1, 100));
  ASSERT_TRUE(files_.Restore(FileId(0), InfoOf(path)).ok());
  ExpectSupplyAgain(files_.Open(FileId(0)).status(), path);
  EXPECT_EQ(files_.Add(kAlice, OpenRead(path), path).value(), FileId(0));
  EXPECT_TRUE(files_.Open(FileId(0)).ok());
}

TEST_F(FileRegistryTest, SymlinkDoesNotLeadOutOfTheRoots) {
  TestDir elsewhere;
  WriteAt(elsewhere / "model", 0, TestBytes(1, 100));
  const std::string link = dir_ / "link";
  std::filesystem::create_symlink(elsewhere / "model", link);
  ASSERT_TRUE(files_.Restore(FileId(0), InfoOf(link)).ok());
  ExpectSupplyAgain(files_.Open(FileId(0)).status(), link);
  const std::string dotted =
      dir_ / ("../" + elsewhere.path().substr(elsewhere.path().find_last_of('/') + 1) + "/model");
  ASSERT_TRUE(std::filesystem::exists(dotted));
  FileInfo info = InfoOf(dotted);
  info.domain = kBob;
  ASSERT_TRUE(files_.Restore(FileId(1), info).ok());
  ExpectSupplyAgain(files_.Open(FileId(1)).status(), dotted);
}

TEST_F(FileRegistryTest, RootIsADirectoryNotAPrefix) {
  FileRegistry files({{dir_ / "mod"}, 8, true});
  std::filesystem::create_directory(dir_ / "mod");
  ASSERT_TRUE(files.Restore(FileId(0), InfoOf(path_)).ok());
  ExpectSupplyAgain(files.Open(FileId(0)).status(), path_);
}

TEST_F(FileRegistryTest, RestoredFileThatIsAnotherOrGoneIsRefused) {
  ASSERT_TRUE(files_.Restore(FileId(0), InfoOf(path_)).ok());
  Touch(path_, 3'000'000);
  ExpectChanged(files_.Open(FileId(0)).status(), path_);
  std::filesystem::remove(path_);
  ExpectSupplyAgain(files_.Open(FileId(0)).status(), path_);
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);  // must not block
  ExpectSupplyAgain(files_.Open(FileId(0)).status(), path_);
}

TEST_F(FileRegistryTest, FilesAreBounded) {
  for (int i = 0; i < 8; ++i) {
    const std::string path = dir_ / std::to_string(i);
    WriteAt(path, 0, TestBytes(i, 10));
    ASSERT_TRUE(files_.Add(kAlice, OpenRead(path), path).ok());
  }
  EXPECT_EQ(files_.Add(kAlice, OpenRead(path_), path_).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(files_.Restore(FileId(99), InfoOf(path_)).code(), absl::StatusCode::kResourceExhausted);
  files_.Forget(FileId(3));
  EXPECT_TRUE(files_.Add(kAlice, OpenRead(path_), path_).ok());
}

TEST_F(FileRegistryTest, ForgottenFileStaysOpenForItsReaders) {
  const FileId id = files_.Add(kAlice, OpenRead(path_), path_).value();
  const std::shared_ptr<const OpenFile> file = files_.Open(id).value();
  files_.Forget(id);
  EXPECT_EQ(files_.Open(id).status().code(), absl::StatusCode::kNotFound);
  EXPECT_GE(fcntl(file->fd.get(), F_GETFL), 0);
}

TEST_F(FileRegistryTest, ManyThreadsAgreeOnOneFile) {
  ASSERT_TRUE(files_.Restore(FileId(2), InfoOf(path_)).ok());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      EXPECT_EQ(files_.Add(kAlice, OpenRead(path_), path_).value(), FileId(2));
      EXPECT_TRUE(files_.Open(FileId(2)).ok());
      EXPECT_TRUE(files_.CheckIdentity(FileId(2)).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(files_.size(), 1u);
}

}  // namespace
}  // namespace residency
