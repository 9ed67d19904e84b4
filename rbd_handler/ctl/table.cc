// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ctl/table.h"

#include <algorithm>

#include "common/check.h"
#include "rbd_handler/ctl/units.h"

namespace tcmurbd {

void Table::add(std::vector<std::string> cells) {
  CHECK(cells.size() == columns_.size());
  for (std::string& cell : cells) cell = printable(cell);
  rows_.push_back(std::move(cells));
}

std::string Table::line(const std::vector<std::string>& cells,
                        const std::vector<size_t>& widths) const {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) {
    const std::string padding(widths[i] - width_of(cells[i]), ' ');
    if (i != 0) line += "  ";
    line += columns_[i].align == Align::kRight ? padding + cells[i] : cells[i] + padding;
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

std::vector<std::string> Table::lines() const {
  std::vector<std::string> titles;
  std::vector<size_t> widths;
  for (const Column& column : columns_) {
    titles.push_back(column.title);
    widths.push_back(width_of(column.title));
  }
  for (const auto& row : rows_)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  std::vector<std::string> lines{line(titles, widths)};
  for (const auto& row : rows_) lines.push_back(line(row, widths));
  return lines;
}

std::string Table::text() const {
  std::string text;
  for (const std::string& each : lines()) text += each + '\n';
  return text;
}

}  // namespace tcmurbd
