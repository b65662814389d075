// Commands about blocks: blocks, block, explain, pin, unpin, promote, demote.
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/ctl/block_query.h"
#include "client/ctl/cli.h"
#include "client/ctl/command.h"
#include "client/ctl/format.h"
#include "client/ctl/names.h"
#include "client/ctl/near_names.h"
#include "client/ctl/render.h"

namespace residency::ctl {
namespace {

using Stub = OperatorClient::Stub;

struct Move {
  std::string block;
  std::string to;
  absl::Duration deadline = absl::Seconds(30);
};

// Adds to the daemon's "not found" what may have been meant, and where to look.
absl::Status BlockError(const Context& context, const std::string& block,
                        const absl::Status& status) {
  if (!absl::IsNotFound(status)) return status;
  const std::vector<std::string> near = NearBlocks(context.client, block);
  return absl::NotFoundError(absl::StrCat(std::string(status.message()),
                                          near.empty() ? "" : "\ndid you mean ",
                                          absl::StrJoin(near, ", "), near.empty() ? "" : "?",
                                          "\n'residencyctl blocks --name TEXT' finds blocks"));
}

absl::StatusOr<Frame> Blocks(const Context& context, const BlockQuery& query) {
  absl::StatusOr<v1::ListBlocksResponse> blocks = FetchBlocks(context, query);
  if (!blocks.ok()) return blocks.status();
  Frame frame{context.Show(*blocks, RenderBlocks), ExitCode::kOk, ""};
  if (!blocks->next_page_token().empty()) {
    const std::string of =
        blocks->matched() > 0 ? absl::StrCat(" of ", FormatCount(blocks->matched())) : "";
    frame.error = absl::StrCat("residencyctl: showed the first ", blocks->blocks_size(), of,
                               " blocks; --limit 0 shows all\n");
  }
  return frame;
}

absl::StatusOr<Frame> Block(const Context& context, const std::string& block) {
  v1::GetBlockRequest request;
  request.set_block(block);
  absl::StatusOr<v1::GetBlockResponse> response = context.client.Call(&Stub::GetBlock, request);
  if (!response.ok()) return BlockError(context, block, response.status());
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
  if (!response.ok()) return BlockError(context, block, response.status());
  return Frame{context.Show(*response, RenderExplain), ExitCode::kOk, ""};
}

// Pin and unpin: a request that names a block, an answer without content.
template <typename Request, typename Response>
absl::StatusOr<Frame> Mark(const Context& context, OperatorClient::Method<Request, Response> method,
                           const std::string& block, const char* done) {
  Request request;
  request.set_block(block);
  absl::StatusOr<Response> response = context.client.Call(method, request);
  if (!response.ok()) return BlockError(context, block, response.status());
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
  if (!response.ok()) return BlockError(context, move.block, response.status());
  const auto render = [&move](const Response& message, const View&) {
    return absl::StrCat("block ", Printable(move.block), " is in ", StateName(message.state()),
                        "\n");
  };
  return Frame{context.Show(*response, render), ExitCode::kOk, ""};
}

void AddBlocks(CLI::App& app, Selection& selection) {
  CLI::App* list = app.add_subcommand("blocks", "List blocks; all conditions given must hold");
  auto query = std::make_shared<BlockQuery>();
  AddBlockOptions(*list, *query);
  list->fallthrough()->callback([&selection, query] {
    selection = {[query](const Context& c) { return Blocks(c, *query); }, true};
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
