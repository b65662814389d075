#include "daemon/convert_requests.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/strings.h"
#include "daemon/convert.h"

namespace residency {
namespace {

template <class... Args>
absl::Status Wrong(const Args&... what) {
  return absl::InvalidArgumentError(absl::StrCat(what...));
}

absl::Status CheckText(const std::string& text, const char* field) {
  if (!text.empty() && text.size() <= kTextBytesMax) return absl::OkStatus();
  return Wrong(field, ": must have 1 to ", kTextBytesMax, " bytes, has ", text.size());
}

// `lowest` to `highest` of something countable.
template <class Count>
absl::Status CheckRange(Count value, Count lowest, Count highest, const char* field) {
  if (value >= lowest && value <= highest) return absl::OkStatus();
  return Wrong(field, ": must be ", lowest, " to ", highest, ", is ", value);
}

absl::Status CheckUnit(bool present, float value, const char* field) {
  // Written so that a NaN is refused.
  if (!present || (value >= 0 && value <= 1)) return absl::OkStatus();
  return Wrong(field, ": must lie in [0, 1], is ", value);
}

template <class Id, class Field>
std::vector<Id> Ids(const Field& field) {
  std::vector<Id> ids;
  ids.reserve(field.size());
  for (const auto value : field) ids.emplace_back(value);
  return ids;
}

absl::Status CheckLeaseIds(int count, const char* field) {
  if (count <= kLeaseIdsMax) return absl::OkStatus();
  return Wrong(field, ": must name at most ", kLeaseIdsMax, " leases, names ", count);
}

absl::Status DecodeRecipe(const v1::BlockSpec& proto, const FindFile& find_file, BlockSpec& spec) {
  switch (proto.recipe_case()) {
    case v1::BlockSpec::kFileRange: {
      const absl::StatusOr<FileId> file = find_file(proto.file_range().file_handle());
      if (!file.ok()) return file.status();
      spec.recipe = {
          .kind = RecipeKind::kFileRange, .file = *file, .offset = proto.file_range().offset()};
      return absl::OkStatus();
    }
    case v1::BlockSpec::kAlias:
      spec.alias_of = BlockId(proto.alias().block_id());
      if (spec.alias_of.valid()) return absl::OkStatus();
      return Wrong("alias.block_id: ", proto.alias().block_id(), " names no block");
    case v1::BlockSpec::kSynthetic:
      spec.recipe = {.kind = RecipeKind::kSynthetic, .file = {}, .seed = proto.synthetic().seed()};
      return absl::OkStatus();
    case v1::BlockSpec::RECIPE_NOT_SET:
      return absl::OkStatus();  // its bytes will be put
  }
  return absl::OkStatus();
}

absl::Status CheckBlock(const v1::BlockSpec& proto) {
  if (absl::Status s = CheckText(proto.name(), "name"); !s.ok()) return s;
  if (!proto.has_alias() && proto.bytes() == 0) return Wrong("bytes: must be at least 1, is 0");
  if (proto.layer() < -1) return Wrong("layer: must be -1 or more, is ", proto.layer());
  if (absl::Status s = CheckRange<int32_t>(proto.expert(), -1, 65'535, "expert"); !s.ok()) return s;
  if (absl::Status s = CheckUnit(proto.has_criticality(), proto.criticality(), "criticality");
      !s.ok()) {
    return s;
  }
  if (absl::Status s = CheckUnit(proto.has_sensitivity(), proto.sensitivity(), "sensitivity");
      !s.ok()) {
    return s;
  }
  if (proto.layout().size() > kTextBytesMax) {
    return Wrong("layout: must have at most ", kTextBytesMax, " bytes, has ",
                 proto.layout().size());
  }
  return absl::OkStatus();
}

absl::StatusOr<BlockSpec> DecodeBlock(const v1::BlockSpec& proto, const FindFile& find_file) {
  if (absl::Status s = CheckBlock(proto); !s.ok()) return s;
  const absl::StatusOr<Role> role = RoleFromProto(proto.role(), "role");
  if (!role.ok()) return role.status();
  const absl::StatusOr<ElementType> element =
      ElementFromProto(proto.element_type(), "element_type");
  if (!element.ok()) return element.status();
  BlockSpec spec;
  spec.name = proto.name();
  spec.bytes = Bytes(proto.bytes());
  spec.layer = proto.layer();
  spec.expert = proto.expert();
  spec.role = *role;
  spec.element = *element;
  if (proto.has_criticality()) spec.criticality = proto.criticality();
  if (proto.has_sensitivity()) spec.sensitivity = proto.sensitivity();
  if (proto.has_checksum()) spec.checksum = proto.checksum();
  spec.layout = proto.layout();
  if (absl::Status s = DecodeRecipe(proto, find_file, spec); !s.ok()) return s;
  return spec;
}

}  // namespace

absl::StatusOr<ModelAttach> Decode(const v1::AttachModelRequest& request, SessionId session) {
  if (absl::Status s = CheckText(request.name(), "name"); !s.ok()) return s;
  if (absl::Status s = CheckText(request.fingerprint(), "fingerprint"); !s.ok()) return s;
  if (absl::Status s = CheckRange<uint64_t>(request.max_leased_bytes(), 1, kDeclaredBytesMax,
                                            "max_leased_bytes");
      !s.ok()) {
    return s;
  }
  if (absl::Status s = CheckRange<uint64_t>(request.max_batch_bytes(), 1,
                                            request.max_leased_bytes(), "max_batch_bytes");
      !s.ok()) {
    return s;
  }
  const absl::StatusOr<AcceptMask> accepts = AcceptsFromProto(request.accepts(), "accepts");
  if (!accepts.ok()) return accepts.status();
  return ModelAttach{.request = {},
                     .session = session,
                     .name = request.name(),
                     .fingerprint = request.fingerprint(),
                     .max_leased = Bytes(request.max_leased_bytes()),
                     .max_batch = Bytes(request.max_batch_bytes()),
                     .accepts = *accepts};
}

absl::StatusOr<ModelDetach> Decode(const v1::DetachModelRequest& request, SessionId session) {
  return ModelDetach{.request = {}, .session = session, .model = ModelId(request.model_id())};
}

absl::StatusOr<BlocksRegister> Decode(const v1::RegisterBlocksRequest& request, SessionId session,
                                      const LimitsConfig& limits, const FindFile& find_file) {
  if (request.blocks_size() < 1 || request.blocks_size() > limits.register_blocks) {
    return Wrong("blocks: must name 1 to ", limits.register_blocks, " blocks, names ",
                 request.blocks_size(), ": register more in further calls");
  }
  BlocksRegister event{
      .request = {}, .session = session, .model = ModelId(request.model_id()), .blocks = {}};
  event.blocks.reserve(request.blocks_size());
  for (int i = 0; i < request.blocks_size(); ++i) {
    absl::StatusOr<BlockSpec> spec = DecodeBlock(request.blocks(i), find_file);
    if (!spec.ok()) {
      return absl::Status(
          spec.status().code(),
          absl::StrCat("blocks[", i, "] \"", request.blocks(i).name().substr(0, kTextBytesMax),
                       "\": ", spec.status().message()));
    }
    event.blocks.push_back(*std::move(spec));
  }
  return event;
}

absl::StatusOr<BlockPut> Decode(const v1::PutBlockRequest& request, SessionId session,
                                const FindFile& find_file) {
  if (request.durability() != v1::DURABILITY_VOLATILE &&
      request.durability() != v1::DURABILITY_DURABLE) {
    return Wrong("durability: must be VOLATILE (1) or DURABLE (2), is ",
                 static_cast<int>(request.durability()));
  }
  const absl::StatusOr<FileId> file = find_file(request.file_handle());
  if (!file.ok()) return file.status();
  return BlockPut{
      .request = {},
      .session = session,
      .block = BlockId(request.block_id()),
      .supply = {.kind = RecipeKind::kFileRange, .file = *file, .offset = request.offset()},
      .checksum = request.checksum(),
      .durable = request.durability() == v1::DURABILITY_DURABLE};
}

absl::StatusOr<AcquireBatch> Decode(const v1::AcquireBatch& batch, SessionId session,
                                    const LimitsConfig& limits, TimePoint now) {
  if (batch.request_id() == 0) {
    return Wrong("request_id: must be unique in the session and not 0");
  }
  if (batch.block_ids_size() < 1 || batch.block_ids_size() > limits.acquire_blocks) {
    return Wrong("block_ids: must name 1 to ", limits.acquire_blocks, " blocks, names ",
                 batch.block_ids_size());
  }
  const absl::StatusOr<AcceptMask> accepts = AcceptsFromProto(batch.accepts(), "accepts");
  if (!accepts.ok()) return accepts.status();
  const absl::StatusOr<LeaseMode> mode = LeaseModeFromProto(batch.mode(), "mode");
  if (!mode.ok()) return mode.status();
  const auto longest = static_cast<uint64_t>(limits.acquire_deadline_max.count());
  const Micros wait(static_cast<int64_t>(std::min(batch.deadline_us(), longest)));
  return AcquireBatch{.request = {},
                      .session = session,
                      .client_request = batch.request_id(),
                      .blocks = Ids<BlockId>(batch.block_ids()),
                      .accepts = *accepts,
                      .deadline = now + wait,
                      .mode = *mode};
}

absl::StatusOr<LeasesReleased> Decode(const v1::ReleaseRequest& request, SessionId session) {
  if (absl::Status s = CheckLeaseIds(request.lease_ids_size(), "lease_ids"); !s.ok()) return s;
  return LeasesReleased{
      .request = {}, .session = session, .leases = Ids<LeaseId>(request.lease_ids())};
}

absl::StatusOr<SessionResumed> Decode(const v1::OpenStream& open, SessionId session) {
  if (absl::Status s = CheckLeaseIds(open.held_lease_ids_size(), "open.held_lease_ids"); !s.ok()) {
    return s;
  }
  return SessionResumed{.session = session, .held = Ids<LeaseId>(open.held_lease_ids())};
}

absl::StatusOr<AccessReported> Decode(const v1::AccessReport& report, SessionId session) {
  const absl::StatusOr<Phase> phase = PhaseFromProto(report.phase(), "access.phase");
  if (!phase.ok()) return phase.status();
  if (absl::Status s =
          CheckRange(report.block_ids_size(), 1, kReportValuesMax, "access.block_ids: how many");
      !s.ok()) {
    return s;
  }
  return AccessReported{.session = session,
                        .model = ModelId(report.model_id()),
                        .phase = *phase,
                        .blocks = Ids<BlockId>(report.block_ids())};
}

absl::StatusOr<RoutingReported> Decode(const v1::RoutingReport& report, SessionId session) {
  const absl::StatusOr<Phase> phase = PhaseFromProto(report.phase(), "routing.phase");
  if (!phase.ok()) return phase.status();
  if (report.layer() > static_cast<uint32_t>(std::numeric_limits<int32_t>::max())) {
    return Wrong("routing.layer: must be below 2^31, is ", report.layer());
  }
  if (absl::Status s =
          CheckRange(report.experts_size(), 1, kReportValuesMax, "routing.experts: how many");
      !s.ok()) {
    return s;
  }
  const auto requests = static_cast<uint64_t>(report.request_ids_size());
  const uint64_t wanted = report.top_k() * requests;
  if (wanted != static_cast<uint64_t>(report.experts_size())) {
    return Wrong("routing.experts: must be request_ids times top_k (", report.request_ids_size(),
                 " times ", report.top_k(), "), are ", report.experts_size());
  }
  if (report.gates_size() != 0 && report.gates_size() != report.experts_size()) {
    return Wrong("routing.gates: must be none or as many as experts (", report.experts_size(),
                 "), are ", report.gates_size());
  }
  RoutingReported event{.session = session,
                        .model = ModelId(report.model_id()),
                        .layer = static_cast<int32_t>(report.layer()),
                        .phase = *phase,
                        .requests = {report.request_ids().begin(), report.request_ids().end()},
                        .top_k = static_cast<int>(report.top_k()),
                        .experts = {},
                        .gates = {report.gates().begin(), report.gates().end()}};
  event.experts.reserve(report.experts_size());
  for (const uint32_t expert : report.experts()) {
    if (expert > std::numeric_limits<uint16_t>::max()) {
      return Wrong("routing.experts: must be at most 65535, has ", expert);
    }
    event.experts.push_back(static_cast<uint16_t>(expert));
  }
  for (const float gate : event.gates) {
    if (!std::isfinite(gate)) return Wrong("routing.gates: must be finite, has ", gate);
  }
  return event;
}

absl::StatusOr<StepMarked> Decode(const v1::StepMarker& marker, SessionId session) {
  if (marker.edge() != v1::STEP_EDGE_BEGIN && marker.edge() != v1::STEP_EDGE_END) {
    return Wrong("step.edge: must be BEGIN (1) or END (2), is ", static_cast<int>(marker.edge()));
  }
  if (absl::Status s = CheckRange(marker.ended_request_ids_size(), 0, kReportValuesMax,
                                  "step.ended_request_ids: how many");
      !s.ok()) {
    return s;
  }
  return StepMarked{
      .session = session,
      .model = ModelId(marker.model_id()),
      .begin = marker.edge() == v1::STEP_EDGE_BEGIN,
      .ended_requests = {marker.ended_request_ids().begin(), marker.ended_request_ids().end()}};
}

}  // namespace residency
