// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ctl/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace tcmurbd {

std::string human_seconds(double seconds) {
  constexpr double kMinute = 60;
  constexpr double kHour = 60 * kMinute;
  constexpr double kDay = 24 * kHour;
  if (!(seconds >= 0)) return "-";
  // The limits are those at which the rounded figure would get another digit.
  if (seconds < 0.0009995) return fmt::format("{:.0f}us", 1e6 * seconds);
  if (seconds < 0.9995) return fmt::format("{:.3g}ms", 1e3 * seconds);
  if (seconds < 59.95) return fmt::format("{:.1f}s", seconds);
  const auto parts = [seconds](double big, double small, const char* names) {
    const double whole = std::floor(seconds / big);
    return fmt::format("{:.0f}{}{:02.0f}{}", whole, names[0],
                       std::floor((seconds - whole * big) / small), names[1]);
  };
  if (seconds < kHour) return parts(kMinute, 1, "ms");
  if (seconds < kDay) return parts(kHour, kMinute, "hm");
  return parts(kDay, kHour, "dh");
}

std::string human_bytes(uint64_t bytes) {
  constexpr std::array kUnits{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  const bool whole = value == std::floor(value) || value >= 100;
  return fmt::format("{:.{}f} {}", value, whole ? 0 : 1, kUnits.at(unit));
}

std::string human_rate(double rate) {
  if (rate == 0) return "0";
  const int digits = rate < 0.995 ? 2 : rate < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f}", rate, digits);
}

std::string human_megabytes(double bytes) { return human_rate(bytes / 1e6); }

std::string printable(std::string_view text) {
  std::string safe(text);
  std::ranges::replace_if(safe, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return safe;
}

size_t width_of(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](unsigned char c) { return (c & 0xc0U) != 0x80U; }));
}

std::string wrap(std::string_view text, size_t width) {
  std::string lines;
  size_t column = 0;
  while (!text.empty()) {
    const size_t space = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, space);
    text.remove_prefix(std::min(space + 1, text.size()));
    if (word.empty()) continue;
    const size_t length = width_of(word);
    if (column != 0 && column + 1 + length > width) {
      lines += '\n';
      column = 0;
    }
    if (column != 0) {
      lines += ' ';
      ++column;
    }
    lines += word;
    column += length;
  }
  return lines + '\n';
}

}  // namespace tcmurbd
