// SPDX-License-Identifier: Apache-2.0
// Detects that a loop did not run for a while: its process was stopped, or the machine was
// suspended or overloaded. The loop calls beat() every kPeriod. Pure: the time (of boot_now()) is
// an argument.
#pragma once

#include <optional>
#include <utility>

#include "common/units.h"

namespace tcmurbd {

class Heartbeat {
 public:
  static constexpr Duration kPeriod = std::chrono::milliseconds(500);
  // Longer than timer delays on a busy machine, shorter than the timeouts of hosts and peers.
  static constexpr Duration kAway = std::chrono::seconds(2);

  explicit Heartbeat(Duration now) : last_(now) {}

  // The time since the last beat, if it is longer than kAway.
  std::optional<Duration> beat(Duration now) {
    const Duration gap = now - std::exchange(last_, now);
    return gap > kAway ? std::optional(gap) : std::nullopt;
  }

 private:
  Duration last_;
};

}  // namespace tcmurbd
