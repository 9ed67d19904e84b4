// SPDX-License-Identifier: Apache-2.0
// What a LUN tells people: its counters, and one record for each thing that an operator asks about
// a day later. Plain values, made by the Device, logged by an edge.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/units.h"
#include "rbd_handler/task/ladder.h"

namespace tcmurbd {

// What a LUN has done since it was started. Only ever grows.
struct DeviceCounters {
  uint64_t commands = 0;  // Taken off the ring.
  uint64_t reads = 0;     // Read commands given to the image, and their bytes.
  uint64_t read_bytes = 0;
  uint64_t writes = 0;  // Commands that change the image.
  uint64_t write_bytes = 0;
  uint64_t zeroings = 0;  // Of these, the ones that only zero, which UNMAP does too.
  uint64_t zeroed_bytes = 0;
  uint64_t read_errors = 0;  // Commands that ended with MEDIUM ERROR.
  uint64_t write_errors = 0;
  uint64_t check_conditions = 0;
  uint64_t busy = 0;
  uint64_t image_errors = 0;  // Ops that librbd ended with an error.
  uint64_t range_waits = 0;   // Commands that had to wait for an overlapping one.
  uint64_t lock_waits = 0;    // Commands that had to wait for the exclusive lock or a new instance.
  uint64_t task_managements = 0;
  uint64_t bad_entries = 0;  // Ring entries with offsets or lengths outside of the map.
  uint64_t aborts = 0;       // Commands that a task management ended.
  uint64_t lun_resets = 0;
  uint64_t deadlines = 0;  // Commands that their own deadline ended.
  uint64_t detaches = 0;   // Of both, those that were with librbd.
  uint64_t fences = 0;     // Client instances given up.
  uint64_t fence_failures = 0;
  uint64_t copies = 0;        // EXTENDED COPY commands begun,
  uint64_t copied_bytes = 0;  // and what was written for them, here and on other LUNs. The reads
                              // and writes of copies count above too, where they are done.
  uint64_t lock_acquired = 0;
  uint64_t lock_released = 0;
  uint64_t lock_lost = 0;    // Found out by an op that was refused.
  uint64_t away = 0;         // Times that this gateway was away.
  uint64_t stale = 0;        // Changes answered BUSY since they may have been given up meanwhile.
  uint64_t rate_waits = 0;   // Commands that waited for the image's QoS limits.
  uint64_t ring_resets = 0;  // Rings that could not be followed, or were reset by somebody else.
};

// How a gateway knows that it was away: stopped, frozen or cut off, so that what it has may have
// been given up by the kernel or a host meanwhile.
enum class AwayCause : uint8_t {
  kReactorGap,  // The LUN's reactor did not run for a while,
  kControlGap,  // or the control thread.
  kWatchLost,   // The cluster has given up the watch on the lock's channel.
  kLockLost,    // The exclusive lock is not ours any more.
};

struct Report {
  enum class Kind : uint8_t {
    kAborted,   // A task management ended it.
    kDeadline,  // Its own deadline did.
    kHangs,     // It has been detached for kHangToldAfter: where does it hang?
    kEnded,     // A detached one has really ended, with `result`.
    // Of the LUN, not of a command:
    kAway,         // This gateway was away (`away`, `gap`); `refused` changes waited.
    kPoolFull,     // A change was refused for want of space; told once,
    kPoolHasRoom,  // and once when one has succeeded again.
    kDemoted,      // The image can't be written here any more; told once,
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
