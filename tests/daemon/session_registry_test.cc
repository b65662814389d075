#include "daemon/session_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

namespace residency {
namespace {

using ::testing::HasSubstr;

PeerProcess Peer(uid_t uid, pid_t pid) {
  PeerProcess peer;
  peer.uid = uid;
  peer.pid = pid;
  peer.name = "engine";
  return peer;
}

TEST(SessionRegistryTest, TokenLeadsToSessionAndDomain) {
  SessionRegistry registry({});
  const auto opened = registry.Open(Peer(1000, 7));
  ASSERT_TRUE(opened.ok());
  const auto identity = registry.Authenticate(TokenBytes(opened->token));
  ASSERT_TRUE(identity.ok());
  EXPECT_EQ(identity->id, opened->identity.id);
  EXPECT_EQ(identity->domain, DomainId(1000));
}

TEST(SessionRegistryTest, UnknownTokensAreRefused) {
  SessionRegistry registry({});
  const auto opened = registry.Open(Peer(1000, 7));
  SessionToken wrong = opened->token;
  wrong[15] ^= 1;
  for (const std::string& token : {std::string(TokenBytes(wrong)), std::string(),
                                   std::string(15, 'x'), std::string(17, 'x')}) {
    EXPECT_EQ(registry.Authenticate(token).status().code(), absl::StatusCode::kUnauthenticated);
  }
  EXPECT_TRUE(registry.Close(opened->identity.id));
  EXPECT_FALSE(registry.Close(opened->identity.id));
  EXPECT_FALSE(registry.Authenticate(TokenBytes(opened->token)).ok());
}

TEST(SessionRegistryTest, TokensAndIdsAreNeverRepeated) {
  SessionRegistry registry({});
  std::set<std::string> tokens;
  std::set<uint64_t> ids;
  for (int i = 0; i < 1000; ++i) {
    const auto opened = registry.Open(Peer(1, 7));
    ASSERT_TRUE(opened.ok());
    tokens.insert(std::string(TokenBytes(opened->token)));
    ids.insert(opened->identity.id.value());
    registry.Close(opened->identity.id);
  }
  EXPECT_EQ(tokens.size(), 1000u);
  EXPECT_EQ(ids.size(), 1000u);
}

TEST(SessionRegistryTest, OnlyTheSameProcessResumes) {
  SessionRegistry registry({});
  const auto opened = registry.Open(Peer(1000, 7));
  EXPECT_EQ(registry.Resume(opened->token, 7)->identity.id, opened->identity.id);
  EXPECT_EQ(registry.Resume(opened->token, 8).status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(registry.Resume(SessionToken{}, 7).status().code(), absl::StatusCode::kNotFound);
}

TEST(SessionRegistryTest, SessionsAreBoundedInAllAndPerUid) {
  SessionRegistry registry({3, 2, 8});
  const auto first = registry.Open(Peer(1, 10));
  ASSERT_TRUE(registry.Open(Peer(1, 11)).ok());
  const auto third = registry.Open(Peer(1, 12));
  EXPECT_EQ(third.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(third.status().message()), HasSubstr("uid 1 has 2"));
  ASSERT_TRUE(registry.Open(Peer(2, 13)).ok());
  EXPECT_THAT(std::string(registry.Open(Peer(3, 14)).status().message()),
              HasSubstr("limits.sessions = 3"));
  registry.Close(first->identity.id);
  EXPECT_TRUE(registry.Open(Peer(1, 15)).ok());
  EXPECT_EQ(registry.size(), 3u);
}

TEST(SessionRegistryTest, FileHandlesAreOfOneSession) {
  SessionRegistry registry({8, 8, 2});
  const SessionId one = registry.Open(Peer(1, 10))->identity.id;
  const SessionId other = registry.Open(Peer(1, 11))->identity.id;
  const uint32_t handle = *registry.AddFile(one, FileId(5));
  EXPECT_EQ(*registry.AddFile(one, FileId(5)), handle);
  EXPECT_EQ(*registry.FindFile(one, handle), FileId(5));
  EXPECT_EQ(registry.FindFile(other, handle).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(registry.FindFile(one, 0).ok());
  EXPECT_FALSE(registry.FindFile(one, 2).ok());
  EXPECT_TRUE(registry.AddFile(one, FileId(6)).ok());
  EXPECT_EQ(registry.AddFile(one, FileId(7)).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(registry.AddFile(one, FileId(6)).ok());
}

TEST(SessionRegistryTest, OneStreamAtATime) {
  SessionRegistry registry({});
  const SessionId session = registry.Open(Peer(1, 10))->identity.id;
  EXPECT_TRUE(registry.OpenStream(session));
  EXPECT_FALSE(registry.OpenStream(session));
  registry.CloseStream(session);
  EXPECT_TRUE(registry.OpenStream(session));
  EXPECT_FALSE(registry.OpenStream(SessionId(99)));
}

TEST(SessionRegistryTest, ListSaysWhatOperatorsWantToKnow) {
  SessionRegistry registry({});
  const SessionId session = registry.Open(Peer(1, 10))->identity.id;
  ASSERT_TRUE(registry.Open(Peer(2, 11)).ok());
  registry.CountEvents(session, 3, 1);
  registry.CountEvents(session, 2, 0);
  ASSERT_TRUE(registry.AddFile(session, FileId(0)).ok());
  const auto list = registry.List();
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].id, session);
  EXPECT_EQ(list[0].pid, 10);
  EXPECT_EQ(list[0].process_name, "engine");
  EXPECT_EQ(list[0].counters.events_accepted, 5u);
  EXPECT_EQ(list[0].counters.events_dropped, 1u);
  EXPECT_EQ(list[0].files, 1u);
  EXPECT_EQ(list[1].domain, DomainId(2));
}

TEST(SessionRegistryTest, ManyThreadsMayUseIt) {
  SessionRegistry registry({1000, 1000, 8});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&registry, t] {
      for (int i = 0; i < 500; ++i) {
        const auto opened = registry.Open(Peer(static_cast<uid_t>(t), i));
        ASSERT_TRUE(opened.ok());
        ASSERT_TRUE(registry.Authenticate(TokenBytes(opened->token)).ok());
        registry.CountEvents(opened->identity.id, 1, 0);
        ASSERT_TRUE(registry.Close(opened->identity.id));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(registry.size(), 0u);
}

}  // namespace
}  // namespace residency
