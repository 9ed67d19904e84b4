// SPDX-License-Identifier: Apache-2.0
// The last events of a LUN, always recorded: each step of each command, task managements, the lock,
// fences. For the question what happened before a stall. A fixed ring of small events: recording
// takes no lock and allocates nothing. flight_story.h makes sense of them.
//
// Thread: the reactor that owns the LUN.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "common/units.h"

namespace tcmurbd {

enum class FlightKind : uint8_t {
  // Of a command. `detail`, `a`, `b`:
  kTaken,     // From the ring, or a piece of a copy. Length of the name; -; address of the name.
  kPlanned,   // Number of image ops; offset and length of the first one.
  kState,     // task::TaskState.
  kAnswered,  // SCSI status; sense key, ASC and ASCQ as 0xkkaaqq.
  kEnded,     // Its last op; -; the first negative errno of its ops as int64_t, or 0.
  kAborted,   // By a task management; its type.
  kDeadline,  // -
  // Of the LUN.
  kTaskManagement,  // Type; number of the commands that it names.
  kLock,            // lock::State.
  kAway,            // AwayCause; the gap in nanoseconds, 0: not known.
  kPlace,           // Of a hung op: number of OSDs; its offset; the first two OSDs, 32 bits each.
};

struct FlightEvent {
  TimePoint time{};
  uint32_t command = 0;  // The low bits of Task::sequence; 0: of the LUN.
  uint16_t cmd_id = 0;
  FlightKind kind = FlightKind::kTaken;
  uint8_t detail = 0;
  uint64_t a = 0;
  uint64_t b = 0;
};
static_assert(sizeof(FlightEvent) == 32);

// Nothing but plain values leaves the process: `name` is a literal.
inline FlightEvent taken_event(TimePoint now, uint64_t sequence, uint16_t cmd_id,
                               std::string_view name) {
  return {.time = now,
          .command = static_cast<uint32_t>(sequence),
          .cmd_id = cmd_id,
          .kind = FlightKind::kTaken,
          .detail = static_cast<uint8_t>(name.size()),
          .b = std::bit_cast<uint64_t>(name.data())};
}
inline std::string_view name_of(const FlightEvent& taken) {
  return {std::bit_cast<const char*>(taken.b), taken.detail};
}

class FlightRecorder {
 public:
  // 128 KiB; about 800 commands, or the last tenth of a second of a busy LUN. Pages that were never
  // written take no memory.
  static constexpr size_t kEvents = 4096;

  FlightRecorder() { events_.reserve(kEvents); }

  void note(const FlightEvent& event) {
    if (events_.size() < kEvents) {
      events_.push_back(event);
    } else {
      events_[total_ % kEvents] = event;
    }
    ++total_;
  }

  // Those that are kept, oldest first.
  std::vector<FlightEvent> list() const;
  // All that were recorded, also those that are not kept any more.
  uint64_t total() const { return total_; }

 private:
  std::vector<FlightEvent> events_;
  uint64_t total_ = 0;
};

// What an edge gets of it.
struct FlightRecord {
  std::vector<FlightEvent> events{};  // Oldest first.
  uint64_t total = 0;
  TimePoint now{};  // Of this record.
};

}  // namespace tcmurbd
