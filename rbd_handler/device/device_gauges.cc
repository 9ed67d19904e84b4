// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/device/device_gauges.h"

#include <algorithm>

#include "rbd_handler/device/device.h"

namespace tcmurbd {

using task::Task;
using task::TaskState;

namespace {

// The kernel gives data areas out in pages.
constexpr uint64_t kDataBlock = 4096;

bool is_answered(const Task& task) {
  return task.state() == TaskState::kDetached || task.state() == TaskState::kOrphaned;
}

void add(DeviceGauges& gauges, const Task& task, TimePoint now) {
  if (is_answered(task)) {
    ++gauges.detached;
    gauges.oldest_detached = std::max(gauges.oldest_detached, now - task.answered);
  } else if (task.copy == 0) {
    ++gauges.in_flight;
    // A copy may take long.
    if (task.state() != TaskState::kCopying)
      gauges.oldest = std::max(gauges.oldest, now - task.queued);
  }
  if (task.copy == 0 && (!is_answered(task) || task.buffer_kept))
    gauges.data_used += (task.entry.data_length + kDataBlock - 1) / kDataBlock * kDataBlock;
  if (!hangs(task, now)) return;
  ++gauges.hung;
  if (gauges.hung_ranges.size() < kHungRangesMax)
    gauges.hung_ranges.push_back(task.plan.ops.front().range);
}

}  // namespace

bool hangs(const Task& task, TimePoint now) {
  return task.ops_pending != 0 && now - task.submitted >= kHangToldAfter;
}

DeviceGauges Device::gauges(TimePoint now) const {
  const ring::Usage ring = ring_.usage();
  DeviceGauges gauges{.counters = counters_,
                      .latency = latency_,
                      .lock = lock_state(),
                      .writes = writes(now),
                      .bytes = disk_.blocks * disk_.block_size,
                      .ring_used = ring.used,
                      .ring_bytes = ring.ring_bytes,
                      .data_bytes = ring.data_bytes};
  tasks_.for_each([&](task::TaskId id) { add(gauges, tasks_[id], now); });
  return gauges;
}

}  // namespace tcmurbd
