// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/preflight/checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "rbd_handler/preflight/check_parts.h"

namespace tcmurbd::preflight {
namespace {

constexpr std::array kChecks{
    Check{"settings", check_settings},   Check{"kernel", check_kernel},
    Check{"module", check_module},       Check{"configfs", check_configfs},
    Check{"aborts", check_aborts},       Check{"kept-buffers", check_kept_buffers},
    Check{"handlers", check_handlers},   Check{"daemon", check_daemon},
    Check{"limits", check_limits},       Check{"devices", check_devices},
    Check{"data-area", check_data_area}, Check{"reservations", check_reservations},
    Check{"clients", check_clients},     Check{"images", check_images},
    Check{"gateways", check_gateways},
};
constexpr size_t kNameWidth = 12;

}  // namespace

std::vector<Finding> findings(const Facts& facts) {
  std::vector<Finding> all;
  for (const Check& check : kChecks) {
    for (Finding& finding : check.run(facts)) {
      finding.check = check.name;
      all.push_back(std::move(finding));
    }
  }
  return all;
}

std::vector<std::string_view> check_names() {
  std::vector<std::string_view> names;
  names.reserve(kChecks.size());
  for (const Check& check : kChecks) names.push_back(check.name);
  return names;
}

Level worst(const std::vector<Finding>& all) {
  Level level = Level::kOk;
  for (const Finding& finding : all) level = std::max(level, finding.level);
  return level;
}

std::string_view level_name(Level level) {
  switch (level) {
    case Level::kOk:
      return "OK";
    case Level::kWarn:
      return "WARN";
    case Level::kFail:
      return "FAIL";
  }
  return "";
}

std::string as_text(const std::vector<Finding>& all) {
  std::string text;
  std::array<size_t, 3> count{};
  for (const Finding& finding : all) {
    ++count[static_cast<size_t>(finding.level)];
    text += fmt::format("{:<4}  {:<{}}  {}", level_name(finding.level), finding.check, kNameWidth,
                        finding.found);
    if (!finding.action.empty()) text += "; " + finding.action;
    text += '\n';
  }
  return text + fmt::format("{} OK, {} WARN, {} FAIL\n", count[0], count[1], count[2]);
}

std::string as_json(const std::vector<Finding>& all) {
  nlohmann::json list = nlohmann::json::array();
  for (const Finding& finding : all)
    list.push_back({{"check", finding.check},
                    {"level", level_name(finding.level)},
                    {"found", finding.found},
                    {"action", finding.action}});
  const nlohmann::json result{{"result", level_name(worst(all))}, {"findings", std::move(list)}};
  // Names come from configfs and the cluster: any bytes, not always UTF-8.
  return result.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace tcmurbd::preflight
