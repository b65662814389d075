#include "daemon/unix_socket.h"

#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "daemon/state_dir_lock.h"
#include "tests/daemon/temp_dir.h"

namespace residency {
namespace {

using ::testing::HasSubstr;

class UnixSocketTest : public testing::Test {
 protected:
  absl::StatusOr<OwnedFd> Listen(int type = SOCK_SEQPACKET) {
    return ListenUnix({path_, type, 0640, ""});
  }
  TempDir dir_;
  const std::string path_ = dir_.File("side.sock");
};

TEST_F(UnixSocketTest, ModeIsSet) {
  const auto fd = Listen();
  ASSERT_TRUE(fd.ok()) << fd.status();
  struct stat info = {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
}

TEST_F(UnixSocketTest, GroupIsSetByName) {
  const struct group* const own = getgrgid(getgid());
  if (own == nullptr) GTEST_SKIP() << "this user's group has no name";
  const auto fd = ListenUnix({path_, SOCK_SEQPACKET, 0660, own->gr_name});
  ASSERT_TRUE(fd.ok()) << fd.status();
  EXPECT_EQ(*GroupId(own->gr_name), getgid());
}

TEST_F(UnixSocketTest, UnknownGroupLeavesNoSocketBehind) {
  const auto fd = ListenUnix({path_, SOCK_SEQPACKET, 0660, "no-such-group-here"});
  EXPECT_EQ(fd.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(access(path_.c_str(), F_OK), 0);
}

TEST_F(UnixSocketTest, LiveSocketIsNeverTaken) {
  const auto first = Listen();
  ASSERT_TRUE(first.ok());
  struct stat before = {};
  stat(path_.c_str(), &before);
  const auto second = Listen();
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("another daemon listens on"));
  EXPECT_EQ(Listen(SOCK_STREAM).status().code(), absl::StatusCode::kAlreadyExists);
  struct stat after = {};
  stat(path_.c_str(), &after);
  EXPECT_EQ(before.st_ino, after.st_ino);
}

TEST_F(UnixSocketTest, LeftoverIsReplaced) {
  { const auto first = Listen(); }
  ASSERT_EQ(access(path_.c_str(), F_OK), 0);
  EXPECT_TRUE(Listen(SOCK_STREAM).ok());
  EXPECT_TRUE(PrepareUnixPath(path_, SOCK_STREAM).ok());
  EXPECT_NE(access(path_.c_str(), F_OK), 0);
}

TEST_F(UnixSocketTest, WhatIsNoSocketStays) {
  std::ofstream(path_) << "precious";
  EXPECT_EQ(Listen().status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(access(path_.c_str(), F_OK), 0);
}

TEST_F(UnixSocketTest, PathsThatAreTooLongAreRefused) {
  EXPECT_EQ(PrepareUnixPath("/" + std::string(200, 'x'), SOCK_STREAM).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(StateDirLockTest, SecondOneIsRefusedAndTheFirstUnharmed) {
  const TempDir dir;
  auto first = StateDirLock::Acquire(dir.File("state"));
  ASSERT_TRUE(first.ok()) << first.status();
  for (int i = 0; i < 2; ++i) {
    const auto second = StateDirLock::Acquire(dir.File("state"));
    EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(second.status().message()),
                HasSubstr("process " + std::to_string(getpid())));
  }
  first = absl::CancelledError("gone");
  EXPECT_TRUE(StateDirLock::Acquire(dir.File("state")).ok());
}

TEST(StateDirLockTest, DirectoryIsMadePrivate) {
  const TempDir dir;
  ASSERT_TRUE(StateDirLock::Acquire(dir.File("state")).ok());
  struct stat info = {};
  ASSERT_EQ(stat(dir.File("state").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  EXPECT_EQ(StateDirLock::Acquire(dir.File("no/such")).status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace residency
