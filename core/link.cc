#include "core/link.h"

#include "absl/strings/str_cat.h"

namespace residency {

std::vector<Link> LinksOf(const std::vector<PoolTier>& pools) {
  std::vector<Link> links;
  const auto add = [&](LinkKind kind, PoolId pool, int instance) {
    const LinkId id(static_cast<uint16_t>(links.size()));
    const std::string name =
        instance == 0 ? std::string(Name(kind)) : absl::StrCat(Name(kind), instance);
    links.push_back({id, kind, pool, name});
  };
  add(LinkKind::kFileToDram, PoolId(), 0);
  add(LinkKind::kGenerate, PoolId(), 0);
  int disks = 0;
  int devices = 0;
  for (const PoolTier& pool : pools) {
    if (pool.tier == Tier::kNvme) {
      add(LinkKind::kNvmeToDram, pool.pool, disks);
      add(LinkKind::kDramToNvme, pool.pool, disks);
      ++disks;
    } else if (pool.tier == Tier::kHbm) {
      add(LinkKind::kDramToHbm, pool.pool, devices);
      add(LinkKind::kHbmToDram, pool.pool, devices);
      ++devices;
    }
  }
  for (const LinkKind codec : {LinkKind::kQuantize, LinkKind::kCompress, LinkKind::kDecompress}) {
    add(codec, PoolId(), 0);
  }
  return links;
}

}  // namespace residency
