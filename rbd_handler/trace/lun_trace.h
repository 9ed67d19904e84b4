// SPDX-License-Identifier: Apache-2.0
// What a flight recorder has of one LUN, in words, and as the JSON that tcmu-rbdctl trace shows.
// Plain values, any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "rbd_handler/device/flight_story.h"

namespace tcmurbd {

struct LunLabel {
  std::string name;   // "user_0/disk1".
  std::string image;  // "pool/image".
};

struct LunTrace {
  LunLabel label;
  FlightRecord record{};                         // If it is not told as stories yet: that is long.
  std::vector<FlightStory> stories{};            // Of the events that are kept; oldest first.
  uint64_t kept = 0;                             // So many of
  uint64_t events = 0;                           // all events.
  TimePoint now{};                               // Of this trace,
  std::chrono::system_clock::time_point wall{};  // and the wall clock then.
};

// {"devices": [...]}; each step has the seconds since the begin of its story. Takes milliseconds
// for each LUN.
std::string trace_json(const std::vector<LunTrace>& luns);
// The same in parts: one of "devices", and the document of all.
std::string device_trace_json(const LunTrace& lun);
std::string join_traces(const std::vector<std::string>& devices);

}  // namespace tcmurbd
