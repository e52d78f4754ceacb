#pragma once

// Text in aligned columns. Pure: rows in, string out.

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "tools/assentctl/style.h"

namespace assent::ctl {

struct Cell {
  Cell(std::string cell_text, Tone cell_tone = Tone::kPlain)  // NOLINT: implicit on purpose
      : text(std::move(cell_text)), tone(cell_tone) {}
  Cell(const char* cell_text) : text(cell_text) {}  // NOLINT: likewise

  std::string text;  // made Visible() when rendered
  Tone tone = Tone::kPlain;
};

class Table {
 public:
  // An empty header line is left out.
  explicit Table(std::vector<std::string> header = {});
  void Add(std::vector<Cell> row);
  // A line below the last row, cut to the terminal's width: what has no room in a column.
  void AddBelow(Cell note);
  // What the last column has to leave to the others.
  std::size_t ColumnsBeforeLast() const;
  bool empty() const { return rows_.empty(); }
  // Columns two spaces apart; the last one is not padded, and is cut to the terminal's width. A
  // column (never the first) that is empty in each row is left out.
  std::string Render(const Style& style, std::string_view indent = "") const;

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<Cell>> rows_;
  std::map<std::size_t, Cell> below_;  // by row
};

}  // namespace assent::ctl
