// SPDX-License-Identifier: Apache-2.0
// Which format a client wants.
#include <algorithm>
#include <cctype>
#include <charconv>

#include "rbd_handler/metrics/exposition.h"

namespace tcmurbd::metrics {

namespace {

constexpr std::string_view kOpenMetrics = "application/openmetrics-text";

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// Up to `mark`, which is removed too; all of it if there is none.
std::string_view take(std::string_view& text, char mark) {
  const size_t end = std::min(text.find(mark), text.size());
  const std::string_view part = trim(text.substr(0, end));
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) ==
           std::tolower(static_cast<unsigned char>(y));
  });
}

// One media range: its type and weight. A version of OpenMetrics that is not spoken here has none.
struct Range {
  std::string_view type;
  double weight = 1;
};

Range parse_range(std::string_view text) {
  Range range{.type = take(text, ';')};
  const bool open_metrics = equal_ignoring_case(range.type, kOpenMetrics);
  while (!text.empty()) {
    std::string_view parameter = take(text, ';');
    const std::string_view name = take(parameter, '=');
    const std::string_view value = trim(parameter);
    if (equal_ignoring_case(name, "q")) {
      double weight = 0;
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), weight);
      range.weight = error == std::errc{} && weight >= 0 && weight <= 1 ? weight : 0;
    } else if (open_metrics && equal_ignoring_case(name, "version") && value != "1.0.0") {
      return {.type = range.type, .weight = 0};
    }
  }
  return range;
}

}  // namespace

std::string_view content_type(Format format) {
  return format == Format::kOpenMetrics
             ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
             : "text/plain; version=0.0.4; charset=utf-8";
}

Format negotiate(std::string_view accept) {
  double open_metrics = 0;
  double text = 0;
  while (!accept.empty()) {
    const Range range = parse_range(take(accept, ','));
    if (equal_ignoring_case(range.type, kOpenMetrics))
      open_metrics = std::max(open_metrics, range.weight);
    if (equal_ignoring_case(range.type, "text/plain")) text = std::max(text, range.weight);
  }
  return open_metrics > 0 && open_metrics >= text ? Format::kOpenMetrics : Format::kText;
}

}  // namespace tcmurbd::metrics
