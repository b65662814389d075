// Answers of the daemon as text for a terminal. Pure: the same message and view give the same
// text, which ends in a newline. Everything foreign in it has been made printable.
#pragma once

#include <string>

#include "client/ctl/view.h"
#include "google/protobuf/repeated_ptr_field.h"
#include "residency/v1/operator.pb.h"

namespace residency::ctl {

// One screen: identity, health, pools, states, links, counters, sessions.
std::string RenderStatus(const v1::GetStatusResponse& status,
                         const v1::ListSessionsResponse& sessions, const View& view);
std::string RenderHealth(const v1::GetStatusResponse& status, const View& view);

std::string RenderBlocks(const v1::ListBlocksResponse& blocks, const View& view);
std::string RenderBlock(const v1::BlockInfo& block, const View& view);
// Every figure behind the decision, in the order in which they follow from each other.
std::string RenderExplain(const v1::ExplainBlockResponse& explanation, const View& view);

std::string RenderModels(const v1::ListModelsResponse& models, const View& view);
std::string RenderPools(const google::protobuf::RepeatedPtrField<v1::Pool>& pools,
                        const View& view);
std::string RenderLinks(const google::protobuf::RepeatedPtrField<v1::LinkStatus>& links,
                        const View& view);
std::string RenderSessions(const v1::ListSessionsResponse& sessions, const View& view);
std::string RenderPolicy(const google::protobuf::RepeatedPtrField<v1::PolicyValue>& values,
                         const View& view);

// "#####++...": used, reserved and free parts of a whole, `width` characters.
std::string RenderBar(double used_ratio, double reserved_ratio, size_t width);

}  // namespace residency::ctl
