// SPDX-License-Identifier: Apache-2.0
// How a LUN is to be served. Plain values.
#pragma once

#include <chrono>
#include <string>

#include "rbd_handler/lock/gate.h"
#include "rbd_handler/task/rate_limits.h"

namespace tcmurbd {

struct DeviceSettings {
  // "user_0/disk1", for the probes.
  std::string name{};
  lock::GateSettings gate{};
  // A command that is not answered this long after it was queued is answered BUSY; zero: never. A
  // session that is gone sends no task management, and its host's new login waits for the commands
  // of the old one.
  Duration deadline = std::chrono::seconds(15);
  // A command that takes this long is kept among the slow ones; see SlowLog.
  Duration slow_after = std::chrono::seconds(1);
  // Reads wait for the exclusive lock too, instead of being served without it.
  bool reads_need_lock = false;
  // The device's attrib/cmd_time_out: the kernel answers a command that is older. Zero: never.
  Duration kernel_limit{};
  // The image's QoS limits.
  task::RateLimits limits{};
  // Whether the image can be written here (mirroring), and whether that is safe: see on_safe().
  bool primary = true;
  bool safe = true;
};

}  // namespace tcmurbd
