// What operators and service managers see of a running daemon.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/integration/hostile_peer.h"
#include "tests/integration/hostile_support.h"
#include "tests/integration/node_process.h"

namespace residency::testing {
namespace {

// ---------------------------------------------------------------- metrics

int FreePort() {
  const Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
  EXPECT_EQ(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  return ntohs(address.sin_port);
}

// The body of GET /metrics.
std::string Scrape(int port) {
  const Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval wait{.tv_sec = 10, .tv_usec = 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    ADD_FAILURE() << "no metrics endpoint on port " << port << ": " << std::strerror(errno);
    return "";
  }
  const std::string request =
      "GET /metrics HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  EXPECT_EQ(send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(request.size()));
  std::string answer;
  char bytes[4096];
  for (ssize_t got = 0; (got = recv(fd.get(), bytes, sizeof(bytes), 0)) > 0;) {
    answer.append(bytes, static_cast<size_t>(got));
  }
  const size_t body = answer.find("\r\n\r\n");
  EXPECT_EQ(answer.substr(0, 12).substr(9), "200") << answer.substr(0, 200);
  return body == std::string::npos ? "" : answer.substr(body + 4);
}

std::string FindPromtool() {
  std::stringstream directories(std::getenv("PATH") == nullptr ? "" : std::getenv("PATH"));
  std::vector<std::string> candidates;
  for (std::string directory; std::getline(directories, directory, ':');) {
    candidates.push_back(directory + "/promtool");
  }
  std::string source = __FILE__;
  for (int i = 0; i < 3; ++i) source = source.substr(0, source.find_last_of('/'));
  candidates.push_back(source + "/build/tools/bin/promtool");
  for (const std::string& candidate : candidates) {
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return "";
}

class MetricsTest : public ::testing::Test {
 protected:
  MetricsTest() : port_(FreePort()), node_(Options(port_)) {}
  static NodeOptions Options(int port) {
    NodeOptions options;
    options.extra = "[metrics]\nlisten = \"127.0.0.1:" + std::to_string(port) + "\"\n";
    return options;
  }
  void SetUp() override {
    const std::string checkpoint = WriteCheckpoint(node_);
    node_.Start();
    ExpectServes(node_, checkpoint);
  }

  const int port_;
  NodeProcess node_;
};

TEST_F(MetricsTest, PromtoolFindsNothingToSay) {
  const std::string promtool = FindPromtool();
  if (promtool.empty()) GTEST_SKIP() << "promtool is neither on PATH nor in build/tools/bin";
  const std::string in = node_.directory() + "/metrics";
  const std::string out = node_.directory() + "/findings";
  std::ofstream(in) << Scrape(port_);
  const std::string command =
      "'" + promtool + "' check metrics < '" + in + "' > '" + out + "' 2>&1";
  const int status = std::system(command.c_str());
  std::stringstream findings;
  findings << std::ifstream(out).rdbuf();
  EXPECT_EQ(status, 0) << findings.str();
  EXPECT_EQ(findings.str(), "");
}

TEST_F(MetricsTest, EveryPromisedFigureIsThere) {
  const std::string metrics = Scrape(port_);
  for (const char* name : {"build_info",
                           "pool_capacity_bytes",
                           "pool_used_bytes",
                           "pool_reserved_bytes",
                           "pool_leased_bytes",
                           "pool_pressure_ratio",
                           "pool_fragmentation_ratio",
                           "blocks",
                           "promotions_total",
                           "demotions_total",
                           "stages_total",
                           "prefetches_begun_total",
                           "prefetches_used_total",
                           "prefetches_wasted_total",
                           "vetoes_total",
                           "transfer_bytes_total",
                           "transfer_seconds_total",
                           "stall_seconds_total",
                           "tick_duration_seconds",
                           "last_tick_age_seconds",
                           "events_accepted_total",
                           "events_dropped_total",
                           "leases",
                           "sessions",
                           "acquire_latency_seconds",
                           "checksum_failures_total",
                           "lost_blocks"}) {
    EXPECT_TRUE(Holds(metrics, std::string("# TYPE residency_") + name + " ")) << name;
  }
  EXPECT_TRUE(Holds(metrics, "residency_build_info{version=\""));
  EXPECT_TRUE(Holds(metrics, "residency_acquire_latency_seconds_bucket{le=\"+Inf\"}"));
}

TEST_F(MetricsTest, FiguresAreThoseOfTheNode) {
  // One scrape: between two of them blocks change their state.
  std::string metrics;
  const auto value = [&](const std::string& series) {
    const size_t at = metrics.find("\n" + series + " ");
    if (at == std::string::npos) return -1.0;
    return std::strtod(metrics.c_str() + at + series.size() + 2, nullptr);
  };
  // Both are as of the last tick: the one after the registration has the blocks.
  ASSERT_TRUE(WaitFor([&] { return node_.Status().blocks() > 0; }));
  const v1::GetStatusResponse status = node_.Status();
  metrics = Scrape(port_);
  double blocks = 0;
  for (const char* state : {"S0", "S1", "S2", "S3", "S4", "S5", "S6"}) {
    const double count = value(std::string("residency_blocks{state=\"") + state + "\"}");
    EXPECT_GE(count, 0) << state;
    blocks += count;
  }
  EXPECT_EQ(blocks, static_cast<double>(status.blocks()));
  EXPECT_EQ(value("residency_models"), static_cast<double>(status.models()));
  EXPECT_GE(value("residency_ticks_total"), static_cast<double>(status.ticks()));
  for (const v1::Pool& pool : status.pools()) {
    bool found = false;
    for (const char* tier : {"HBM", "DRAM", "NVMe", "hbm", "dram", "nvme"}) {
      const double capacity = value("residency_pool_capacity_bytes{pool=\"" + pool.name() +
                                    "\",tier=\"" + tier + "\"}");
      found |= capacity == static_cast<double>(pool.capacity_bytes());
    }
    EXPECT_TRUE(found) << pool.name();
  }
}

TEST_F(MetricsTest, NoLabelNamesABlockAModelOrASession) {
  const std::string metrics = Scrape(port_);
  const std::set<std::string> allowed = {"version", "pool",   "tier", "state",
                                         "reason",  "from",   "to",   "link",
                                         "class",   "result", "le",   "quantile"};
  const std::regex label("([a-zA-Z_]+)=\"([^\"]*)\"");
  const std::vector<std::string> names = ExpertNames(node_);
  std::stringstream lines(metrics);
  for (std::string line; std::getline(lines, line);) {
    // The library's own figures are about itself.
    if (!Begins(line, "residency_")) continue;
    for (std::sregex_iterator it(line.begin(), line.end(), label), end; it != end; ++it) {
      EXPECT_TRUE(allowed.contains((*it)[1])) << line;
      EXPECT_FALSE(Holds((*it)[2], "model")) << line;
      EXPECT_EQ(std::count(names.begin(), names.end(), (*it)[2]), 0) << line;
    }
  }
}

// ---------------------------------------------------------------- residencyctl

double Near(double expected) { return 1e-9 * std::max(1.0, std::abs(expected)); }

void ExpectFollows(const v1::Score& score) {
  std::map<std::string, const v1::ScoreTerm*> terms;
  double numerator = 0;
  double weights = 0;
  for (const v1::ScoreTerm& term : score.terms()) {
    terms[term.name()] = &term;
    EXPECT_GE(term.value(), 0) << term.name();
    EXPECT_LE(term.value(), 1) << term.name();
    const double contribution = term.weight() * term.activity() * term.value();
    EXPECT_NEAR(term.contribution(), contribution, Near(contribution)) << term.name();
    numerator += contribution;
    weights += term.weight();
  }
  for (const char* name : {"rho", "lambda", "kappa", "psi"}) EXPECT_TRUE(terms.contains(name));
  EXPECT_EQ(terms.size(), 4u);
  EXPECT_NEAR(weights, 1, 1e-6);  // they are held in single precision
  EXPECT_NEAR(score.numerator(), numerator, Near(numerator));
  const double unfloored =
      (score.alpha() * score.delta_us() + score.beta() * score.tau_us()) / score.cost_unit_us();
  EXPECT_NEAR(score.cost_unfloored(), unfloored, Near(unfloored));
  const double cost = std::max(1.0, unfloored);
  EXPECT_NEAR(score.cost(), cost, Near(cost));
  EXPECT_EQ(score.cost_floored(), unfloored < 1.0);
  EXPECT_NEAR(score.r(), numerator / cost, Near(numerator / cost));
  ASSERT_GT(score.bytes(), 0u);
  const double k = numerator * score.restore_us() / static_cast<double>(score.bytes());
  EXPECT_NEAR(score.k(), k, Near(k));
}

TEST(CtlTest, ExplanationOfADemotedBlockCanBeRecomputed) {
  NodeProcess node;
  const std::string checkpoint = WriteCheckpoint(node);
  node.Start();
  ExpectServes(node, checkpoint);
  const std::string name = ExpertNames(node)[0];
  ASSERT_TRUE(WaitFor([&] {
    node.Ctl({"demote", name, "--to", "S4"});
    return node.Block(name).state() == v1::RESIDENCY_STATE_S4_NVME;
  }));
  const auto explained = CtlJson<v1::ExplainBlockResponse>(node, {"explain", name});
  EXPECT_EQ(explained.block().name(), name);
  ExpectFollows(explained.now().score());
  EXPECT_EQ(explained.now().score().bytes(), explained.block().bytes());
  EXPECT_GT(explained.decisions_size(), 0);
  bool demoted = false;
  for (const v1::Decision& decision : explained.decisions()) {
    demoted |= decision.verdict() == "demote";
    if (decision.score().bytes() > 0) ExpectFollows(decision.score());
  }
  EXPECT_TRUE(demoted) << explained.ShortDebugString();
  // The table says the same in words.
  int status = -1;
  const std::string text = node.Ctl({"explain", name}, &status);
  EXPECT_EQ(status, 0) << text;
  for (const char* part : {"rho", "lambda", "kappa", "psi", "demote"}) {
    EXPECT_TRUE(Holds(text, part)) << part << "\n" << text;
  }
}

TEST(CtlTest, EveryReadingCommandShowsWhatIsThere) {
  NodeProcess node;
  const std::string checkpoint = WriteCheckpoint(node);
  node.Start();
  EngineProcess engine(node.runtime_dir());
  ASSERT_EQ(Attach(engine, checkpoint).substr(0, 2), "ok");
  const std::string name = ExpertNames(node)[0];
  ASSERT_TRUE(RightBytes(engine.Do("acquire " + name + " mode=pinned")));
  const std::map<std::string, std::vector<std::string>> shown = {
      {"status", {"hbm", "dram", "nvme0", "S0"}},
      {"pools", {"hbm", "dram", "nvme0"}},
      {"sessions", {std::to_string(engine.pid())}},
      {"models", {"model"}},
      {"blocks", {name}},
      {"health", {"healthy"}},
      {"version", {"residencyd"}}};
  for (const auto& [command, parts] : shown) {
    for (const char* format : {"table", "wide", "json"}) {
      int status = -1;
      const std::string text = node.Ctl({command, "-o", format}, &status);
      EXPECT_EQ(status, 0) << command << " -o " << format << "\n" << text;
      for (const std::string& part : parts) {
        if (std::string(format) == "json" && part == "S0") continue;
        EXPECT_TRUE(Holds(text, part)) << command << " -o " << format << " without " << part << "\n"
                                       << text;
      }
    }
  }
  int status = -1;
  const std::string policy = node.Ctl({"policy", "get"}, &status);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(Holds(policy, "hysteresis")) << policy;
  EXPECT_TRUE(Holds(node.Ctl({"policy", "set", "hysteresis=0.25"}, &status), "0.25"));
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(Holds(node.Ctl({"block", name}, &status), name));
  EXPECT_EQ(status, 0);

  const auto listed = CtlJson<v1::ListSessionsResponse>(node, {"sessions"});
  ASSERT_EQ(listed.sessions_size(), 1);
  EXPECT_EQ(listed.sessions(0).pid(), engine.pid());
  EXPECT_EQ(listed.sessions(0).leases(), 1u);
  EXPECT_EQ(CtlJson<v1::GetBlockResponse>(node, {"block", name}).block().leases(), 1u);
}

// The exit status of `residencyctl health`, which waits no longer than that.
int HealthWithin(const std::string& timeout, const NodeProcess& node) {
  std::string program(4096, '\0');
  const ssize_t length = readlink("/proc/self/exe", program.data(), program.size());
  program.resize(static_cast<size_t>(std::max<ssize_t>(length, 0)));
  program.resize(program.find_last_of('/'));
  const int status =
      std::system(("'" + program + "/../bin/residencyctl' --socket '" + node.runtime_dir() +
                   "/operator.sock' --timeout " + timeout + " health > /dev/null 2>&1")
                      .c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(CtlTest, ExitStatusTellsScriptsWhatIsWrong) {
  NodeProcess node;
  node.Start();
  int status = -1;
  node.Ctl({"block", "there-is-none"}, &status);
  EXPECT_EQ(status, 4);
  node.Ctl({"end-session", "987654"}, &status);
  EXPECT_EQ(status, 4);
  node.Ctl({"no-such-command"}, &status);
  EXPECT_EQ(status, 2);
  node.Ctl({"policy", "set", "hysteresis=banana"}, &status);
  EXPECT_EQ(status, 1);
  EXPECT_EQ(node.Ctl({"health"}, &status), "healthy\n");
  EXPECT_EQ(status, 0);

  // A daemon that answers nobody.
  node.Signal(SIGSTOP);
  EXPECT_EQ(HealthWithin("500ms", node), 3);
  node.Signal(SIGCONT);
  EXPECT_TRUE(WaitFor([&] {
    node.Ctl({"health"}, &status);
    return status == 0;
  }));
  node.Kill();
  node.Ctl({"health"}, &status);
  EXPECT_EQ(status, 3);
  node.Start();
  node.Ctl({"health"}, &status);
  EXPECT_EQ(status, 0);
}

TEST(CtlTest, LostBlocksMakeHealthSayUnhealthy) {
  NodeProcess node;
  node.ExpectWarnings({"lost", "restore"});
  node.Start();
  {
    EngineProcess engine(node.runtime_dir());
    ASSERT_EQ(engine.Do("connect").substr(0, 2), "ok");
    ASSERT_EQ(engine.Do("attachblocks volatile w0:100000").substr(0, 2), "ok");
    ASSERT_EQ(engine.Do("put w0 100000 3 volatile").substr(0, 2), "ok");
  }
  // Writes down that the block had bytes, which a kill at once might not.
  EXPECT_EQ(node.Terminate(), 0);
  node.Start();
  int status = -1;
  const std::string text = node.Ctl({"health"}, &status);
  EXPECT_EQ(status, 5) << text;
  EXPECT_TRUE(Holds(text, "lost")) << text;
}

// ---------------------------------------------------------------- the service manager

// A service manager's end of NOTIFY_SOCKET; the environment is the children's too.
class Manager {
 public:
  explicit Manager(const std::string& path) : fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    EXPECT_EQ(bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    setenv("NOTIFY_SOCKET", path.c_str(), 1);
    setenv("WATCHDOG_USEC", "200000", 1);
  }
  ~Manager() {
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
  }
  // Waits until the daemon has said it since the last call with the same text.
  bool Hears(const std::string& text) {
    return WaitFor([&] {
      Read();
      const size_t at = heard_.find(text, from_[text]);
      if (at == std::string::npos) return false;
      from_[text] = at + text.size();
      return true;
    });
  }
  bool Heard(const std::string& text) {
    Read();
    return Holds(heard_, text);
  }
  const std::string& everything() const { return heard_; }

 private:
  void Read() {
    char bytes[4096];
    for (ssize_t got = 0; (got = recv(fd_.get(), bytes, sizeof(bytes), MSG_DONTWAIT)) > 0;) {
      heard_.append(bytes, static_cast<size_t>(got));
    }
  }

  const Fd fd_;
  std::string heard_;
  std::map<std::string, size_t> from_;
};

TEST(ServiceManagerTest, HearsReadyAliveAndStopping) {
  NodeProcess node;
  Manager manager(node.directory() + "/notify.sock");
  node.Start();
  EXPECT_TRUE(manager.Hears("READY=1\n")) << manager.everything();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(manager.Hears("WATCHDOG=1\n")) << manager.everything();
  EXPECT_FALSE(manager.Heard("STOPPING=1"));
  EXPECT_EQ(node.Terminate(), 0) << node.Log();
  EXPECT_TRUE(manager.Hears("STOPPING=1\n")) << manager.everything();
}

TEST(ServiceManagerTest, HearsStoppingWhenAnOperatorDrains) {
  NodeProcess node;
  Manager manager(node.directory() + "/notify.sock");
  node.Start();
  int status = -1;
  const std::string said = node.Ctl({"drain", "--wait", "--deadline", "5s"}, &status);
  EXPECT_EQ(status, 0) << said;
  EXPECT_TRUE(manager.Hears("STOPPING=1\n")) << manager.everything();
  EXPECT_EQ(node.AwaitExit(), 0) << node.Log();
}

}  // namespace
}  // namespace residency::testing
