// SPDX-License-Identifier: Apache-2.0
// An ABORT TASK on each of many LUNs at once, while all of them have a load.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "tests/bench/native/load.h"

namespace tcmurbd::bench {

// By device; all run from one thread.
using Loads = std::vector<std::unique_ptr<Load>>;

struct AbortOutcome {
  size_t aborts = 0;
  size_t good = 0;       // Aborted commands that were completed with GOOD all the same.
  double median_ms = 0;  // From the first abort to the end of an aborted command.
  double last_ms = 0;
  uint64_t failed = 0;  // Other commands with a status that is not GOOD.
};

// `warm`: how long the load runs before the aborts. `notified`: see Load::abort_newest. Throws
// std::runtime_error if the daemon ends, or if an aborted command does not end within 30 s.
AbortOutcome abort_on_all(Loads& loads, const Case& what, std::chrono::duration<double> warm,
                          bool notified);

}  // namespace tcmurbd::bench
