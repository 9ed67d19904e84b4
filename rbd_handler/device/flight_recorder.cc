// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/device/flight_recorder.h"

#include <algorithm>

namespace tcmurbd {

std::vector<FlightEvent> FlightRecorder::list() const {
  const uint64_t kept = std::min<uint64_t>(total_, kEvents);
  std::vector<FlightEvent> oldest_first;
  oldest_first.reserve(kept);
  for (uint64_t i = total_ - kept; i < total_; ++i) oldest_first.push_back(events_[i % kEvents]);
  return oldest_first;
}

}  // namespace tcmurbd
