// SPDX-License-Identifier: Apache-2.0
// The events of a FlightRecord as stories: one for each command, with its steps in words, and one
// for each event of the LUN. Pure, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rbd_handler/device/flight_recorder.h"

namespace tcmurbd {

struct FlightStep {
  Duration after{};  // Since the begin of its story.
  std::string text;  // "waits-for-lock", "answered BUSY", ...
  bool operator==(const FlightStep&) const = default;
};

struct FlightStory {
  uint32_t command = 0;  // 0: an event of the LUN, with one step.
  uint16_t cmd_id = 0;
  TimePoint begin{};
  // "WRITE(16)"; empty: the record begins after the command was taken.
  std::string name{};
  ByteRange range{};  // Of its first image op; empty: it has none, or that is not kept.
  std::vector<FlightStep> steps{};
};

// By their begin, oldest first. Each command that is open or ended is one story, also if the
// kernel used its cmd_id again. A place of a hung op is a step of the commands in librbd that begin
// there.
std::vector<FlightStory> tell_stories(const FlightRecord& record);

}  // namespace tcmurbd
