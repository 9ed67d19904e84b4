// SPDX-License-Identifier: Apache-2.0
// What the metrics are made from: the daemon at one moment. Plain values, any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rbd_handler/device/device_gauges.h"

namespace tcmurbd::metrics {

// Hung commands whose placement group has this OSD in its acting set.
struct HungSample {
  std::string osd;  // "2", or "unknown".
  bool primary = true;
  uint32_t commands = 0;
};

struct LunSample {
  // The labels of all its series: any bytes, since they come from configfs.
  std::string lun;
  std::string pool;
  std::string name_space;
  std::string image;
  std::string_view state{};  // One of kLunStates.
  // Null: its reactor has not answered in time, or it does not serve.
  std::shared_ptr<const DeviceGauges> device{};
  std::vector<HungSample> hung{};
};

inline constexpr std::string_view kLunStates[] = {"opening", "serving", "draining", "closing",
                                                  "closed"};

struct ProcessSample {
  double cpu_seconds = 0;
  uint64_t resident_bytes = 0;
  uint64_t open_fds = 0;
  uint64_t max_fds = 0;
  uint64_t threads = 0;
  double start_time = 0;  // Seconds since the epoch.
};

struct Sample {
  std::string version;
  std::string kernel;  // Its release.
  std::vector<LunSample> luns{};
  uint64_t luns_unanswered = 0;               // Those whose reactor has not answered in time.
  std::vector<double> reactor_cpu_seconds{};  // By reactor; negative: not known.
  std::optional<ProcessSample> process{};
  bool reload_good = true;  // The last reading of the settings,
  double reload_time = 0;   // and when it was, in seconds since the epoch.
};

}  // namespace tcmurbd::metrics
