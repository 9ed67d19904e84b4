// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/device/flight_recorder.h"

#include <new>
#include <type_traits>
#include <utility>

namespace tcmurbd {

std::vector<FlightEvent> FlightLog::list() const {
  const auto count = static_cast<std::ptrdiff_t>(std::min(total, kEvents));
  std::vector<FlightEvent> kept(events.begin(), events.begin() + count);
  if (total > kEvents)
    std::ranges::rotate(kept, kept.begin() + static_cast<std::ptrdiff_t>(total % kEvents));
  return kept;
}

// calloc gets so much from the kernel, which zeroes it: pages that are never written take no
// memory.
FlightRecorder::FlightRecorder(std::string lun)
    : log_(static_cast<FlightLog*>(std::calloc(1, sizeof(FlightLog)))), lun_(std::move(lun)) {
  static_assert(std::is_trivially_copyable_v<FlightLog>);
  if (!log_) throw std::bad_alloc();
}

}  // namespace tcmurbd
