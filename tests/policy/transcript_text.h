// Commands and standings of the controller as lines of a story.
#pragma once

#include <functional>
#include <string>

#include "policy/controller.h"

namespace residency {

// Names blocks and places; by default blocks go by the name under which they were registered.
std::string TextOf(const Command& command, const ControllerState& state);
// Rows that say nothing of residency (models, blocks, aliases) are left out of stories.
bool WorthTelling(const Command& command);

std::string BlockName(BlockId block, const ControllerState& state);
// "S0", or "S5 (S6 -> S0)" while in flight; "lost" where nothing can bring it back.
std::string StandingOf(BlockId block, const ControllerState& state);
// One line a copy: "hbm+0 live leases=1".
std::string CopiesOf(BlockId block, const ControllerState& state);
// The verdict and the sum behind it, one term a line.
std::string TextOf(const Decision& decision, const ControllerState& state);

}  // namespace residency
