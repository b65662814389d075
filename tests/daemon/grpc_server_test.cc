#include "daemon/grpc_server.h"

#include <grpcpp/channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <sys/stat.h>

#include <future>

#include "residency/v1/operator.grpc.pb.h"
#include "tests/daemon/rpc_testing.h"

namespace residency {
namespace {

using Service = v1::OperatorService::Service;

// Asks grpc.health.v1.Health; the response's only field is the status: 1 is SERVING.
int HealthOf(const std::string& path) {
  grpc::GenericStub stub(ConnectTo(path));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kTestDeadline);
  const grpc::Slice empty;
  const grpc::ByteBuffer request(&empty, 1);
  grpc::ByteBuffer response;
  std::promise<grpc::Status> done;
  stub.UnaryCall(&context, "/grpc.health.v1.Health/Check", grpc::StubOptions(), &request, &response,
                 [&](const grpc::Status& status) { done.set_value(status); });
  if (!done.get_future().get().ok()) return -1;
  grpc::Slice slice;
  if (!response.DumpToSingleSlice(&slice).ok() || slice.size() != 2) return -1;
  return slice.begin()[1];
}

TEST(GrpcServer, SetsTheAccessOfItsSocketAndRemovesItInTheEnd) {
  const TempDir dir;
  const std::string path = dir.File("a.sock");
  Service service;
  auto server = GrpcServer::Start({.path = path, .access = {0620, ""}}, service);
  ASSERT_TRUE(server.ok()) << server.status();
  struct stat info = {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0620u);
  (*server)->Shutdown(Micros(0));
  EXPECT_NE(stat(path.c_str(), &info), 0);
}

TEST(GrpcServer, NeverTakesASocketFromALiveOne) {
  const TempDir dir;
  const std::string path = dir.File("a.sock");
  Service service;
  auto first = GrpcServer::Start({.path = path, .access = {}}, service);
  ASSERT_TRUE(first.ok());
  Service other;
  EXPECT_EQ(GrpcServer::Start({.path = path, .access = {}}, other).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(HealthOf(path), 1);
}

TEST(GrpcServer, SaysWhetherItServes) {
  const TempDir dir;
  const std::string path = dir.File("a.sock");
  Service service;
  auto server = GrpcServer::Start({.path = path, .access = {}}, service);
  ASSERT_TRUE(server.ok());
  EXPECT_EQ(HealthOf(path), 1);
  (*server)->SetServing(false);
  EXPECT_EQ(HealthOf(path), 2);
}

TEST(GrpcServer, RefusesMessagesBeyondItsBound) {
  const TempDir dir;
  const std::string path = dir.File("a.sock");
  Service service;
  auto server = GrpcServer::Start({.path = path, .access = {}, .message_max = KiB(1)}, service);
  ASSERT_TRUE(server.ok());
  auto stub = v1::OperatorService::NewStub(ConnectTo(path));
  v1::GetBlockRequest request;
  request.set_block(std::string(4096, 'x'));
  v1::GetBlockResponse response;
  grpc::ClientContext context;
  EXPECT_EQ(stub->GetBlock(&context, request, &response).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST(GrpcServer, SaysWhyItCannotListen) {
  Service service;
  const auto server = GrpcServer::Start({.path = "/nonexistent/a.sock", .access = {}}, service);
  EXPECT_FALSE(server.ok());
}

}  // namespace
}  // namespace residency
