#include "daemon/node.h"

#include <spdlog/spdlog.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/check.h"
#include "daemon/catalogue.h"
#include "daemon/logging.h"
#include "daemon/rows.h"
#include "daemon/version.h"

namespace residency {
namespace {

constexpr size_t kInstanceBytes = 16;
constexpr Micros kServersStopIn{2'000'000};
constexpr Micros kCatalogueFlushIn{5'000'000};

std::string RandomInstance() {
  std::string bytes(kInstanceBytes, '\0');
  RESIDENCY_CHECK(getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()),
                  "the kernel has no random bytes");
  return bytes;
}

// Made if need be, its parents too. The runtime directory is for everybody to enter, since the
// sockets in it have modes of their own; the state directory is the daemon's alone.
absl::Status MakeDirectory(const std::string& path, mode_t mode) {
  for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    const bool last = end == std::string::npos;
    if (mkdir(part.c_str(), last ? mode : 0755) != 0 && errno != EEXIST) {
      return absl::ErrnoToStatus(errno, absl::StrCat("can't make directory ", part));
    }
    if (last) return absl::OkStatus();
  }
}

SessionLimits LimitsOf(const LimitsConfig& limits) {
  return {.sessions_max = static_cast<size_t>(limits.sessions),
          .sessions_per_domain_max = static_cast<size_t>(limits.sessions_per_uid),
          .files_per_session_max = static_cast<size_t>(limits.files_per_session)};
}

}  // namespace

Node::Node(const Config& config)
    : config_(config),
      instance_(RandomInstance()),
      hints_(static_cast<size_t>(config.limits.hints_per_session)),
      sessions_(LimitsOf(config.limits), [this](FileId file) { ReleaseFile(file); }) {}

absl::StatusOr<std::unique_ptr<Node>> Node::Start(const Config& config) {
  std::unique_ptr<Node> node(new Node(config));
  if (absl::Status status = node->LockDirectories(); !status.ok()) return status;
  auto storage = Storage::Open(config);
  if (!storage.ok()) return storage.status();
  node->storage_ = *std::move(storage);
  if (absl::Status status = node->StartControl(); !status.ok()) return status;
  if (absl::Status status = node->Listen(); !status.ok()) return status;
  return node;
}

absl::Status Node::LockDirectories() {
  for (const auto& [path, mode, lock] :
       {std::tuple{&config_.daemon.state_dir, mode_t{0700}, &state_lock_},
        std::tuple{&config_.daemon.runtime_dir, mode_t{0755}, &runtime_lock_}}) {
    if (absl::Status status = MakeDirectory(*path, mode); !status.ok()) return status;
    if (lock == &runtime_lock_ && config_.daemon.runtime_dir == config_.daemon.state_dir) continue;
    auto acquired = StateDirLock::Acquire(*path);
    if (!acquired.ok()) return acquired.status();
    *lock = std::make_unique<StateDirLock>(*std::move(acquired));
  }
  return absl::OkStatus();
}

