// SPDX-License-Identifier: Apache-2.0
// One record for each event of a LUN that an operator may ask about a day later. Plain values, made
// by the Device, logged by an edge.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/units.h"
#include "rbd_handler/task/ladder.h"

namespace tcmurbd {

// How a gateway detects that it was away: stopped, frozen, disconnected or fenced. The kernel or a
// host may have given up its commands meanwhile.
enum class AwayCause : uint8_t {
  kReactorGap,   // The LUN's reactor did not run,
  kControlGap,   // or the control thread.
  kWatchLost,    // The cluster removed the watch on the lock's channel.
  kLockLost,     // This gateway does not hold the exclusive lock any more.
  kBlocklisted,  // Another client, or an operator, had the client instance blocklisted.
};

struct Report {
  enum class Kind : uint8_t {
    kAborted,   // A task management ended it.
    kDeadline,  // Its own deadline did.
    kHangs,     // It has been detached for kHangToldAfter: where does it hang?
    kEnded,     // A detached one has really ended, with `result`.
    // Of the LUN, not of a command:
    kAway,         // This gateway was away (`away`, `gap`); `refused` changes waited.
    kPoolFull,     // A change was refused for want of space; reported once,
    kPoolHasRoom,  // and once when one has succeeded again.
    kDemoted,      // The image cannot be written here any more; reported once,
    kPromoted,     // and once when it can again.
  };
  Kind kind = Kind::kAborted;
  AwayCause away = AwayCause::kReactorGap;  // kAway.
  Duration gap{};                           // kAway: how long, as far as it is known.
  uint32_t refused = 0;                     // kAway.
  uint8_t tmr_type = 0;  // kAborted: 1 ABORT TASK, 5 LUN RESET, 128 PREEMPT AND ABORT.
  uint16_t cmd_id = 0;
  std::string_view command{};                      // "WRITE(16)"; a literal.
  task::TaskState state = task::TaskState::kFree;  // How far it had come before.
  ByteRange range{};                               // Of its first op; empty: it has none.
  int32_t result = 0;                              // kEnded: 0 or the first negative errno.
  // Ages, at the time of the report. Negative: it was never.
  Duration queued{};
  Duration submitted{};
  Duration answered{};
};

// Long enough for an op on a cluster that is merely busy.
inline constexpr Duration kHangToldAfter = std::chrono::seconds(1);

}  // namespace tcmurbd
