// The client's end of the side socket: one packet out, one packet back, descriptors beside them.
// Any thread; one request at a time. After an error of the socket itself the channel is broken and
// every later call says so (Unavailable).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/unique_fd.h"
#include "residency/v1/side.pb.h"

namespace residency::inline client::internal {

struct Welcome {
  std::string session_token;
  uint64_t session_id = 0;
  std::string daemon_instance;
};

struct Region {
  UniqueFd file;
  uint64_t region = 0;
  uint32_t pool_id = 0;
  uint64_t segment_index = 0;
  uint64_t length = 0;
};

class SideChannel {
 public:
  static constexpr uint32_t kProtocolVersion = 1;
  static constexpr size_t kPacketBytesMax = 4096;

  static absl::StatusOr<std::unique_ptr<SideChannel>> Connect(const std::string& path,
                                                              absl::Time deadline);

  absl::StatusOr<Welcome> Hello(const std::string& resume_token, absl::Time deadline);
  // The descriptor stays the caller's.
  absl::StatusOr<uint32_t> OfferFile(int fd, const std::string& path, absl::Time deadline);
  absl::StatusOr<Region> GetRegion(uint64_t region, absl::Time deadline);
  absl::Status Goodbye(absl::Time deadline);

  // Breaks the channel, also under a request that waits. The daemon keeps the session.
  void Close();
  bool broken() const { return broken_.load(std::memory_order_acquire); }

 private:
  SideChannel(UniqueFd socket, std::string path)
      : path_(std::move(path)), socket_(std::move(socket)) {}

  struct Answer {
    v1::SideResponse response;
    UniqueFd file;
  };
  absl::StatusOr<Answer> Ask(const char* what, const v1::SideRequest& request, int fd,
                             absl::Time deadline);
  absl::Status Send(const std::string& packet, int fd, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<Answer> Receive(absl::Time deadline) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string path_;
  const UniqueFd socket_;  // shut down once broken, closed at the end
  std::atomic<bool> broken_{false};
  absl::Mutex mu_;  // one request at a time
};

}  // namespace residency::inline client::internal
