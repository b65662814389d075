#include "policy/registry.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace residency {
namespace {

constexpr size_t kTextMax = 255;

Bytes ShareOf(const Pool& pool, double share) {
  return Bytes(static_cast<uint64_t>(share * static_cast<double>(pool.capacity().count())));
}

}  // namespace

void Registry::OnOpened(const SessionOpened& event) {
  SessionState& session = s_.sessions[event.session];
  session.id = event.session;
  session.domain = event.domain;
}

void Registry::OnEnded(const SessionEnded& event) {
  SessionState* const session = s_.Session(event.session);
  if (session == nullptr) return;
  acquires_.OnSessionEnded(event.session);
  leases_.EndAll(*session);
  const std::vector<ModelId> models(session->models.begin(), session->models.end());
  for (const ModelId model : models) LeaveModel(*session, model);
  s_.sessions.erase(event.session);
  RefreshReserves();
  s_.progress = true;
}

void Registry::OnResumed(const SessionResumed& event) {
  SessionState* const session = s_.Session(event.session);
  if (session == nullptr) return;
  acquires_.OnSessionEnded(event.session);  // calls of the broken stream get no answer
  leases_.EndAllBut(*session, event.held);
  leases_.RepeatRecalls(*session);
}

absl::Status Registry::Admit(const ModelAttach& event, const SessionState& session) const {
  if (s_.draining) return absl::UnavailableError("the daemon is draining");
  if (event.fingerprint.empty() || event.fingerprint.size() > kTextMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("fingerprint: must have 1 to ", kTextMax, " bytes"));
  }
  if (event.name.empty() || event.name.size() > kTextMax) {
    return absl::InvalidArgumentError(absl::StrCat("name: must have 1 to ", kTextMax, " bytes"));
  }
  if (event.max_batch.zero() || event.max_batch > event.max_leased) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_batch_bytes: must be 1 to max_leased_bytes (", event.max_leased.count(),
                     "), is ", event.max_batch.count()));
  }
  if (!event.accepts.hbm_full && !event.accepts.host_full) {
    return absl::InvalidArgumentError("accepts: must contain HBM_FULL or HOST_FULL");
  }
  // What every session may have in use at once, with what operators pinned and the reserve, must
  // fit: nobody can starve anybody.
  const Tier tier = event.accepts.hbm_full ? Tier::kHbm : Tier::kDram;
  const PoolId pool_id = s_.RoomiestPool(tier);
  if (!pool_id.valid()) {
    return absl::FailedPreconditionError(absl::StrCat("this node has no ", Name(tier), " pool"));
  }
  const Pool& pool = s_.table.pool(pool_id);
  Bytes others;
  Bytes largest = std::max(session.max_batch, event.max_batch);
  for (const auto& [id, other] : s_.sessions) {
    largest = std::max(largest, other.max_batch);
    if (id != session.id) others += other.max_leased;
  }
  Bytes pinned;
  for (const auto& entry : s_.victims[pool_id.value()].ascending()) {
    const Copy& copy = s_.table.copy(entry.second);
    if (s_.table.block(copy.block).pins > 0) pinned += Bytes(copy.length);
  }
  const Bytes mine = std::max(session.max_leased, event.max_leased);
  const Bytes reserve = std::max(ShareOf(pool, s_.config.demand_reserve), largest);
  if (others + mine + pinned + reserve > pool.capacity()) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "max_leased_bytes: ", FormatBytes(mine), " do not fit pool ", pool.options().name, " of ",
        FormatBytes(pool.capacity()), " beside ", FormatBytes(others), " of other sessions, ",
        FormatBytes(pinned), " pinned and ", FormatBytes(reserve),
        " kept for demand (its share, at least the largest batch): declare less, or end a "
        "session"));
  }
  return absl::OkStatus();
}

