// What moving costs: bandwidth, latency and queue of every link, measured from the transitions that
// used it, with a prior until something has.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "core/bytes.h"
#include "core/link.h"
#include "core/tier.h"

namespace residency {

class LinkModel {
 public:
  // One link of a path, and the share of a block's full bytes that passes it.
  struct Hop {
    LinkId link;
    double share = 1;
    Hop(LinkId l, double s = 1) : link(l), share(s) {}  // NOLINT: a link alone passes all
    friend bool operator==(const Hop&, const Hop&) = default;
  };
  // Into host memory (or the staging ring), out of it, and the codecs in between.
  using Path = absl::InlinedVector<Hop, 4>;

  explicit LinkModel(std::vector<Link> links);

  // --- Which links a move takes ---
  struct End {
    Tier tier = Tier::kDram;
    PoolId pool;
  };
  Path CopyPath(End from, End to) const;
  // A move that changes the encoding passes through host memory even within one device. The
  // shares are of the source's and the target's bytes in the full ones.
  struct Form {
    Encoding encoding = Encoding::kFull;
    double share = 1;
  };
  Path TurnPath(End from, Form source, End to, Form target) const;
  // Into another encoding on the way from a recipe, whose bytes are full.
  Path Turned(Path recipe, Form target) const;
  Path FilePath(End to) const;      // a file_range recipe
  Path GeneratePath(End to) const;  // a synthetic recipe

  // --- What happens on them ---
  void OnStarted(const Path& path, LinkClass cls, Bytes bytes);
  void OnReclassified(const Path& path, LinkClass from, LinkClass to, Bytes bytes);
  void OnEnded(const Path& path, LinkClass cls, Bytes bytes);
  void OnMeasured(const LinkUse& use);

  // Microseconds to move `bytes` over the path for this class: latencies, what is queued ahead at
  // this class or above on the slowest link, and the bytes at the bandwidth of the slowest.
  double EstimateUs(const Path& path, Bytes bytes, LinkClass cls) const;
  // The same on idle links: what a copy saves whenever it is used, which does not come and go with
  // this moment's queue.
  double UnloadedUs(const Path& path, Bytes bytes) const;
  // Of that, what its codecs take.
  double CodecUs(const Path& path, Bytes bytes) const;
  // Background bytes queued on the path's busiest link, in seconds of its bandwidth.
  double BacklogSeconds(const Path& path) const;
  bool Idle(const Path& path) const;  // nothing queued in any class

  struct Figures {
    double bytes_per_us = 0;
    double latency_us = 0;
    bool measured = false;
    std::array<uint64_t, kLinkClassCount> queued_bytes{};
    std::array<uint64_t, kLinkClassCount> moved_bytes{};
    std::array<double, kLinkClassCount> busy_seconds{};
  };
  const std::vector<Link>& links() const { return links_; }
  const Figures& figures(LinkId link) const { return figures_[link.value()]; }

 private:
  LinkId Find(LinkKind kind, PoolId pool) const;
  Path HopsBetween(End from, End to) const;
  void AddCodecs(Path& path, Encoding from, Encoding to) const;

  std::vector<Link> links_;
  std::vector<Figures> figures_;
};

}  // namespace residency
