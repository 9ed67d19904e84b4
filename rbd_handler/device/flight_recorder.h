// SPDX-License-Identifier: Apache-2.0
// The last events of a LUN, always recorded: each step of each command, task managements, the lock,
// fences. For the question what happened before a stall. A fixed ring of small events: recording
// takes no lock and allocates nothing. flight_story.h makes sense of them.
//
// Thread: the reactor that owns the LUN.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/units.h"

namespace tcmurbd {

enum class FlightKind : uint8_t {
  // Of a command. `detail`, `a`, `b`:
  kTaken,  // From the ring, or a piece of a copy (length 0). Length of the CDB; its first 16 bytes.
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

// How much of a CDB is kept: all of every CDB that is served.
inline constexpr size_t kFlightCdbBytes = 16;
using FlightCdb = std::array<uint8_t, kFlightCdbBytes>;

inline FlightEvent taken_event(TimePoint now, uint64_t sequence, uint16_t cmd_id,
                               std::span<const uint8_t> cdb) {
  FlightCdb kept{};
  std::ranges::copy(cdb.first(std::min(cdb.size(), kept.size())), kept.begin());
  const auto [a, b] = std::bit_cast<std::array<uint64_t, 2>>(kept);
  return {.time = now,
          .command = static_cast<uint32_t>(sequence),
          .cmd_id = cmd_id,
          .kind = FlightKind::kTaken,
          .detail = static_cast<uint8_t>(kept.size() < cdb.size() ? kept.size() : cdb.size()),
          .a = a,
          .b = b};
}
inline FlightCdb cdb_of(const FlightEvent& taken) {
  return std::bit_cast<FlightCdb>(std::array{taken.a, taken.b});
}

// The memory of a recorder: plain values, which mean the same in another process of this version.
struct FlightLog {
  // About 800 commands, or the last tenth of a second of a busy LUN.
  static constexpr uint64_t kEvents = 4096;

  uint64_t total;  // Events ever recorded: the next one is written at total % kEvents.
  std::array<FlightEvent, kEvents> events;

  // Those that are kept, oldest first.
  std::vector<FlightEvent> list() const;
};

class FlightRecorder {
 public:
  // `lun` names it for the probes (common/probes.h).
  explicit FlightRecorder(std::string lun = {});

  void note(const FlightEvent& event) {
    log_->events[log_->total % FlightLog::kEvents] = event;
    ++log_->total;
  }

  // Those that are kept, oldest first.
  std::vector<FlightEvent> list() const { return log_->list(); }
  // All that were recorded, also those that are not kept any more.
  uint64_t total() const { return log_->total; }
  const char* lun() const { return lun_.c_str(); }
  // Stays where it is.
  const FlightLog& log() const { return *log_; }

 private:
  struct Free {
    void operator()(FlightLog* log) const { std::free(log); }
  };
  std::unique_ptr<FlightLog, Free> log_;
  std::string lun_;
};

// What an edge gets of it.
struct FlightRecord {
  std::vector<FlightEvent> events{};  // Oldest first.
  uint64_t total = 0;
  TimePoint now{};  // Of this record.
};

}  // namespace tcmurbd
