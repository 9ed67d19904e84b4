// SPDX-License-Identifier: Apache-2.0
// The counters of a LUN and the list of their names, from which every output is made: a counter
// that is not in the list does not compile. Plain values; the reactor counts, an edge prints.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tcmurbd {

// Since the LUN was opened by this process; they only grow. Reads and writes of an EXTENDED COPY
// are also counted as reads and writes of the LUN that does them.
struct DeviceCounters {
  uint64_t commands = 0;
  uint64_t reads = 0;
  uint64_t read_bytes = 0;
  uint64_t writes = 0;
  uint64_t write_bytes = 0;
  uint64_t zeroings = 0;
  uint64_t zeroed_bytes = 0;
  uint64_t read_errors = 0;
  uint64_t write_errors = 0;
  uint64_t check_conditions = 0;
  uint64_t busy = 0;
  uint64_t image_errors = 0;
  uint64_t range_waits = 0;
  uint64_t lock_waits = 0;
  uint64_t rate_waits = 0;
  uint64_t task_managements = 0;
  uint64_t aborts = 0;
  uint64_t lun_resets = 0;
  uint64_t deadlines = 0;
  uint64_t detaches = 0;
  uint64_t stale = 0;
  uint64_t fences = 0;
  uint64_t fence_failures = 0;
  uint64_t lock_acquired = 0;
  uint64_t lock_released = 0;
  uint64_t lock_lost = 0;
  uint64_t away = 0;
  uint64_t copies = 0;
  uint64_t copied_bytes = 0;
  uint64_t bad_entries = 0;
  uint64_t ring_resets = 0;
};

struct DeviceCounter {
  std::string_view name;
  std::string_view help;
  uint64_t DeviceCounters::* value;
};

inline constexpr std::array kDeviceCounters{
    DeviceCounter{"commands", "Commands taken from the ring.", &DeviceCounters::commands},
    DeviceCounter{"reads", "Read commands submitted to the image.", &DeviceCounters::reads},
    DeviceCounter{"read_bytes", "Bytes of the read commands submitted to the image.",
                  &DeviceCounters::read_bytes},
    DeviceCounter{"writes", "Commands submitted to the image that change it.",
                  &DeviceCounters::writes},
    DeviceCounter{"write_bytes", "Bytes of the commands that change the image.",
                  &DeviceCounters::write_bytes},
    DeviceCounter{"zeroings", "Commands, of those that change the image, that only zero or unmap.",
                  &DeviceCounters::zeroings},
    DeviceCounter{"zeroed_bytes", "Bytes that were zeroed or unmapped.",
                  &DeviceCounters::zeroed_bytes},
    DeviceCounter{"read_errors", "Read commands that ended with MEDIUM ERROR.",
                  &DeviceCounters::read_errors},
    DeviceCounter{"write_errors", "Commands that change the image and ended with MEDIUM ERROR.",
                  &DeviceCounters::write_errors},
    DeviceCounter{"check_conditions", "Commands answered with CHECK CONDITION.",
                  &DeviceCounters::check_conditions},
    DeviceCounter{"busy", "Commands answered with BUSY.", &DeviceCounters::busy},
    DeviceCounter{"image_errors", "Image ops that librbd ended with an error.",
                  &DeviceCounters::image_errors},
    DeviceCounter{"range_waits", "Commands that waited for an overlapping command.",
                  &DeviceCounters::range_waits},
    DeviceCounter{"lock_waits",
                  "Commands that waited for the exclusive lock or for a new client instance.",
                  &DeviceCounters::lock_waits},
    DeviceCounter{"rate_waits", "Commands that waited for the image's QoS limits.",
                  &DeviceCounters::rate_waits},
    DeviceCounter{"task_managements", "Task management notifications of the kernel.",
                  &DeviceCounters::task_managements},
    DeviceCounter{"aborts", "Commands that a task management function ended.",
                  &DeviceCounters::aborts},
    DeviceCounter{"lun_resets", "LUN RESET notifications.", &DeviceCounters::lun_resets},
    DeviceCounter{"deadlines", "Commands answered because their deadline passed.",
                  &DeviceCounters::deadlines},
    DeviceCounter{"detaches", "Commands answered while their op was in librbd.",
                  &DeviceCounters::detaches},
    DeviceCounter{"stale",
                  "Changes answered BUSY because the kernel or a host may have given them up.",
                  &DeviceCounters::stale},
    DeviceCounter{"fences", "Client instances that this gateway fenced itself.",
                  &DeviceCounters::fences},
    DeviceCounter{"fence_failures", "Fences that failed.", &DeviceCounters::fence_failures},
    DeviceCounter{"lock_acquired", "Times that the exclusive lock was acquired.",
                  &DeviceCounters::lock_acquired},
    DeviceCounter{"lock_released", "Times that the exclusive lock was released.",
                  &DeviceCounters::lock_released},
    DeviceCounter{"lock_lost", "Times that another client took the lock, or fenced this gateway.",
                  &DeviceCounters::lock_lost},
    DeviceCounter{"away", "Times that this gateway was stopped, frozen or disconnected.",
                  &DeviceCounters::away},
    DeviceCounter{"copies", "EXTENDED COPY commands started.", &DeviceCounters::copies},
    DeviceCounter{"copied_bytes",
                  "Bytes written by EXTENDED COPY commands of this LUN, on any LUN.",
                  &DeviceCounters::copied_bytes},
    DeviceCounter{"bad_entries", "Ring entries with offsets or lengths outside of the map.",
                  &DeviceCounters::bad_entries},
    DeviceCounter{"ring_resets", "Rings that were invalid or were reset by another process.",
                  &DeviceCounters::ring_resets},
};

// As many as there are members, and none twice.
consteval bool every_counter_is_listed() {
  if (kDeviceCounters.size() * sizeof(uint64_t) != sizeof(DeviceCounters)) return false;
  DeviceCounters seen;
  for (const DeviceCounter& counter : kDeviceCounters)
    if ((seen.*counter.value)++ != 0) return false;
  return true;
}
static_assert(every_counter_is_listed());

}  // namespace tcmurbd
