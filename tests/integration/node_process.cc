#include "tests/integration/node_process.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "residency/v1/operator.grpc.pb.h"
#include "tests/integration/child_process.h"

namespace residency::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kStartMax{60};
constexpr seconds kEndMax{30};
constexpr seconds kCallMax{10};
constexpr seconds kCtlMax{60};

std::string FreshDirectory() {
  std::string path = ::testing::TempDir() + "/residency_XXXXXX";
  EXPECT_NE(mkdtemp(path.data()), nullptr) << path;
  chmod(path.c_str(), 0755);  // for engines of other users
  return path;
}

std::string Quoted(const std::string& text) { return absl::StrCat("\"", text, "\""); }

std::string ConfigText(const NodeProcess& node, const NodeOptions& options) {
  std::vector<std::string> roots;
  for (const std::string& root : options.recipe_roots) roots.push_back(Quoted(root));
  if (roots.empty()) roots.push_back(Quoted(node.directory()));
  std::string text = absl::StrCat(
      "[daemon]\nruntime_dir = ", Quoted(node.runtime_dir()),
      "\nstate_dir = ", Quoted(node.state_dir()), "\nrecipe_roots = [", absl::StrJoin(roots, ", "),
      "]\nengine_socket_mode = ", Quoted(options.socket_mode),
      "\nside_socket_mode = ", Quoted(options.socket_mode),
      "\n[pools.hbm]\nbackend = \"host\"\ncapacity = ", Quoted(options.hbm),
      "\nsegment = ", Quoted(options.hbm_segment));
  absl::StrAppend(&text, "\n[pools.dram]\ncapacity = ", Quoted(options.dram),
                  "\nsegment = ", Quoted(options.dram_segment), "\nlock = false\n",
                  options.dram_extra);
  absl::StrAppend(&text, "[[pools.nvme]]\nname = \"nvme0\"\npath = ", Quoted(node.nvme_path()),
                  "\ncapacity = ", Quoted(options.nvme), "\n", options.nvme_extra);
  if (options.extra.find("[metrics]") == std::string::npos) {
    absl::StrAppend(&text, "[metrics]\nlisten = \"\"\n");
  }
  return absl::StrCat(text, options.extra, "\n");
}

std::string ReadWhole(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// The level of a log line, its second word; empty for a line that continues another.
std::string LevelOf(absl::string_view line) {
  const std::vector<absl::string_view> words = absl::StrSplit(line, absl::MaxSplits(' ', 2));
  if (words.size() < 3 || line.substr(0, 2) != "20") return "";
  return std::string(words[1]);
}

// A channel for each call: one that saw the daemon go waits before it tries again.
std::unique_ptr<v1::OperatorService::Stub> OperatorStub(const std::string& runtime_dir) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return v1::OperatorService::NewStub(
      grpc::CreateCustomChannel(absl::StrCat("unix:", runtime_dir, "/operator.sock"),
                                grpc::InsecureChannelCredentials(), arguments));
}

grpc::Status AskStatus(const std::string& runtime_dir, v1::GetStatusResponse& response) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallMax);
  return OperatorStub(runtime_dir)->GetStatus(&context, {}, &response);
}

// Reads to the end of `fd`, which the child's exit brings.
std::string ReadToEnd(int fd, milliseconds deadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  std::string text;
  for (;;) {
    const auto left =
        std::chrono::duration_cast<milliseconds>(end - std::chrono::steady_clock::now());
    pollfd readable = {.fd = fd, .events = POLLIN, .revents = 0};
    if (left.count() <= 0 || poll(&readable, 1, static_cast<int>(left.count())) <= 0) return text;
    std::array<char, 4096> bytes;
    const ssize_t n = read(fd, bytes.data(), bytes.size());
    if (n <= 0) return text;
    text.append(bytes.data(), static_cast<size_t>(n));
  }
}

}  // namespace

bool WaitFor(const std::function<bool()>& condition, milliseconds deadline) {
  constexpr int kLookEveryMs = 3;
  const auto end = std::chrono::steady_clock::now() + deadline;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    poll(nullptr, 0, kLookEveryMs);
  }
  return true;
}

NodeProcess::NodeProcess(NodeOptions options)
    : options_(std::move(options)), directory_(FreshDirectory()) {
  std::ofstream(config_path()) << ConfigText(*this, options_);
}

