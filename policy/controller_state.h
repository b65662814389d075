// What the parts of the controller share: the table, the measurements and the outbox. Each part is
// a file of its own and keeps what only it needs.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "core/residency_table.h"
#include "policy/access_history.h"
#include "policy/config.h"
#include "policy/counters.h"
#include "policy/decision_ring.h"
#include "policy/events.h"
#include "policy/link_model.h"
#include "policy/signals.h"
#include "policy/victim_order.h"

namespace residency {

struct ModelState {
  uint64_t step = 0;
  int in_step = 0;  // sessions inside a step
  TimePoint last_sign{Micros(-1'000'000'000'000)};
  int sessions = 0;
  int lowbit_sessions = 0;  // of those, how many can use low-bit copies
};

struct SessionState {
  SessionId id;
  DomainId domain;
  Bytes max_leased;
  Bytes max_batch;
  AcceptMask accepts;
  absl::flat_hash_set<ModelId> models;
  absl::flat_hash_set<ModelId> lowbit_models;  // of those, counted as able to use low-bit copies
  absl::flat_hash_set<ModelId> stepping;
  absl::flat_hash_set<LeaseId> leases;
  Bytes leased;       // of blocks, over all its leases
  Bytes hard_leased;  // of those, pinned and streaming ones
  uint32_t recalls_open = 0;
  bool unhealthy = false;  // a recall is unanswered past its deadline
};

// Bounds; beyond each of them a call gets RESOURCE_EXHAUSTED.
struct ControllerLimits {
  size_t models_max = 4096;
  size_t blocks_max = 16'000'000;
  size_t waiting_batches_max = 4096;
  size_t batch_blocks_max = 4096;
};

struct ControllerState {
  ControllerState(const std::vector<PoolOptions>& pools, const PolicyConfig& policy,
                  const ControllerLimits& bounds)
      : config(policy),
        limits(bounds),
        table(pools),
        links(LinksOf([&] {
          std::vector<PoolTier> tiers;
          for (const PoolOptions& p : pools) tiers.push_back({p.id, p.tier});
          return tiers;
        }())),
        estimator(std::make_unique<EwmaMixEstimator>(policy)),
        accesses(policy),
        victims(pools.size()),
        protection_floor_k(pools.size(), 0) {}

  PolicyConfig config;
  const ControllerLimits limits;
  ResidencyTable table;
  LinkModel links;
  std::unique_ptr<ReuseEstimator> estimator;
  AccessHistory accesses;
  DecisionRing ring;
  Counters counters;
  std::vector<VictimOrder> victims;        // by pool
  std::vector<double> protection_floor_k;  // by pool: protected blocks below it lost protection
  std::vector<ModelState> models;          // by model
  absl::flat_hash_map<SessionId, SessionState> sessions;
  Bytes lowbit_bytes;  // of low-bit copies in HBM, as of the last tick
  bool draining = false;

  TimePoint now{};
  uint64_t tick = 0;
  std::vector<Command> out;
  // Raised by whatever may let a waiting batch or operator move go on.
  bool progress = false;

  void Emit(Command command) { out.push_back(std::move(command)); }

  SessionState* Session(SessionId id) {
    const auto it = sessions.find(id);
    return it == sessions.end() ? nullptr : &it->second;
  }
  void ReplyTo(RequestId request, absl::Status status) {
    if (request.valid()) Emit(Reply{request, std::move(status), {}});
  }
  template <class Body>
  void ReplyTo(RequestId request, Body body) {
    if (request.valid()) Emit(Reply{request, absl::OkStatus(), std::move(body)});
  }

  // In which encoding a copy of the block is kept in this pool when nobody says: compressed where
  // the pool wants that and it suits the block.
  Encoding EncodingKept(BlockId block, PoolId pool) const {
    const bool compressed =
        table.pool(pool).options().compressed &&
        table.SuitsIn(block, pool, Encoding::kCompressed) == Suitability::kSuits;
    return compressed ? Encoding::kCompressed : Encoding::kFull;
  }

  // The pool of this tier with the most room; none if there is no such pool.
  PoolId RoomiestPool(Tier tier) const {
    PoolId best;
    for (const auto& pool : table.pools()) {
      if (pool->tier() != tier) continue;
      if (!best.valid() || pool->free() > table.pool(best).free()) best = pool->id();
    }
    return best;
  }
};

}  // namespace residency
