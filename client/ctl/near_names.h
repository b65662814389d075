// What somebody may have meant who named a block that there is not.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "client/ctl/rpc.h"

namespace residency::ctl {

// Up to three "MODEL/NAME" that are equally near; none if nothing is near or the daemon does not
// answer. Asks a dozen times at most.
std::vector<std::string> NearBlocks(OperatorClient& client, std::string_view block);

// Insertions, removals and changes of a character that make one text of the other.
size_t EditDistance(std::string_view a, std::string_view b);

}  // namespace residency::ctl
