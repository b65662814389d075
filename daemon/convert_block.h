// Blocks and decisions as operators see them. Reads the controller's state: only within a question.
#pragma once

#include <functional>
#include <string>

#include "core/clock.h"
#include "core/ids.h"
#include "policy/controller.h"
#include "residency/v1/operator.pb.h"

namespace residency {

// Where a file of recipes is, for people; empty if unknown. Thread-safe, and never blocks.
using FileNames = std::function<std::string(FileId)>;

// REQUIRES: the controller knows the block.
v1::BlockInfo DescribeBlock(const Controller& controller, BlockId block, const FileNames& files);

// Every figure as the controller used it, so that they can be added up again: a contribution is
// weight · activity · value, with the activity 1 for rho and lambda, which it does not scale.
v1::Score ToProto(const Score& score);

// `now`: what its age is counted from.
v1::Decision DescribeDecision(const Controller& controller, const Decision& decision,
                              TimePoint now);

// "MODEL/NAME".
std::string QualifiedName(const Controller& controller, BlockId block);

}  // namespace residency
