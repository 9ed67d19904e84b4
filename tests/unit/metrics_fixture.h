// SPDX-License-Identifier: Apache-2.0
// Samples of a daemon for tests of its metrics.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "rbd_handler/metrics/samples.h"

namespace tcmurbd::testing {

// A LUN under load: every counter has another number, every operation has latencies.
inline metrics::LunSample busy_lun(uint32_t number) {
  auto device = std::make_shared<DeviceGauges>();
  uint64_t next = 1000 + number;
  for (const DeviceCounter& counter : kDeviceCounters) {
    CounterWords words = words_of(device->counters);
    for (size_t i = 0; i < counter.size(); ++i) words[counter.first + i] = next++;
    device->counters = std::bit_cast<DeviceCounters>(words);
  }
  for (auto* const histograms : {&device->latency.command, &device->latency.image})
    for (LatencyHistogram& histogram : *histograms)
      for (uint64_t us = 20; us < 100'000'000; us *= 3)
        histogram.add(std::chrono::microseconds(us + number));
  device->bytes = uint64_t{number + 1} << 40U;
  device->lock = lock::State::kOwned;
  device->writes = WritesState::kNoLock;
  device->in_flight = 32;
  device->oldest = std::chrono::milliseconds(1500);
  device->ring_bytes = 8U << 20U;
  device->data_bytes = uint64_t{64} << 20U;
  return {.lun = fmt::format("user_0/disk{}", number),
          .pool = "rbd",
          .name_space = "",
          .image = fmt::format("disk{}", number),
          .state = "serving",
          .device = std::move(device),
          .hung = {{"2", true, 3}, {"0", false, 3}, {"unknown", true, 1}}};
}

inline metrics::Sample sample_of(uint32_t luns) {
  metrics::Sample sample{.version = "0.1.0", .kernel = "6.1.0"};
  for (uint32_t i = 0; i < luns; ++i) sample.luns.push_back(busy_lun(i));
  sample.reactor_cpu_seconds = {1.5, 2};
  sample.process = metrics::ProcessSample{.cpu_seconds = 12.25,
                                          .resident_bytes = 123456789,
                                          .open_fds = 100,
                                          .max_fds = 1048576,
                                          .threads = 40,
                                          .start_time = 1'700'000'000.5};
  sample.reload_time = 1'700'000'001;
  return sample;
}

}  // namespace tcmurbd::testing
