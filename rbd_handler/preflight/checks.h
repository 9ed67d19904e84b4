// SPDX-License-Identifier: Apache-2.0
// The preflight checks of a gateway: facts in, findings out. Pure, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "rbd_handler/preflight/facts.h"

namespace tcmurbd::preflight {

enum class Level : uint8_t {
  kOk,
  kWarn,  // It works, with a limit that the operator should know.
  kFail,  // Something is not served, or not safely.
};

struct Finding {
  std::string check{};  // Its name in the table.
  Level level = Level::kOk;
  std::string found{};
  std::string action{};  // Empty for kOk, and where `found` says it.
  bool operator==(const Finding&) const = default;
};

// The table of checks, in the order of their findings. Each has at least one finding.
struct Check {
  std::string_view name;
  std::vector<Finding> (*run)(const Facts& facts);
};
std::vector<Finding> findings(const Facts& facts);
std::vector<std::string_view> check_names();

// The worst of them.
Level worst(const std::vector<Finding>& all);
std::string_view level_name(Level level);  // "OK", "WARN", "FAIL"

// One line for each finding, and one with their numbers.
std::string as_text(const std::vector<Finding>& all);
// {"result": "WARN", "findings": [{"check", "level", "found", "action"}, ...]}
std::string as_json(const std::vector<Finding>& all);

}  // namespace tcmurbd::preflight
