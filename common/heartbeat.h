// SPDX-License-Identifier: Apache-2.0
// Notices that a loop did not run for a while: its process was stopped, the machine suspended or
// starved. The loop calls beat() every kPeriod. Pure: time is passed in, of boot_now().
#pragma once

#include <optional>
#include <utility>

#include "common/units.h"

namespace tcmurbd {

class Heartbeat {
 public:
  static constexpr Duration kPeriod = std::chrono::milliseconds(500);
  // Longer than a busy machine delays a timer, shorter than what hosts and peers take for dead.
  static constexpr Duration kAway = std::chrono::seconds(2);

  explicit Heartbeat(Duration now) : last_(now) {}

  // The gap since the beat before, if the loop was away.
  std::optional<Duration> beat(Duration now) {
    const Duration gap = now - std::exchange(last_, now);
    return gap > kAway ? std::optional(gap) : std::nullopt;
  }

 private:
  Duration last_;
};

}  // namespace tcmurbd
