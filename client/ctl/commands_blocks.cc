// Commands about blocks: blocks, block, explain, pin, unpin, promote, demote.
#include <algorithm>
#include <memory>
#include <optional>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/ctl/cli.h"
#include "client/ctl/command.h"
#include "client/ctl/format.h"
#include "client/ctl/names.h"
#include "client/ctl/render.h"

namespace residency::ctl {
namespace {

using Stub = OperatorClient::Stub;

constexpr uint32_t kPageSizeMax = 1000;  // What the daemon gives at most.
constexpr uint64_t kLimitDefault = 1000;

struct BlockFilter {
  std::string model;
  std::string state;
  std::optional<int32_t> layer;
  std::string name;
  uint64_t limit = kLimitDefault;  // 0: all.
};

struct Move {
  std::string block;
  std::string to;
  absl::Duration deadline = absl::Seconds(30);
};

// Adds where to look to the daemon's "not found".
absl::Status BlockError(const absl::Status& status) {
  if (!absl::IsNotFound(status)) return status;
  return absl::NotFoundError(absl::StrCat(std::string(status.message()),
                                          "\n'residencyctl blocks --name TEXT' finds blocks"));
}

absl::StatusOr<uint32_t> ModelId(const Context& context, const std::string& model) {
  absl::StatusOr<v1::ListModelsResponse> models =
      context.client.Call(&Stub::ListModels, v1::ListModelsRequest());
  if (!models.ok()) return models.status();
  uint32_t number = 0;
  const bool is_number = absl::SimpleAtoi(model, &number);
  std::optional<uint32_t> named;
  for (const v1::ModelInfo& info : models->models()) {
    if (is_number && info.model_id() == number) return number;
    if (info.name() != model) continue;
    if (named.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("more than one model is named ", model,
                       "\ngive its ID: 'residencyctl models' lists them"));
    }
    named = info.model_id();
  }
  if (named.has_value()) return *named;
  return absl::NotFoundError(
      absl::StrCat("no model ", model, "\n'residencyctl models' lists those there are"));
}

absl::StatusOr<v1::ListBlocksRequest> ListRequest(const Context& context,
                                                  const BlockFilter& filter) {
  v1::ListBlocksRequest request;
  if (!filter.model.empty()) {
    absl::StatusOr<uint32_t> model_id = ModelId(context, filter.model);
    if (!model_id.ok()) return model_id.status();
    request.set_model_id(*model_id);
  }
  if (!filter.state.empty()) request.set_state(*ParseState(filter.state));
  if (filter.layer.has_value()) request.set_layer(*filter.layer);
  request.set_name_contains(filter.name);
  return request;
}

// Follows the pages up to the limit. The answer's token is set if there is more.
absl::StatusOr<v1::ListBlocksResponse> ListPages(const Context& context,
                                                 v1::ListBlocksRequest request, uint64_t limit) {
  v1::ListBlocksResponse all;
  for (;;) {
    const auto have = static_cast<uint64_t>(all.blocks_size());
    const uint64_t want =
        limit == 0 ? kPageSizeMax : std::min<uint64_t>(limit - have, kPageSizeMax);
    request.set_page_size(static_cast<uint32_t>(want));
    absl::StatusOr<v1::ListBlocksResponse> page = context.client.Call(&Stub::ListBlocks, request);
    if (!page.ok()) return page.status();
    all.MergeFrom(*page);
    all.set_next_page_token(page->next_page_token());
    if (page->next_page_token().empty()) return all;
    if (limit != 0 && static_cast<uint64_t>(all.blocks_size()) >= limit) return all;
    request.set_page_token(page->next_page_token());
  }
}

absl::StatusOr<Frame> Blocks(const Context& context, const BlockFilter& filter) {
  absl::StatusOr<v1::ListBlocksRequest> request = ListRequest(context, filter);
  if (!request.ok()) return request.status();
  absl::StatusOr<v1::ListBlocksResponse> blocks =
      ListPages(context, *std::move(request), filter.limit);
  if (!blocks.ok()) return blocks.status();
  Frame frame{context.Show(*blocks, RenderBlocks), ExitCode::kOk, ""};
  if (!blocks->next_page_token().empty()) {
    frame.error = absl::StrCat("residencyctl: showed the first ", blocks->blocks_size(),
                               " blocks; --limit 0 shows all\n");
  }
  return frame;
}

absl::StatusOr<Frame> Block(const Context& context, const std::string& block) {
  v1::GetBlockRequest request;
  request.set_block(block);
  absl::StatusOr<v1::GetBlockResponse> response = context.client.Call(&Stub::GetBlock, request);
  if (!response.ok()) return BlockError(response.status());
  const auto render = [](const v1::GetBlockResponse& message, const View& view) {
    return RenderBlock(message.block(), view);
  };
  return Frame{context.Show(*response, render), ExitCode::kOk, ""};
}

absl::StatusOr<Frame> Explain(const Context& context, const std::string& block) {
  v1::ExplainBlockRequest request;
  request.set_block(block);
  absl::StatusOr<v1::ExplainBlockResponse> response =
      context.client.Call(&Stub::ExplainBlock, request);
  if (!response.ok()) return BlockError(response.status());
  return Frame{context.Show(*response, RenderExplain), ExitCode::kOk, ""};
}

// Pin and unpin: a request that names a block, an answer without content.
template <typename Request, typename Response>
absl::StatusOr<Frame> Mark(const Context& context, OperatorClient::Method<Request, Response> method,
                           const std::string& block, const char* done) {
  Request request;
  request.set_block(block);
  absl::StatusOr<Response> response = context.client.Call(method, request);
  if (!response.ok()) return BlockError(response.status());
  const auto render = [&block, done](const Response&, const View&) {
    return absl::StrCat("block ", Printable(block), " ", done, "\n");
  };
  return Frame{context.Show(*response, render), ExitCode::kOk, ""};
}

template <typename Request, typename Response>
absl::StatusOr<Frame> MoveBlock(const Context& context,
                                OperatorClient::Method<Request, Response> method,
                                const Move& move) {
  Request request;
  request.set_block(move.block);
  request.set_to(*ParseState(move.to));
  request.set_deadline_us(static_cast<uint64_t>(absl::ToInt64Microseconds(move.deadline)));
  absl::StatusOr<Response> response = context.client.Call(method, request, move.deadline);
  if (absl::IsAborted(response.status())) {
    return absl::AbortedError(absl::StrCat(std::string(response.status().message()),
                                           "\n'residencyctl explain ", move.block, "' shows why"));
  }
  if (!response.ok()) return BlockError(response.status());
  const auto render = [&move](const Response& message, const View&) {
    return absl::StrCat("block ", Printable(move.block), " is in ", StateName(message.state()),
                        "\n");
  };
  return Frame{context.Show(*response, render), ExitCode::kOk, ""};
}

void AddBlocks(CLI::App& app, Selection& selection) {
  CLI::App* list = app.add_subcommand("blocks", "List blocks; all conditions given must hold");
  auto filter = std::make_shared<BlockFilter>();
  list->add_option("--model", filter->model, "Of this model, by ID or name");
  list->add_option("--state", filter->state, "In this state, S0 to S6")
      ->check([](const std::string& text) {
        return ParseState(text).has_value() ? "" : text + " is not a state: write S0 to S6";
      });
  list->add_option("--layer", filter->layer, "Of this layer");
  list->add_option("--name", filter->name, "With this text in their name");
  list->add_option("--limit", filter->limit, "At most so many (1000); 0 for all");
  list->fallthrough()->callback([&selection, filter] {
    selection = {[filter](const Context& c) { return Blocks(c, *filter); }, true};
  });
}

using NamedCommand = absl::StatusOr<Frame> (*)(const Context&, const std::string&);

void AddNamed(CLI::App& app, Selection& selection, const char* name, const char* description,
              NamedCommand command, bool repeatable) {
  CLI::App* sub = app.add_subcommand(name, description);
  auto block = std::make_shared<std::string>();
  sub->add_option("BLOCK", *block, "Number, MODEL/NAME or NAME")->required();
  sub->fallthrough()->callback([&selection, block, command, repeatable] {
    selection = {[block, command](const Context& c) { return command(c, *block); }, repeatable};
  });
}

absl::StatusOr<Frame> Pin(const Context& context, const std::string& block) {
  return Mark<v1::PinBlockRequest, v1::PinBlockResponse>(context, &Stub::PinBlock, block, "pinned");
}

absl::StatusOr<Frame> Unpin(const Context& context, const std::string& block) {
  return Mark<v1::UnpinBlockRequest, v1::UnpinBlockResponse>(context, &Stub::UnpinBlock, block,
                                                             "unpinned");
}

absl::StatusOr<Frame> Promote(const Context& context, const Move& move) {
  return MoveBlock<v1::PromoteBlockRequest, v1::PromoteBlockResponse>(context, &Stub::PromoteBlock,
                                                                      move);
}

absl::StatusOr<Frame> Demote(const Context& context, const Move& move) {
  return MoveBlock<v1::DemoteBlockRequest, v1::DemoteBlockResponse>(context, &Stub::DemoteBlock,
                                                                    move);
}

// Returns the --to option.
CLI::Option* AddMove(CLI::App& app, Selection& selection, const char* name, const char* description,
                     absl::StatusOr<Frame> (*command)(const Context&, const Move&),
                     std::shared_ptr<Move> move) {
  CLI::App* sub = app.add_subcommand(name, description);
  sub->add_option("BLOCK", move->block, "Number, MODEL/NAME or NAME")->required();
  AddDuration(*sub, "--deadline", move->deadline, "Longest wait for the move (30s)");
  sub->fallthrough()->callback([&selection, move, command] {
    selection = {[move, command](const Context& c) { return command(c, *move); }, false};
  });
  return sub->add_option("--to", move->to, "State to move it to");
}

}  // namespace

void AddBlockCommands(CLI::App& app, Selection& selection) {
  AddBlocks(app, selection);
  AddNamed(app, selection, "block", "One block and its copies", Block, true);
  AddNamed(app, selection, "explain", "Every figure behind what is done with a block", Explain,
           true);
  AddNamed(app, selection, "pin", "Keep a block where it is until unpinned", Pin, false);
  AddNamed(app, selection, "unpin", "Let the policy move a pinned block again", Unpin, false);

  auto promote = std::make_shared<Move>();
  promote->to = "S0";
  AddMove(app, selection, "promote", "Bring a block closer to the engine", Promote, promote)
      ->check(CLI::IsMember({"S0", "S1", "S2", "S3", "S4"}, CLI::ignore_case))
      ->capture_default_str();
  AddMove(app, selection, "demote", "Let a block go to a colder state", Demote,
          std::make_shared<Move>())
      ->required()
      ->check(CLI::IsMember({"S1", "S2", "S3", "S4", "S6"}, CLI::ignore_case));
}

}  // namespace residency::ctl