absl::Status Node::OpenCatalogue(Controller& controller) {
  auto catalogue = Catalogue::Open(config_.daemon.state_dir + "/catalogue.sqlite");
  if (!catalogue.ok()) return catalogue.status();
  const auto contents = (*catalogue)->Load();
  if (!contents.ok()) return contents.status();
  const auto restored = Restore(*contents, controller.table_for_restore(), storage_->files());
  if (!restored.ok()) return restored.status();
  for (const std::string& note : restored->notes) spdlog::warn("restore: {}", note);
  spdlog::info("restored {} models, {} blocks, {} extents of {}", restored->models,
               restored->blocks, restored->extents, FormatBytes(restored->extent_bytes));
  catalogue_ = std::make_unique<CatalogueWriter>(
      *std::move(catalogue),
      CatalogueWriterOptions{.queue_max = static_cast<size_t>(config_.limits.catalogue_queue)},
      CatalogueCallbacks{
          .committed = [this](std::vector<uint64_t> t) { control_->OnCommitted(std::move(t)); },
          .failed =
              [this](std::vector<uint64_t> t, absl::Status why) {
                spdlog::error("catalogue: {}", why.ToString());
                control_->OnCommitFailed(std::move(t), why);
              }});
  for (const CatalogueOperation& operation : restored->to_remove) {
    if (absl::Status status = catalogue_->Submit(operation, 0); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Node::StartControl() {
  const LimitsConfig& limits = config_.limits;
  auto controller = std::make_unique<Controller>(
      storage_->pools(), config_.policy,
      ControllerLimits{.models_max = static_cast<size_t>(limits.models),
                       .blocks_max = static_cast<size_t>(limits.blocks),
                       .waiting_batches_max = static_cast<size_t>(limits.waiting_batches),
                       .batch_blocks_max = static_cast<size_t>(limits.acquire_blocks)});
  if (absl::Status status = OpenCatalogue(*controller); !status.ok()) return status;
  control_ = std::make_unique<ControlLoop>(
      std::move(controller),
      ControlLoopOptions{.mailbox_events = static_cast<size_t>(limits.mailbox_events),
                         .backends = storage_->backends()});
  storage_->StartEngine(&clock_, [this](TransferOutcome outcome) {
    if (outcome.failure != TransferFailure::kNone &&
        outcome.failure != TransferFailure::kCancelled) {
      spdlog::warn("transfer {} failed ({}): {}", outcome.ticket.value(), Name(outcome.failure),
                   std::string(outcome.status.message()));
    }
    control_->OnOutcome(std::move(outcome));
  });
  policy_ = std::make_unique<PolicyStore>(
      config_.policy, config_.policy_keys_set,
      [this](const PolicyConfig& policy) { control_->Post(PolicyChanged{policy}); });
  control_->Start({.clock = &clock_,
                   .mover = &storage_->mover(),
                   .catalogue = catalogue_.get(),
                   .holders = &holders_,
                   .hints = &hints_,
                   .regions = &regions_,
                   .alive = [this](TimePoint now) { notifier_.Alive(now); }});
  return absl::OkStatus();
}

absl::StatusOr<FileId> Node::RegisterFile(DomainId domain, OwnedFd fd, const std::string& path) {
  const auto id = storage_->files().Add(domain, std::move(fd), path);
  // A file without a path serves one PutBlock; nothing lasts of it.
  if (!id.ok() || path.empty()) return id;
  const auto info = storage_->files().Info(*id);
  if (!info.ok()) return info.status();
  if (absl::Status s = catalogue_->Submit(PutFileRow{RowOf(*id, *info)}, 0); !s.ok()) return s;
  return id;
}

void Node::ReleaseFile(FileId file) {
  const auto info = storage_->files().Info(file);
  if (info.ok() && info->path.empty()) storage_->files().Forget(file);
}

absl::StatusOr<RegionExport> Node::ExportRegion(DomainId domain, RegionNumber number) {
  const auto entry = regions_.Find(number);
  // Another domain's region is not even acknowledged.
  if (!entry || entry->domain != domain) {
    return absl::NotFoundError(absl::StrCat("no region ", number.value()));
  }
  auto fd = storage_->ExportRegion(entry->pool, number);
  if (!fd.ok()) return fd.status();
  return RegionExport{.fd = *std::move(fd),
                      .pool = entry->pool,
                      .segment_index = entry->segment,
                      .length = storage_->SegmentLength(entry->pool, entry->segment)};
}

SideCallbacks Node::MakeSideCallbacks() {
  return {.session_opened =
              [this](SessionId session, DomainId domain, pid_t pid) {
                if (draining_.load()) return absl::UnavailableError("the daemon is draining");
                // The end of a session must never find the mailbox full.
                if (!control_->Promise() || !control_->Post(SessionOpened{session, domain})) {
                  return absl::ResourceExhaustedError("the daemon's mailbox is full; try again");
                }
                hints_.Open(session);
                spdlog::info("session {} opened by process {} of uid {}", session.value(), pid,
                             domain.value());
                return absl::OkStatus();
              },
          .session_ended =
              [this](SessionId session, SessionEnd reason) {
                hints_.Close(session);
                if (services_) services_->EndSession(session);
                control_->PostPromised(SessionEnded{session});
                spdlog::info("session {} ended: {}", session.value(), Name(reason));
              },
          .register_file =
              [this](DomainId domain, OwnedFd fd, const std::string& path) {
                return RegisterFile(domain, std::move(fd), path);
              },
          .export_region = [this](DomainId domain,
                                  RegionNumber number) { return ExportRegion(domain, number); }};
}

absl::Status Node::Listen() {
  const DaemonConfig& daemon = config_.daemon;
  if (!config_.metrics_listen.empty()) {
    auto metrics = MetricsEndpoint::Start(
        config_.metrics_listen,
        {.snapshot = [this] { return control_->snapshot(); },
         .now = [this] { return clock_.Now(); },
         .events_dropped = [this] { return services_ ? services_->reports_dropped() : 0; },
         .config_reload_failures = [this] { return reload_failures_.load(); },
         .staging_buffers_used = [this] { return storage_->staging_buffers_used(); },
         .version = kVersion});
    if (!metrics.ok()) return metrics.status();
    metrics_ = *std::move(metrics);
  }
  auto services =
      Services::Start({.config = &config_,
                       .instance = instance_,
                       .clock = &clock_,
                       .control = control_.get(),
                       .sessions = &sessions_,
                       .hints = &hints_,
                       .policy = policy_.get(),
                       .files = &storage_->files(),
                       .snapshot = [this] { return control_->snapshot(); },
                       .end_session =
                           [this](SessionId s) {
                             if (SideSocket* side = side_in_service_.load()) {
                               side->EndSession(s);
                             }
                           },
                       .begin_drain =
                           [this](Micros deadline) {
                             drain_asked_us_.store(std::max<int64_t>(1, deadline.count()));
                             BeginDrain();
                           }});
  if (!services.ok()) return services.status();
  services_ = *std::move(services);
  // Last: sessions come in here, and what they need is there by then.
  auto side =
      SideSocket::Start({.path = daemon.SideSocketPath(),
                         .mode = daemon.side_socket.mode,
                         .group = daemon.side_socket.group,
                         .daemon_instance = instance_,
                         .connections_max = static_cast<size_t>(config_.limits.side_connections)},
                        sessions_, MakeSideCallbacks());
  if (!side.ok()) return side.status();
  side_ = *std::move(side);
  side_in_service_.store(side_.get());
  return absl::OkStatus();
}

void Node::Reload(const absl::StatusOr<Config>& config) {
  if (!config.ok()) {
    ++reload_failures_;
    spdlog::error("the configuration was not reloaded:\n{}",
                  std::string(config.status().message()));
    return;
  }
  policy_->Replace(config->policy, config->policy_keys_set);
  SetLogLevel(config->daemon.log_level);
  spdlog::info("policy reloaded; pools, sockets and limits change with a restart only");
}

void Node::BeginDrain() {
  if (draining_.exchange(true)) return;
  notifier_.Stopping("draining");
  if (services_) services_->SetServing(false);
  control_->Call([](RequestId request) -> Event { return OperatorDrain{request}; },
                 [](const Reply& reply) {
                   if (const auto* body = std::get_if<DrainedBody>(&reply.body)) {
                     spdlog::info("draining: {} leases are held", body->leases_held);
                   }
                 });
}

bool Node::Drained() const { return control_->snapshot()->leases == 0; }

Node::~Node() {
  // Nobody may call any more; then the movers end; then what they did is written down.
  if (services_) services_->Stop(kServersStopIn);
  side_in_service_.store(nullptr);
  side_.reset();
  metrics_.reset();
  if (control_) {
    control_->Stop();
    storage_->StopEngine();
  }
  if (catalogue_) {
    if (absl::Status status = catalogue_->Flush(kCatalogueFlushIn); !status.ok()) {
      spdlog::error("catalogue: {}", status.ToString());
    }
  }
  catalogue_.reset();
  services_.reset();
}

}  // namespace residency
