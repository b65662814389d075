// Recomputes a score from its parts, so that an operator need not.
#pragma once

#include <string>
#include <vector>

#include "residency/v1/operator.pb.h"

namespace residency::ctl {

// A sentence for each figure that does not follow from the ones before it; empty if all agree to
// nine digits.
std::vector<std::string> CheckScore(const v1::Score& score);

}  // namespace residency::ctl
