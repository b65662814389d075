// Blocks in a table, and one block with its copies.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/ctl/format.h"
#include "client/ctl/names.h"
#include "client/ctl/render.h"
#include "client/ctl/table.h"

namespace residency::ctl {
namespace {

std::string Size(uint64_t bytes, const View& view) {
  return view.wide ? absl::StrCat(bytes) : FormatSize(bytes);
}

std::string Index(int32_t index) { return index < 0 ? "-" : absl::StrCat(index); }

Paint StatePaint(v1::ResidencyState state) {
  switch (state) {
    case v1::RESIDENCY_STATE_S0_FULL_HBM:
      return Paint::kGood;
    case v1::RESIDENCY_STATE_S5_IN_FLIGHT:
      return Paint::kWarning;
    case v1::RESIDENCY_STATE_S6_RECOMPUTABLE:
      return Paint::kFaint;
    default:
      return Paint::kPlain;
  }
}

Cell StateCell(const v1::BlockInfo& block) {
  if (block.lost()) return Cell("lost", Paint::kBad);
  std::string text = StateName(block.state());
  if (block.state() == v1::RESIDENCY_STATE_S5_IN_FLIGHT) {
    absl::StrAppend(&text, " ", EdgeName(block.in_flight_from(), block.in_flight_to()));
  }
  return Cell(std::move(text), StatePaint(block.state()));
}

std::string CopyPools(const v1::BlockInfo& block) {
  std::string out;
  for (const v1::CopyInfo& copy : block.copies()) {
    absl::StrAppend(&out, out.empty() ? "" : ",", copy.pool());
    if (copy.status() != "live") absl::StrAppend(&out, "(", copy.status(), ")");
  }
  return out.empty() ? "-" : out;
}

// What an encoding can do for the block, with the figure measured for it once there is one.
std::string Eligible(const std::string& what, float figure, const char* label) {
  std::string text = what.empty() ? "-" : what;
  if (figure > 0) absl::StrAppend(&text, label, FormatFigure(figure, 3));
  return text;
}

std::string Measured(float figure) { return figure > 0 ? FormatFigure(figure, 3) : "-"; }

Table BlockFields(const v1::BlockInfo& block, const View& view) {
  Table fields({{"FIELD"}, {"VALUE"}});
  Cell state = StateCell(block);
  absl::StrAppend(&state.text, "  ",
                  block.lost() ? "no copy and no recipe: put its bytes again"
                               : StateDescription(block.state()));
  fields.AddRow({"state", state});
  fields.AddRow({"model", absl::StrCat(block.model(), " (", block.model_id(), ")")});
  fields.AddRow({"size", view.wide ? absl::StrCat(block.bytes())
                                   : absl::StrCat(FormatSize(block.bytes()), " (", block.bytes(),
                                                  " bytes)")});
  fields.AddRow({"role", absl::StrCat(RoleName(block.role()), ", layer ", Index(block.layer()),
                                      ", expert ", Index(block.expert()))});
  fields.AddRow({"recipe", block.recipe().empty() ? "none" : block.recipe()});
  if (!block.layout().empty()) fields.AddRow({"layout", block.layout()});
  fields.AddRow({"elements", ElementTypeName(block.element_type())});
  fields.AddRow({"low-bit", Eligible(block.lowbit(), block.lowbit_error(), ", relative error ")});
  fields.AddRow(
      {"compressed", Eligible(block.compressed(), block.compression_ratio(), ", ratio ")});
  fields.AddRow({"leases", absl::StrCat(block.leases(), ", pins ", block.pins())});
  fields.AddRow({"criticality", absl::StrCat(FormatFigure(block.criticality(), 6), ", sensitivity ",
                                             FormatFigure(block.sensitivity(), 6))});
  fields.AddRow({"domain", absl::StrCat(block.domain())});
  return fields;
}

Table Copies(const v1::BlockInfo& block, const View& view) {
  Table copies({{"POOL"},
                {"TIER"},
                {"ENCODING"},
                {"STATUS"},
                {"SIZE", Align::kRight},
                {"LEASES", Align::kRight},
                {"SLOT", Align::kRight},
                {"GEN", Align::kRight},
                {"OFFSET", Align::kRight},
                {"CHECKSUM", Align::kRight}});
  for (const v1::CopyInfo& copy : block.copies()) {
    copies.AddRow(
        {copy.pool(), TierName(copy.tier()), EncodingName(copy.encoding()),
         Cell(copy.status(), copy.status() == "quarantined" ? Paint::kBad : Paint::kPlain),
         Size(copy.length(), view), absl::StrCat(copy.leases()), absl::StrCat(copy.slot()),
         absl::StrCat(copy.generation()), absl::StrCat(copy.offset()),
         absl::StrFormat("%016x", copy.checksum())});
  }
  return copies;
}

bool OfOneModel(const v1::ListBlocksResponse& blocks) {
  for (const v1::BlockInfo& block : blocks.blocks()) {
    if (block.model_id() != blocks.blocks(0).model_id()) return false;
  }
  return true;
}

}  // namespace

std::string RenderBlocks(const v1::ListBlocksResponse& blocks, const View& view) {
  // On a narrow terminal names need the room: one model need not be named again and again, and
  // names mostly say layer and expert.
  const bool models = !view.narrow() || !OfOneModel(blocks);
  std::vector<Column> columns = {{"ID", Align::kRight}};
  if (models) columns.push_back({"MODEL", Align::kLeft, true, true});
  columns.insert(columns.end(),
                 {{"NAME", Align::kLeft, true, true}, {"STATE"}, {"SIZE", Align::kRight}});
  if (!view.narrow()) {
    columns.insert(columns.end(), {{"LAYER", Align::kRight}, {"EXPERT", Align::kRight}});
  }
  columns.insert(columns.end(), {{"ROLE"}, {"LEASES", Align::kRight}, {"PINS", Align::kRight}});
  const bool scored = !blocks.blocks().empty() && blocks.blocks(0).has_k();
  if (scored) {
    columns.push_back({"K", Align::kRight});
    columns.push_back({"R", Align::kRight});
  }
  if (view.wide) {
    columns.push_back({"ELEMENTS"});
    columns.push_back({"LOWBIT"});
    columns.push_back({"ERROR", Align::kRight});
    columns.push_back({"COMPRESSED"});
    columns.push_back({"RATIO", Align::kRight});
    columns.push_back({"CRIT", Align::kRight});
    columns.push_back({"SENS", Align::kRight});
    columns.push_back({"DOMAIN", Align::kRight});
    columns.push_back({"COPIES"});
    columns.push_back({"RECIPE", Align::kLeft, true});
  }
  Table table(std::move(columns));
  for (const v1::BlockInfo& block : blocks.blocks()) {
    std::vector<Cell> row = {absl::StrCat(block.block_id())};
    if (models) row.push_back(block.model());
    row.insert(row.end(), {block.name(), StateCell(block), Size(block.bytes(), view)});
    if (!view.narrow()) row.insert(row.end(), {Index(block.layer()), Index(block.expert())});
    row.insert(row.end(),
               {RoleName(block.role()), absl::StrCat(block.leases()), absl::StrCat(block.pins())});
    if (scored) {
      row.push_back(FormatFigure(block.k(), 4));
      row.push_back(FormatFigure(block.r(), 4));
    }
    if (view.wide) {
      row.push_back(ElementTypeName(block.element_type()));
      row.push_back(block.lowbit().empty() ? "-" : block.lowbit());
      row.push_back(Measured(block.lowbit_error()));
      row.push_back(block.compressed().empty() ? "-" : block.compressed());
      row.push_back(Measured(block.compression_ratio()));
      row.push_back(FormatFigure(block.criticality(), 3));
      row.push_back(FormatFigure(block.sensitivity(), 3));
      row.push_back(absl::StrCat(block.domain()));
      row.push_back(CopyPools(block));
      row.push_back(block.recipe());
    }
    table.AddRow(std::move(row));
  }
  return table.Render(view);
}

std::string RenderBlock(const v1::BlockInfo& block, const View& view) {
  View whole = view;
  whole.width = 0;  // What was asked for by name is shown in full.
  whole.indent = 2;
  View plain = whole;
  plain.headers = false;
  const std::string title = absl::StrCat("block ", block.block_id(), "  ", Printable(block.model()),
                                         "/", Printable(block.name()));
  std::string out = absl::StrCat(view.style.Apply(Paint::kHeading, title), "\n",
                                 BlockFields(block, view).Render(plain));
  const Table copies = Copies(block, view);
  absl::StrAppend(&out, "copies\n", copies.empty() ? "  none\n" : copies.Render(whole));
  return out;
}

}  // namespace residency::ctl
