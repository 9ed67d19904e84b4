// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "rbd_handler/ctl/table.h"
#include "rbd_handler/ctl/units.h"
#include "rbd_handler/ctl/views.h"

namespace tcmurbd {

using nlohmann::json;

namespace {

std::string number(const json& device, const char* name) {
  const auto found = device.find(name);
  return found == device.end() || found->is_null() ? "-" : found->dump();
}

std::string age(const json& device, const char* name) {
  const auto found = device.find(name);
  return found == device.end() || found->is_null() ? "-" : human_seconds(found->get<double>());
}

const Load& load_of(const Loads& loads, const std::string& name) {
  static const Load none;
  const auto found = loads.find(name);
  return found == loads.end() ? none : found->second;
}

}  // namespace

std::string or_dash(const std::optional<double>& value, std::string (*text)(double)) {
  return value ? text(*value) : "-";
}

std::string trouble_of(const json& device) {
  std::string all;
  const auto add = [&all](const std::string& what) { all += (all.empty() ? "" : ", ") + what; };
  if (device.at("state") != "serving") add("not serving");
  const std::string lock = device.value("lock", "");
  if (lock == "stuck" || lock == "fencing" || lock == "reopening") add(lock);
  if (const auto hung = device.value("hung", uint64_t{0}); hung != 0)
    add(fmt::format("hung {}", hung));
  std::string writes = device.value("writes", "served");
  std::ranges::replace(writes, '_', ' ');
  if (writes != "served" && writes != "read only") add(writes);
  if (const size_t warnings = device.value("warnings", json::array()).size(); warnings != 0)
    add(fmt::format("warnings {}", warnings));
  return all;
}

std::string status_text(const json& status, const Loads& loads) {
  std::string text = fmt::format("tcmu-rbd {}, pid {}\n", status.at("version").get<std::string>(),
                                 status.at("pid").dump());
  Table table({{"LUN"},
               {"IMAGE"},
               {"STATE"},
               {"LOCK"},
               {"IOPS", Align::kRight},
               {"MB/s", Align::kRight},
               {"P50", Align::kRight},
               {"P99", Align::kRight},
               {"IN FLIGHT", Align::kRight},
               {"OLDEST", Align::kRight},
               {"TROUBLE"}});
  std::string warnings;
  for (const json& device : status.at("devices")) {
    const std::string name = device.at("name");
    const Load& load = load_of(loads, name);
    const std::string trouble = trouble_of(device);
    table.add({name, device.at("image"), device.at("state"), device.value("lock", "-"),
               or_dash(load.ops, human_rate), or_dash(load.bytes, human_megabytes),
               or_dash(load.p50, human_seconds), or_dash(load.p99, human_seconds),
               number(device, "in_flight"), age(device, "oldest"),
               trouble.empty() ? "-" : trouble});
    for (const json& warning : device.value("warnings", json::array()))
      warnings +=
          printable(fmt::format("{}: warning: {}", name, warning.get<std::string>())) + '\n';
  }
  if (!table.empty()) text += table.text();
  return text + warnings;
}

std::string counters_text(const json& status) {
  std::string text;
  for (const json& device : status.at("devices")) {
    text += printable(fmt::format("{}  {}", device.at("name").get<std::string>(),
                                  device.at("image").get<std::string>())) +
            '\n';
    const json counters = device.value("counters", json::object());
    for (const auto& [name, value] : counters.items())
      if (value != 0) text += fmt::format("    {} {}\n", name, value.dump());
  }
  return text;
}

std::string iostat_text(const json& status, const Loads& loads) {
  std::vector<Column> columns{{"LUN"}};
  for (const char* title : {"r/s", "rMB/s", "r_await", "r_p99", "rareq-sz", "w/s", "wMB/s",
                            "w_await", "w_p99", "wareq-sz", "aqu-sz", "inflight"})
    columns.push_back({title, Align::kRight});
  Table table(std::move(columns));
  for (const json& device : status.at("devices")) {
    const std::string name = device.at("name");
    const Load& load = load_of(loads, name);
    std::vector<std::string> row{name};
    for (const Direction* direction : {&load.reads, &load.writes}) {
      row.push_back(or_dash(direction->ops, human_rate));
      row.push_back(or_dash(direction->bytes, human_megabytes));
      row.push_back(or_dash(direction->mean, human_seconds));
      row.push_back(or_dash(direction->p99, human_seconds));
      const bool some = direction->ops.value_or(0) > 0 && direction->bytes;
      row.push_back(some ? human_bytes(static_cast<uint64_t>(*direction->bytes / *direction->ops))
                         : "-");
    }
    row.push_back(or_dash(load.queue, human_rate));
    row.push_back(number(device, "in_flight"));
    table.add(std::move(row));
  }
  return table.text();
}

}  // namespace tcmurbd