void Registry::OnAttach(const ModelAttach& event) {
  SessionState* const session = s_.Session(event.session);
  if (session == nullptr) {
    return s_.ReplyTo(event.request, absl::NotFoundError("the session has ended"));
  }
  if (absl::Status status = Admit(event, *session); !status.ok()) {
    return s_.ReplyTo(event.request, status);
  }
  const size_t before = s_.table.model_count();
  if (before >= s_.limits.models_max) {
    return s_.ReplyTo(event.request, absl::ResourceExhaustedError(
                                         absl::StrCat(before, " models are known already")));
  }
  const ModelId model = s_.table.AddModel(session->domain, event.name, event.fingerprint);
  if (s_.table.model_count() > before) s_.Emit(Persist{PersistModel{model}, 0});
  s_.models.resize(s_.table.model_count());
  session->max_leased = std::max(session->max_leased, event.max_leased);
  session->max_batch = std::max(session->max_batch, event.max_batch);
  session->accepts = event.accepts;
  if (session->models.insert(model).second) ++s_.models[model.value()].sessions;
  // What a session declared last counts for all its models.
  for (const ModelId attached : session->models) {
    int& lowbit = s_.models[attached.value()].lowbit_sessions;
    if (session->lowbit_models.erase(attached) > 0) --lowbit;
    if (event.accepts.hbm_lowbit && session->lowbit_models.insert(attached).second) ++lowbit;
  }
  RefreshReserves();
  s_.ReplyTo(event.request, AttachedBody{model, s_.table.model(model).blocks.size()});
}

void Registry::RefreshReserves() {
  Bytes largest;
  for (const auto& [id, session] : s_.sessions) largest = std::max(largest, session.max_batch);
  for (const auto& pool : s_.table.pools()) {
    const Bytes share = ShareOf(*pool, s_.config.demand_reserve);
    const bool leased = pool->tier() == Tier::kHbm;
    pool->set_demand_reserve(leased ? std::max(share, largest) : share);
  }
}

void Registry::LeaveModel(SessionState& session, ModelId model) {
  ModelState& state = s_.models[model.value()];
  if (session.models.erase(model) > 0) --state.sessions;
  if (session.lowbit_models.erase(model) > 0) --state.lowbit_sessions;
  if (session.stepping.erase(model) > 0) --state.in_step;
}

void Registry::OnDetach(const ModelDetach& event) {
  SessionState* const session = s_.Session(event.session);
  if (session == nullptr || !session->models.contains(event.model)) {
    return s_.ReplyTo(event.request, absl::NotFoundError("model_id: not attached"));
  }
  std::vector<LeaseId> going;
  for (const LeaseId id : session->leases) {
    const Lease& lease = *s_.table.FindLease(id);
    if (s_.table.block(lease.block).model == event.model) going.push_back(id);
  }
  std::sort(going.begin(), going.end());
  for (const LeaseId id : going) leases_.End(*session, id);
  LeaveModel(*session, event.model);
  if (session->models.empty()) {
    session->max_leased = Bytes();
    session->max_batch = Bytes();
  }
  RefreshReserves();
  s_.ReplyTo(event.request, MovedBody{});
}

bool Registry::MaySpeakOf(SessionId id, ModelId model) const {
  const auto it = s_.sessions.find(id);
  return it != s_.sessions.end() && it->second.models.contains(model);
}

void Registry::OnRegister(const BlocksRegister& event) {
  if (!MaySpeakOf(event.session, event.model)) {
    return s_.ReplyTo(event.request,
                      absl::NotFoundError("model_id: attach the model before its blocks"));
  }
  if (s_.table.block_count() + event.blocks.size() > s_.limits.blocks_max) {
    return s_.ReplyTo(event.request, absl::ResourceExhaustedError(absl::StrCat(
                                         "blocks: at most ", s_.limits.blocks_max, " in all")));
  }
  RegisteredBody body;
  for (const BlockSpec& spec : event.blocks) {
    const size_t before = s_.table.block_count();
    const Model& model = s_.table.model(event.model);
    const auto known = model.by_name.find(spec.name);
    const bool was_known = known != model.by_name.end();
    const bool was_broken = was_known && s_.table.block(known->second).recipe_broken;
    const Recipe old = was_known ? s_.table.block(known->second).recipe : Recipe();
    const auto id = s_.table.AddBlock(event.model, spec);
    if (!id.ok()) return s_.ReplyTo(event.request, id.status());
    body.blocks.push_back(*id);
    if (s_.table.block_count() > before) {
      s_.Emit(Persist{PersistBlock{*id}, 0});
    } else if (!was_known) {
      s_.Emit(Persist{PersistAlias{event.model, spec.name, *id}, 0});
    } else if (was_broken || !(old == s_.table.block(*id).recipe)) {
      s_.Emit(Persist{PersistBlock{*id}, 0});
      ++body.recipes_renewed;
    }
  }
  s_.progress = true;
  s_.ReplyTo(event.request, std::move(body));
}

}  // namespace residency
