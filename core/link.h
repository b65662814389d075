// The paths bytes move on. A node's links are numbered once, from its pools; every figure about
// moving (bandwidth, latency, queue) is kept per link.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/ids.h"
#include "core/tier.h"

namespace residency {

using LinkId = StrongId<struct LinkTag, uint16_t>;

enum class LinkKind : uint8_t {
  kFileToDram,  // checkpoint file -> staging ring or DRAM arena
  kGenerate,    // synthetic recipe -> staging ring or DRAM arena
  kNvmeToDram,  // extent -> staging ring or DRAM arena
  kDramToNvme,  // DRAM arena or staging ring -> extent
  kDramToHbm,   // upload
  kHbmToDram,   // download
  // Codecs are stages that bytes pass on the way; their bytes are full ones.
  kQuantize,    // full -> low-bit
  kCompress,    // full -> compressed
  kDecompress,  // compressed -> full
};

// Demand is what somebody waits for; it always goes first.
enum class LinkClass : uint8_t { kDemand, kPrefetch, kRebalance };
inline constexpr int kLinkClassCount = 3;

constexpr const char* Name(LinkClass cls) {
  constexpr const char* kNames[] = {"demand", "prefetch", "rebalance"};
  return kNames[static_cast<int>(cls)];
}

struct Link {
  LinkId id;
  LinkKind kind;
  PoolId pool;       // the disk or the device; none for files and generation
  std::string name;  // metric label and CLI name: "nvme_dram", "dram_hbm0"
};

// What one transition used of one link, reported when it ends.
struct LinkUse {
  LinkId link;
  LinkClass cls = LinkClass::kRebalance;
  uint64_t bytes = 0;
  int64_t busy_us = 0;     // from the first chunk issued to the last done
  int64_t latency_us = 0;  // of the first chunk, without queueing
};

// The name of a kind of link without the instance: "nvme_dram".
constexpr const char* Name(LinkKind kind) {
  constexpr const char* kNames[] = {"file_dram", "generate", "nvme_dram", "dram_nvme", "dram_hbm",
                                    "hbm_dram",  "quantize", "compress",  "decompress"};
  return kNames[static_cast<int>(kind)];
}

constexpr bool IsCodec(LinkKind kind) { return kind >= LinkKind::kQuantize; }

// The links of a node with these pools, densely numbered: files, generation, two for each NVMe
// pool, two for each HBM pool, the codecs. Instances after the first carry their number in the
// name.
struct PoolTier {
  PoolId pool;
  Tier tier;
};
std::vector<Link> LinksOf(const std::vector<PoolTier>& pools);

}  // namespace residency