NodeProcess::~NodeProcess() {
  if (pid_ > 0) {
    EXPECT_TRUE(running()) << "the daemon has ended by itself; its log:\n" << Log();
  }
  if (pid_ > 0) {
    // A second signal ends a drain.
    Signal(SIGCONT);
    for (const seconds patience : {seconds(2), seconds(10)}) {
      Signal(SIGTERM);
      if (WaitFor([&] { return !running(); }, patience)) break;
    }
    if (running()) {
      ADD_FAILURE() << "the daemon did not end on SIGTERM; its log:\n" << Log();
      Kill();
    }
  }
  for (const std::string& line : UnexpectedWarnings(expected_)) {
    ADD_FAILURE() << "unexpected in the daemon's log: " << line;
  }
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

std::string NodeProcess::nvme_path() const {
  return options_.nvme_path.empty() ? directory_ + "/nvme0.pool" : options_.nvme_path;
}

void NodeProcess::Spawn() {
  const int log = open(log_path().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  pid_ = StartChild(
      {.arguments = {RESIDENCYD_PROGRAM, "--config", config_path()}, .out = log, .err = log});
  close(log);
}

void NodeProcess::Start() {
  const size_t logged = Log().size();
  Spawn();
  const auto serves = [&] {
    if (Log().find(" serves ", logged) == std::string::npos) return false;
    v1::GetStatusResponse status;
    return AskStatus(runtime_dir(), status).ok() && status.ticks() > 0;
  };
  WaitFor([&] { return !running() || serves(); }, kStartMax);
  ASSERT_TRUE(running()) << "the daemon did not start; its log:\n" << Log();
  ASSERT_TRUE(serves()) << "the daemon does not serve; its log:\n" << Log();
}

int NodeProcess::StartExpectingExit() {
  Spawn();
  return AwaitExit();
}

bool NodeProcess::running() {
  if (pid_ <= 0) return false;
  const int status = WaitStatusIfEnded(pid_);
  if (status == -1) return true;
  exit_status_ = ExitStatus(status);
  pid_ = -1;
  return false;
}

int NodeProcess::AwaitExit() {
  if (!WaitFor([&] { return !running(); }, kEndMax)) {
    ADD_FAILURE() << "the daemon did not end; its log:\n" << Log();
    Kill();
  }
  return exit_status_;
}

void NodeProcess::Kill() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

int NodeProcess::Terminate() {
  Signal(SIGTERM);
  return AwaitExit();
}

void NodeProcess::Signal(int signal) {
  if (pid_ > 0) kill(pid_, signal);
}

v1::GetStatusResponse NodeProcess::Status() {
  v1::GetStatusResponse response;
  const grpc::Status status = AskStatus(runtime_dir(), response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response;
}

v1::BlockInfo NodeProcess::Block(const std::string& name) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallMax);
  v1::GetBlockRequest request;
  request.set_block(name);
  v1::GetBlockResponse response;
  const grpc::Status status = OperatorStub(runtime_dir())->GetBlock(&context, request, &response);
  EXPECT_TRUE(status.ok()) << name << ": " << status.error_message();
  return response.block();
}

std::vector<v1::BlockInfo> NodeProcess::Blocks() {
  const auto stub = OperatorStub(runtime_dir());
  std::vector<v1::BlockInfo> blocks;
  v1::ListBlocksRequest request;
  do {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallMax);
    v1::ListBlocksResponse page;
    const grpc::Status status = stub->ListBlocks(&context, request, &page);
    EXPECT_TRUE(status.ok()) << status.error_message();
    blocks.insert(blocks.end(), page.blocks().begin(), page.blocks().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return blocks;
}

std::string NodeProcess::Ctl(const std::vector<std::string>& arguments, int* status) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    ADD_FAILURE() << "no pipe for residencyctl";
    return "";
  }
  ChildOptions child{.arguments = {RESIDENCYCTL_PROGRAM, "--timeout", "30s", "--socket",
                                   runtime_dir() + "/operator.sock"},
                     .out = ends[1],
                     .err = ends[1]};
  child.arguments.insert(child.arguments.end(), arguments.begin(), arguments.end());
  const pid_t pid = StartChild(child);
  close(ends[1]);
  std::string text = ReadToEnd(ends[0], kCtlMax);
  close(ends[0]);
  int ended = -1;
  if (!WaitFor([&] { return (ended = WaitStatusIfEnded(pid)) != -1; }, seconds(5))) {
    ADD_FAILURE() << "residencyctl did not end: " << absl::StrJoin(arguments, " ");
    kill(pid, SIGKILL);
    waitpid(pid, &ended, 0);
  }
  if (status != nullptr) *status = ExitStatus(ended);
  return text;
}

std::string NodeProcess::Log() const { return ReadWhole(log_path()); }

std::vector<std::string> NodeProcess::UnexpectedWarnings(
    const std::vector<std::string>& expected) const {
  std::vector<std::string> unexpected;
  const std::string log = Log();
  for (const absl::string_view line : absl::StrSplit(log, '\n')) {
    const std::string level = LevelOf(line);
    if (level != "warning" && level != "error" && level != "critical") continue;
    const bool known = std::any_of(expected.begin(), expected.end(), [&](const std::string& text) {
      return line.find(text) != absl::string_view::npos;
    });
    if (!known) unexpected.emplace_back(line);
  }
  return unexpected;
}

}  // namespace residency::testing
