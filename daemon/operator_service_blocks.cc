#include "daemon/operator_service_blocks.h"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/strings.h"
#include "daemon/convert.h"
#include "daemon/convert_status.h"

namespace residency {
namespace {

constexpr size_t kCandidatesNamedMax = 4;

absl::Status Ended() { return absl::UnavailableError("the daemon is ending"); }
absl::Status MailboxFull() {
  return absl::ResourceExhaustedError(
      "the controller has too many events waiting: try again in a moment");
}

void AddCandidate(const Model& model, std::string_view name, std::vector<BlockId>& found) {
  const auto it = model.by_name.find(ToAbsl(name));
  if (it == model.by_name.end()) return;
  if (std::ranges::find(found, it->second) == found.end()) found.push_back(it->second);
}

// All blocks that `text` may mean. Proportional to the number of models.
std::vector<BlockId> Candidates(const ResidencyTable& table, std::string_view text) {
  std::vector<BlockId> found;
  for (uint32_t i = 0; i < table.model_count(); ++i) {
    const Model& model = table.model(ModelId(i));
    for (const std::string& prefix : {model.name + "/", absl::StrCat(i, "/")}) {
      if (text.starts_with(prefix)) AddCandidate(model, text.substr(prefix.size()), found);
    }
    AddCandidate(model, text, found);
  }
  return found;
}

// Where a stretch that begins at `first` ends.
uint32_t EndOfStretch(uint32_t first, uint32_t count) {
  return first + std::min(kScanBlocksMax, count - std::min(first, count));
}

void GoOn(ControlPort& port, const std::shared_ptr<BlockScan>& scan) {
  const bool asked = port.Ask([&port, scan](const Controller* controller) {
    if (controller == nullptr) return scan->done(Ended());
    if (scan->abandoned()) return scan->done(absl::CancelledError("the call was cancelled"));
    if (scan->step(*controller)) return scan->done(absl::OkStatus());
    GoOn(port, scan);
  });
  if (!asked) scan->done(MailboxFull());
}

}  // namespace

absl::StatusOr<BlockId> FindBlock(const Controller& controller, std::string_view text) {
  const ResidencyTable& table = controller.state().table;
  uint32_t number = 0;
  if (absl::SimpleAtoi(ToAbsl(text), &number) && table.Knows(BlockId(number))) {
    return BlockId(number);
  }
  const std::vector<BlockId> found = Candidates(table, text);
  if (found.size() == 1) return found.front();
  if (found.empty()) {
    return absl::NotFoundError(
        absl::StrCat("block: found none for \"", ToAbsl(text.substr(0, 600)),
                     "\"; wanted is a number, MODEL/NAME, or a name that only one model has"));
  }
  std::string names;
  for (size_t i = 0; i < std::min(found.size(), kCandidatesNamedMax); ++i) {
    absl::StrAppend(&names, i == 0 ? "" : ", ", found[i].value(), " (",
                    QualifiedName(controller, found[i]), ")");
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "block: \"", ToAbsl(text.substr(0, 600)), "\" may mean ", found.size(), " blocks: ", names,
      found.size() > kCandidatesNamedMax ? ", ..." : "", "; name it by number"));
}

void AskForBlock(ControlPort& port, std::string block, UseBlock use) {
  const auto shared = std::make_shared<UseBlock>(std::move(use));
  const bool asked = port.Ask([shared, block = std::move(block)](const Controller* controller) {
    if (controller == nullptr) return (*shared)(nullptr, Ended());
    (*shared)(controller, FindBlock(*controller, block));
  });
  if (!asked) (*shared)(nullptr, MailboxFull());
}

void Scan(ControlPort& port, BlockScan scan) {
  GoOn(port, std::make_shared<BlockScan>(std::move(scan)));
}

std::function<bool(const Controller&)> CountModelStates(v1::ListModelsResponse* response) {
  using Totals = std::array<StateTotal, kStateCount>;
  return [response, next = uint32_t{0},
          totals = std::vector<Totals>()](const Controller& controller) mutable {
    const ResidencyTable& table = controller.state().table;
    const auto count = static_cast<uint32_t>(table.block_count());
    totals.resize(table.model_count());
    for (const uint32_t end = EndOfStretch(next, count); next < end; ++next) {
      const Block& block = table.block(BlockId(next));
      StateTotal& total = totals[block.model.value()][static_cast<int>(table.State(block.id))];
      ++total.blocks;
      total.bytes += block.bytes.count();
    }
    if (next < count) return false;
    for (v1::ModelInfo& model : *response->mutable_models()) {
      if (model.model_id() >= totals.size()) continue;
      AddStates(totals[model.model_id()], *model.mutable_states());
    }
    return true;
  };
}

}  // namespace residency
