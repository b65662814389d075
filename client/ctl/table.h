// Rows under aligned columns, two spaces apart. Cells are made printable here, so callers may pass
// names as they came from the wire.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "client/ctl/style.h"
#include "client/ctl/view.h"

namespace residency::ctl {

enum class Align { kLeft, kRight };

struct Column {
  std::string header;
  Align align = Align::kLeft;
  bool elastic = false;   // May be cut, "~" where, to fit the terminal.
  bool keep_end = false;  // Cut at its beginning: names differ at their ends.
};

struct Cell {
  Cell(std::string t, Paint p = Paint::kPlain) : text(std::move(t)), paint(p) {}  // NOLINT
  Cell(const char* t) : text(t) {}                                                // NOLINT
  std::string text;
  Paint paint = Paint::kPlain;
};

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // REQUIRES: one cell per column.
  void AddRow(std::vector<Cell> cells);

  bool empty() const { return rows_.empty(); }

  // Every line ends in a newline. Where view.width is set, elastic columns shrink first, widest
  // first; a line still too long loses its end.
  std::string Render(const View& view) const;

 private:
  std::vector<size_t> Widths(const View& view) const;
  std::string RenderRow(const std::vector<Cell>& cells, const std::vector<size_t>& widths,
                        const View& view) const;

  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace residency::ctl
