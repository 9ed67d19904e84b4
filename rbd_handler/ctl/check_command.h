// SPDX-License-Identifier: Apache-2.0
// tcmu-rbdctl check: finds the facts (preflight/probes.h), prints the findings
// (preflight/checks.h).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/config.h"

namespace tcmurbd {

struct CheckOptions {
  std::string config = kConfigPathDefault;
  bool config_named = false;            // Then it must exist.
  std::optional<std::string> socket{};  // Absent: that of the settings.
  std::vector<std::string> images{};    // dev_configs without a device.
  int timeout_s = 30;
  bool as_json = false;
};

// Works with and without a running daemon, and changes nothing; waits for the cluster no longer
// than the timeout. Returns 1 if an --image is wrong. Otherwise it ends the process itself, since
// threads may hang in librados: status 1 after a FAIL, else 0.
int check_gateway(const CheckOptions& options);

}  // namespace tcmurbd
