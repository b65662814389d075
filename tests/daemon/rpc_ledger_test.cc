#include "daemon/rpc_ledger.h"

#include <gtest/gtest.h>

#include "tests/daemon/rpc_testing.h"

namespace residency {
namespace {

const SessionId kSession(3);

TEST(RpcLedger, AnAbandonedCallGivesBackOnce) {
  FakePort port;
  RpcLedger ledger(port);
  const auto claim = ledger.Begin(kSession, 9);
  ledger.Abandon(claim);
  ledger.Abandon(claim);
  ASSERT_EQ(port.Count<AcquireAbandoned>(), 1u);
  EXPECT_EQ(port.Wait<AcquireAbandoned>()->client_request, 9u);
}

TEST(RpcLedger, ASettledCallGivesNothingBack) {
  FakePort port;
  RpcLedger ledger(port);
  const auto claim = ledger.Begin(kSession, 9);
  ledger.Settle(claim);
  ledger.Abandon(claim);
  EXPECT_EQ(port.Count<AcquireAbandoned>(), 0u);
}

TEST(RpcLedger, ANewerCallWithTheSameIdKeepsTheLeases) {
  FakePort port;
  RpcLedger ledger(port);
  const auto first = ledger.Begin(kSession, 9);
  const auto second = ledger.Begin(kSession, 9);
  ledger.Abandon(first);
  EXPECT_EQ(port.Count<AcquireAbandoned>(), 0u);
  ledger.Abandon(second);
  EXPECT_EQ(port.Count<AcquireAbandoned>(), 1u);
}

TEST(RpcLedger, AFullMailboxLosesNothingAndKeepsTheOrder) {
  FakePort port;
  RpcLedger ledger(port);
  port.set_full(true);
  for (uint64_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(ledger.PostSurely(kSession, AcquireAbandoned{kSession, i}));
  }
  EXPECT_EQ(port.Count<AcquireAbandoned>(), 0u);
  port.set_full(false);
  EXPECT_TRUE(ledger.PostSurely(kSession, AcquireAbandoned{kSession, 3}));
  for (uint64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(port.Wait<AcquireAbandoned>(i)->client_request, i);
  }
}

TEST(RpcLedger, ForgetsASessionThatSaidAnewWhatItHolds) {
  FakePort port;
  RpcLedger ledger(port);
  port.set_full(true);
  ledger.PostSurely(kSession, AcquireAbandoned{kSession, 1});
  ledger.PostSurely(SessionId(4), AcquireAbandoned{SessionId(4), 2});
  ledger.Forget(kSession);
  port.set_full(false);
  ledger.Flush();
  ASSERT_EQ(port.Count<AcquireAbandoned>(), 1u);
  EXPECT_EQ(port.Wait<AcquireAbandoned>()->session, SessionId(4));
}

TEST(RpcLedger, KeepsNoMoreThanItsBound) {
  FakePort port;
  RpcLedger ledger(port);
  port.set_full(true);
  for (size_t i = 0; i < RpcLedger::kKeptMax; ++i) {
    ASSERT_TRUE(ledger.PostSurely(kSession, AcquireAbandoned{kSession, i}));
  }
  EXPECT_FALSE(ledger.PostSurely(kSession, AcquireAbandoned{kSession, 0}));
}

}  // namespace
}  // namespace residency
