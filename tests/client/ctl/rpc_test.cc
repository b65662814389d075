#include "client/ctl/rpc.h"

#include "client/ctl/exit_code.h"
#include "gmock/gmock.h"
#include "tests/client/ctl/fake_operator.h"

namespace residency::ctl {
namespace {

using testing::HasSubstr;
using Stub = OperatorClient::Stub;

absl::StatusOr<v1::GetStatusResponse> Ask(OperatorClient& client) {
  return client.Call(&Stub::GetStatus, v1::GetStatusRequest());
}

TEST(RpcTest, AMissingSocketIsReportedAtOnceWithAdvice) {
  TempDir dir;
  OperatorClient client(dir.Path("none.sock"), absl::Hours(1));
  const absl::Status status = Ask(client).status();
  EXPECT_EQ(ExitCodeFor(status), ExitCode::kUnreachable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("tried unix:" + dir.Path("none.sock")));
  EXPECT_THAT(std::string(status.message()), HasSubstr("try --socket"));
}

TEST(RpcTest, ATooLongPathIsRefused) {
  EXPECT_THAT(std::string(ProbeSocket("/" + std::string(200, 'x')).message()),
              HasSubstr("name too long"));
}

TEST(RpcTest, ADaemonThatDoesNotAnswerIsUnreachable) {
  FakeOperator daemon;
  daemon.hangs = true;
  OperatorClient client(daemon.socket(), absl::Milliseconds(200));
  const absl::Status status = Ask(client).status();
  EXPECT_EQ(ExitCodeFor(status), ExitCode::kUnreachable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("did not answer within 200ms"));
}

TEST(RpcTest, TheSocketMayBeWrittenAsAUri) {
  FakeOperator daemon;
  OperatorClient client("unix:" + daemon.socket(), absl::Seconds(10));
  EXPECT_TRUE(Ask(client).ok());
}

TEST(RpcTest, ADaemonThatWentAwayIsUnreachable) {
  FakeOperator daemon;
  OperatorClient client(daemon.socket(), absl::Seconds(1));
  ASSERT_TRUE(Ask(client).ok());
  daemon.Stop();
  EXPECT_EQ(ExitCodeFor(Ask(client).status()), ExitCode::kUnreachable);
}

}  // namespace
}  // namespace residency::ctl
