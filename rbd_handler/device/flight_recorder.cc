// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/device/flight_recorder.h"

#include <algorithm>

namespace tcmurbd {

std::vector<FlightEvent> FlightRecorder::list() const {
  std::vector<FlightEvent> oldest_first = events_;
  const auto oldest = static_cast<std::ptrdiff_t>(total_ % kEvents);
  if (events_.size() == kEvents)
    std::rotate(oldest_first.begin(), oldest_first.begin() + oldest, oldest_first.end());
  return oldest_first;
}

}  // namespace tcmurbd
