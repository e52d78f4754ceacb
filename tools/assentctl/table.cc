#include "tools/assentctl/table.h"

#include <algorithm>
#include <utility>

#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

// A cut last column is still worth reading at this width; below it lines wrap instead.
constexpr std::size_t kNarrowestColumns = 16;
constexpr char kBelow[] = "    ";

struct Layout {
  std::vector<std::size_t> columns;  // indices of those that are shown
  std::vector<std::size_t> widths;   // by index
};

Layout LayOut(const std::vector<std::string>& header, const std::vector<std::vector<Cell>>& rows) {
  std::size_t count = header.size();
  for (const auto& row : rows) count = std::max(count, row.size());
  Layout layout;
  layout.widths.resize(count);
  for (std::size_t column = 0; column < count; ++column) {
    std::size_t widest = 0;
    for (const auto& row : rows) {
      if (column < row.size()) widest = std::max(widest, Columns(row[column].text));
    }
    if (widest == 0 && column > 0) continue;
    if (column < header.size()) widest = std::max(widest, Columns(header[column]));
    layout.widths[column] = widest;
    layout.columns.push_back(column);
  }
  return layout;
}

std::string Line(const std::vector<Cell>& row, const Layout& layout, const Style& style,
                 std::string_view indent) {
  std::string line(indent);
  std::size_t used = Columns(indent);
  std::size_t pending = 0;  // padding owed before the next cell that is not empty
  for (const std::size_t column : layout.columns) {
    const bool last = column == layout.columns.back();
    std::string text = column < row.size() ? row[column].text : "";
    if (last && style.columns > 0 && !style.wide() &&
        style.columns >= used + pending + kNarrowestColumns) {
      text = Cut(text, style.columns - used - pending);
    }
    const std::size_t width = Columns(text);
    if (width > 0) {
      line.append(pending, ' ');
      line += Paint(text, row[column].tone, style);
      used += pending + width;
      pending = 0;
    }
    pending += layout.widths[column] - std::min(width, layout.widths[column]) + 2;
  }
  return line + "\n";
}

}  // namespace

Table::Table(std::vector<std::string> header) : header_(std::move(header)) {}

void Table::Add(std::vector<Cell> row) {
  for (Cell& cell : row) cell.text = Visible(cell.text);
  rows_.push_back(std::move(row));
}

void Table::AddBelow(Cell note) {
  note.text = Visible(note.text);
  below_.insert_or_assign(rows_.size() - 1, std::move(note));
}

std::size_t Table::ColumnsBeforeLast() const {
  const Layout layout = LayOut(header_, rows_);
  std::size_t columns = 0;
  for (const std::size_t column : layout.columns) {
    if (column != layout.columns.back()) columns += layout.widths[column] + 2;
  }
  return columns;
}

std::string Table::Render(const Style& style, std::string_view indent) const {
  const Layout layout = LayOut(header_, rows_);
  std::string text;
  if (!header_.empty()) {
    std::vector<Cell> titles;
    for (const std::string& title : header_) titles.emplace_back(title, Tone::kDim);
    text += Line(titles, layout, style, indent);
  }
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    text += Line(rows_[i], layout, style, indent);
    const auto note = below_.find(i);
    if (note == below_.end()) continue;
    const std::string margin = std::string(indent) + kBelow;
    const std::string shown = style.columns > margin.size() + kNarrowestColumns
                                  ? Cut(note->second.text, style.columns - margin.size())
                                  : note->second.text;
    text += margin + Paint(shown, note->second.tone, style) + "\n";
  }
  return text;
}

}  // namespace assent::ctl
