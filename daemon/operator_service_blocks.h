// Questions about blocks: finding one by what an operator calls it, and going through all of them a
// stretch at a time, so that the controller is never held for long.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/ids.h"
#include "daemon/control_port.h"
#include "daemon/convert_block.h"
#include "daemon/operator_service_list.h"
#include "residency/v1/operator.pb.h"

namespace residency {

// A block by number, by "MODEL/NAME" (MODEL a name or a number), or by a name that only one model
// has. NotFound; FailedPrecondition names the blocks that are meant equally well.
absl::StatusOr<BlockId> FindBlock(const Controller& controller, std::string_view block);

// Asks the controller. `use` runs on its thread with the block, or with why there is none:
// UNAVAILABLE if the controller has ended, RESOURCE_EXHAUSTED if the mailbox is full.
using UseBlock = std::function<void(const Controller*, absl::StatusOr<BlockId>)>;
void AskForBlock(ControlPort& port, std::string block, UseBlock use);

// Asks the controller as often as `step` wants: each time it looks at a stretch of the blocks and
// says whether it is through. Then runs `done`, on the controller's thread or, with an error, on
// the caller's. `abandoned` ends it early.
struct BlockScan {
  std::function<bool(const Controller&)> step;
  std::function<bool()> abandoned;
  std::function<void(absl::Status)> done;
};
void Scan(ControlPort& port, BlockScan scan);

// The step that adds to each model how many of its blocks are in which state.
std::function<bool(const Controller&)> CountModelStates(v1::ListModelsResponse* response);

}  // namespace residency
