// SPDX-License-Identifier: Apache-2.0
// Rows of text with aligned columns, two spaces apart. Pure, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tcmurbd {

enum class Align : uint8_t { kLeft, kRight };

struct Column {
  std::string title;
  Align align = Align::kLeft;
};

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  // REQUIRES: as many cells as columns. Control characters are made harmless.
  void add(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  // The titles, then the rows, each without spaces at its end.
  std::vector<std::string> lines() const;
  // The lines with their ends.
  std::string text() const;

 private:
  std::string line(const std::vector<std::string>& cells, const std::vector<size_t>& widths) const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace tcmurbd
