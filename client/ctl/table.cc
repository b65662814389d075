#include "client/ctl/table.h"

#include <algorithm>
#include <cstdlib>

#include "client/ctl/format.h"

namespace residency::ctl {
namespace {

constexpr size_t kGap = 2;
constexpr size_t kMinElasticWidth = 8;

size_t LineWidth(const std::vector<size_t>& widths, size_t indent) {
  size_t total = indent;
  for (size_t w : widths) total += w;
  return widths.empty() ? total : total + kGap * (widths.size() - 1);
}

}  // namespace

void Table::AddRow(std::vector<Cell> cells) {
  if (cells.size() != columns_.size()) std::abort();  // Our own bug: a renderer miscounted.
  for (Cell& cell : cells) cell.text = Printable(cell.text);
  rows_.push_back(std::move(cells));
}

std::vector<size_t> Table::Widths(const View& view) const {
  std::vector<size_t> widths(columns_.size(), 0);
  for (size_t c = 0; c < columns_.size(); ++c) {
    if (view.headers) widths[c] = DisplayWidth(columns_[c].header);
    for (const auto& row : rows_) widths[c] = std::max(widths[c], DisplayWidth(row[c].text));
  }
  if (view.width == 0) return widths;
  for (size_t line = LineWidth(widths, view.indent); line > view.width; --line) {
    size_t* widest = nullptr;
    for (size_t c = 0; c < columns_.size(); ++c) {
      if (!columns_[c].elastic || widths[c] <= kMinElasticWidth) continue;
      if (widest == nullptr || widths[c] > *widest) widest = &widths[c];
    }
    if (widest == nullptr) break;
    --*widest;
  }
  return widths;
}

std::string Table::RenderRow(const std::vector<Cell>& cells, const std::vector<size_t>& widths,
                             const View& view) const {
  const size_t limit = view.width == 0 ? SIZE_MAX : view.width;
  std::string line(view.indent, ' ');
  size_t used = view.indent;
  size_t owed = 0;  // Padding that is written only if something follows: no trailing spaces.
  for (size_t c = 0; c < cells.size(); ++c) {
    if (c > 0) owed += kGap;
    std::string text = columns_[c].keep_end ? TruncateFront(cells[c].text, widths[c])
                                            : Truncate(cells[c].text, widths[c]);
    const size_t padding = widths[c] - DisplayWidth(text);
    if (columns_[c].align == Align::kRight) owed += padding;
    if (!text.empty()) {
      if (used + owed >= limit) break;
      line.append(owed, ' ');
      used += owed;
      owed = 0;
      text = Truncate(text, limit - used);
      line += view.style.Apply(cells[c].paint, text);
      used += DisplayWidth(text);
    }
    if (columns_[c].align == Align::kLeft) owed += padding;
  }
  return line + "\n";
}

std::string Table::Render(const View& view) const {
  const std::vector<size_t> widths = Widths(view);
  std::string out;
  if (view.headers) {
    std::vector<Cell> heads;
    for (const Column& column : columns_) heads.emplace_back(column.header, Paint::kHeading);
    out += RenderRow(heads, widths, view);
  }
  for (const auto& row : rows_) out += RenderRow(row, widths, view);
  return out;
}

}  // namespace residency::ctl
