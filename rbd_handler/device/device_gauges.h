// SPDX-License-Identifier: Apache-2.0
// The state of a LUN at one moment in numbers, for metrics. Plain values, made by the Device on its
// reactor.
#pragma once

#include <cstdint>
#include <vector>

#include "common/units.h"
#include "rbd_handler/device/device_counters.h"
#include "rbd_handler/device/device_latency.h"
#include "rbd_handler/device/writes_state.h"
#include "rbd_handler/lock/lock_state.h"
#include "rbd_handler/task/task_table.h"

namespace tcmurbd {

struct DeviceGauges {
  DeviceCounters counters;
  DeviceLatency latency;
  lock::State lock = lock::State::kUnowned;
  WritesState writes = WritesState::kServed;
  uint64_t bytes = 0;          // Of the disk.
  uint32_t in_flight = 0;      // Commands without an answer.
  uint32_t detached = 0;       // Answered ones whose ops have not ended.
  Duration oldest{};           // The age of the oldest command without an answer, but for copies,
  Duration oldest_detached{};  // and the time since the answer of the oldest detached one.
  // Commands whose ops hang, answered or not: see hangs().
  uint32_t hung = 0;
  std::vector<ByteRange> hung_ranges{};  // Of their first ops; kHungRangesMax at most.
  uint32_t ring_used = 0;                // Bytes, as are the next ones.
  uint32_t ring_bytes = 0;
  uint64_t data_used = 0;  // By commands without an answer and kept buffers, in blocks of 4 KiB.
  uint64_t data_bytes = 0;
};

// Whether it has an op that is in librbd for kHangToldAfter or longer, answered or not.
bool hangs(const task::Task& task, TimePoint now);

// Bounds the questions of where they hang.
inline constexpr size_t kHungRangesMax = 64;

}  // namespace tcmurbd
