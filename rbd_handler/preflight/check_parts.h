// SPDX-License-Identifier: Apache-2.0
// The rows of the table in checks.cc, by subject. Findings have no name yet; the table gives it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "rbd_handler/preflight/checks.h"

namespace tcmurbd::preflight {

using Findings = std::vector<Finding>;

inline Finding ok(std::string found) { return {.level = Level::kOk, .found = std::move(found)}; }
inline Finding warn(std::string found, std::string action) {
  return {.level = Level::kWarn, .found = std::move(found), .action = std::move(action)};
}
inline Finding fail(std::string found, std::string action) {
  return {.level = Level::kFail, .found = std::move(found), .action = std::move(action)};
}

// host_checks.cc
Findings check_settings(const Facts& facts);
Findings check_kernel(const Facts& facts);
Findings check_module(const Facts& facts);
Findings check_configfs(const Facts& facts);
Findings check_aborts(const Facts& facts);
Findings check_kept_buffers(const Facts& facts);
Findings check_limits(const Facts& facts);
Findings check_daemon(const Facts& facts);
Findings check_handlers(const Facts& facts);

// device_checks.cc
Findings check_devices(const Facts& facts);
Findings check_reservations(const Facts& facts);
Findings check_data_area(const Facts& facts);

// cluster_checks.cc
Findings check_clients(const Facts& facts);
Findings check_images(const Facts& facts);
Findings check_gateways(const Facts& facts);

}  // namespace tcmurbd::preflight
