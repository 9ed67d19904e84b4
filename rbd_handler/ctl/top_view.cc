// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ctl/top_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "rbd_handler/ctl/table.h"
#include "rbd_handler/ctl/terminal.h"
#include "rbd_handler/ctl/units.h"

namespace tcmurbd {

using nlohmann::json;

namespace {

constexpr size_t kBarWidth = 20;

struct Order {
  char key;
  const char* name;
  SortBy sort;
};
constexpr std::array<Order, 6> kOrders{{{'n', "name", SortBy::kName},
                                        {'i', "iops", SortBy::kIops},
                                        {'b', "bytes", SortBy::kBytes},
                                        {'l', "latency", SortBy::kLatency},
                                        {'f', "in-flight", SortBy::kInFlight},
                                        {'o', "oldest", SortBy::kOldest}}};

struct Row {
  std::string name;
  const json* device = nullptr;
  Load load{};
  double in_flight = 0;
  double oldest = -1;
  std::string trouble{};
};

std::vector<Row> rows_of(const json& status, const Loads& loads) {
  std::vector<Row> rows;
  for (const json& device : status.at("devices")) {
    Row row{.name = device.at("name"), .device = &device, .trouble = trouble_of(device)};
    if (const auto load = loads.find(row.name); load != loads.end()) row.load = load->second;
    row.in_flight = device.value("in_flight", 0.0);
    if (const auto oldest = device.find("oldest"); oldest != device.end() && !oldest->is_null())
      row.oldest = oldest->get<double>();
    rows.push_back(std::move(row));
  }
  return rows;
}

double weight(const Row& row, SortBy sort) {
  switch (sort) {
    case SortBy::kName:
      return 0;
    case SortBy::kIops:
      return row.load.ops.value_or(-1);
    case SortBy::kBytes:
      return row.load.bytes.value_or(-1);
    case SortBy::kLatency:
      return row.load.p99.value_or(-1);
    case SortBy::kInFlight:
      return row.in_flight;
    case SortBy::kOldest:
      return row.oldest;
  }
  return 0;
}

void sort_rows(std::vector<Row>& rows, SortBy sort) {
  std::ranges::sort(rows, [sort](const Row& a, const Row& b) {
    const double wa = weight(a, sort);
    const double wb = weight(b, sort);
    return wa != wb ? wa > wb : a.name < b.name;
  });
}

// The share of the largest.
std::string bar(double value, double largest) {
  const double share = largest > 0 ? std::max(0.0, value) / largest : 0;
  return std::string(static_cast<size_t>(std::lround(share * kBarWidth)), '#');
}

std::string head(const json& status, const std::vector<Row>& rows) {
  double ops = 0;
  double bytes = 0;
  for (const Row& row : rows) {
    ops += row.load.ops.value_or(0);
    bytes += row.load.bytes.value_or(0);
  }
  const auto troubled =
      std::ranges::count_if(rows, [](const Row& row) { return !row.trouble.empty(); });
  return fmt::format("tcmu-rbd {}, pid {}: {} LUNs, {} IOPS, {} MB/s, {} in trouble",
                     status.at("version").get<std::string>(), status.at("pid").dump(), rows.size(),
                     human_rate(ops), human_megabytes(bytes), troubled);
}

Style style_of(const Row& row) {
  if (row.trouble.empty()) return Style::kPlain;
  return row.trouble.starts_with("warnings") ? Style::kWarning : Style::kBad;
}

// Cut to so many columns; 0: not.
std::string cut(const std::string& line, size_t columns) {
  if (columns == 0 || width_of(line) <= columns) return line;
  size_t bytes = 0;
  for (size_t seen = 0; bytes < line.size(); ++bytes) {
    const bool begins = (static_cast<unsigned char>(line[bytes]) & 0xc0U) != 0x80U;
    if (begins && seen++ == columns) break;
  }
  return line.substr(0, bytes);
}

}  // namespace

std::optional<SortBy> sort_by_key(char key) {
  for (const Order& order : kOrders)
    if (order.key == key) return order.sort;
  return std::nullopt;
}

std::optional<SortBy> sort_by_name(const std::string& name) {
  for (const Order& order : kOrders)
    if (order.name == name) return order.sort;
  return std::nullopt;
}

std::string top_text(const json& status, const Loads& loads, const Screen& screen) {
  std::vector<Row> rows = rows_of(status, loads);
  sort_rows(rows, screen.sort);
  double largest = 0;
  for (const Row& row : rows) largest = std::max(largest, row.load.ops.value_or(0));
  Table table({{"LUN"},
               {"LOCK"},
               {"R/S", Align::kRight},
               {"W/S", Align::kRight},
               {"MB/s", Align::kRight},
               {"P50", Align::kRight},
               {"P99", Align::kRight},
               {"IN FLIGHT", Align::kRight},
               {"OLDEST", Align::kRight},
               {"IOPS" + std::string(kBarWidth - 4, ' ')},
               {"TROUBLE"}});
  for (const Row& row : rows)
    table.add({row.name, row.device->value("lock", "-"), or_dash(row.load.reads.ops, human_rate),
               or_dash(row.load.writes.ops, human_rate), or_dash(row.load.bytes, human_megabytes),
               or_dash(row.load.p50, human_seconds), or_dash(row.load.p99, human_seconds),
               fmt::format("{:.0f}", row.in_flight), human_seconds(row.oldest),
               bar(row.load.ops.value_or(0), largest), row.trouble.empty() ? "-" : row.trouble});

  std::vector<std::string> lines{cut(head(status, rows), screen.columns)};
  if (screen.keys)
    lines.push_back(
        cut("sort: n)ame i)ops b)ytes l)atency f) in flight o)ldest; q)uit", screen.columns));
  const std::vector<std::string> body = table.lines();
  for (size_t i = 0; i < body.size(); ++i) {
    const Style style = i == 0 ? Style::kTitle : style_of(rows[i - 1]);
    lines.push_back(styled(cut(body[i], screen.columns), style, screen.colours));
  }
  if (screen.rows != 0 && lines.size() >= screen.rows) lines.resize(screen.rows - 1);
  std::string text;
  for (const std::string& line : lines) text += line + '\n';
  return text;
}

}  // namespace tcmurbd
