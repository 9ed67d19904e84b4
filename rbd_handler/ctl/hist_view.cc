// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "rbd_handler/ctl/load.h"
#include "rbd_handler/ctl/table.h"
#include "rbd_handler/ctl/units.h"
#include "rbd_handler/ctl/views.h"

namespace tcmurbd {

using nlohmann::json;

namespace {

constexpr size_t kBarWidth = 40;

struct Kind {
  const char* name;
  const char* title;
};
constexpr std::array<Kind, 2> kKinds{
    {{"command", "from the ring to the answer"}, {"image", "its image ops"}}};

// A full bar is the largest bucket; one that is not empty has a mark at least.
std::string bar(uint64_t count, uint64_t largest) {
  const size_t width =
      static_cast<size_t>(static_cast<double>(count) * kBarWidth / static_cast<double>(largest));
  return std::string(count == 0 ? 0 : std::max<size_t>(width, 1), '#');
}

// The buckets from the first to the last that is not empty. REQUIRES: there is one.
std::string buckets_text(const Histogram& histogram) {
  const auto& buckets = histogram.buckets;
  const auto used = [](uint64_t count) { return count != 0; };
  const size_t first = static_cast<size_t>(std::ranges::find_if(buckets, used) - buckets.begin());
  const size_t last =
      buckets.size() - 1 -
      static_cast<size_t>(std::find_if(buckets.rbegin(), buckets.rend(), used) - buckets.rbegin());
  const auto total =
      static_cast<double>(std::accumulate(buckets.begin(), buckets.end(), uint64_t{0}));
  const uint64_t largest = std::ranges::max(buckets);
  Table table({{"UP TO", Align::kRight}, {"COMMANDS", Align::kRight}, {"%", Align::kRight}, {""}});
  uint64_t below = 0;
  for (size_t i = first; i <= last; ++i) {
    below += buckets[i];
    table.add({i < histogram.bounds.size() ? human_seconds(histogram.bounds[i]) : "more",
               std::to_string(buckets[i]),
               fmt::format("{:.2f}", 100 * static_cast<double>(below) / total),
               bar(buckets[i], largest)});
  }
  return table.text();
}

std::string histogram_text(const std::string& lun, const std::string& operation, const Kind& kind,
                           const Histogram& histogram) {
  return fmt::format("{}  {}, {}: mean {}, p50 {}, p99 {}, p99.9 {}\n{}\n", printable(lun),
                     printable(operation), kind.title, or_dash(histogram.mean(), human_seconds),
                     or_dash(histogram.quantile(0.5), human_seconds),
                     or_dash(histogram.quantile(0.99), human_seconds),
                     or_dash(histogram.quantile(0.999), human_seconds), buckets_text(histogram));
}

bool has_commands(const Histogram& histogram) {
  return std::ranges::any_of(histogram.buckets, [](uint64_t count) { return count != 0; });
}

}  // namespace

std::string hist_text(const json& status) {
  std::string text;
  for (const json& device : status.at("devices")) {
    const auto latency = device.find("latency");
    if (latency == device.end()) continue;
    const auto commands = latency->find("command");
    if (commands == latency->end()) continue;
    for (const auto& [operation, ignored] : commands->items()) {
      for (const Kind& kind : kKinds) {
        const auto found = histogram(status, device, kind.name, operation);
        if (found && has_commands(*found))
          text += histogram_text(device.at("name"), operation, kind, *found);
      }
    }
  }
  return text.empty() ? "no commands yet\n" : text;
}

}  // namespace tcmurbd
