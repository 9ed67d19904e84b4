// SPDX-License-Identifier: Apache-2.0
// The exclusive lock of one image and the client instance that may hold it, as one table: (state,
// event) -> (state, action). Pure, any thread.
//
//            Needed            Acquired           Yield            Drained
//   Unowned --------> Acquiring -------> Owned ---------> Draining --------> Releasing
//    ^  ^ ^             |                 | ^                |                   |
//    |  | +-AcquireFailed                 | |                |                   |
//    |  +---------------------------------|-|----------------|--Released---------+
//    |                                    | | Settled        | Fence             | ReleaseFailed
//    |                                    v |                v                   v
//    |      Reopened              Fence  Stuck <-FenceFailed- Fencing <----------+
//    +------------- Reopening <--------------------FenceDone----+
//                       ^ Lost, from every state but Acquiring and Fencing
//
// Beside these: Owned goes to Acquiring on Verify, Draining back to Owned on Keep, and Releasing to
// Fencing on Fence, when the release takes too long.
//
// Actions are the blocking parts, run elsewhere; each ends with exactly one event. Only one runs at
// a time, except for a release superseded by Fence or Lost: it may hang as long as an OSD does, and
// its outcome is ignored.
#pragma once

#include <cstdint>
#include <string_view>

namespace tcmurbd::lock {

enum class State : uint8_t {
  kUnowned,
  kAcquiring,
  kOwned,
  kDraining,   // Before a release: no new changes, waits for those in librbd.
  kReleasing,  // No ops in flight; librbd releases the lock. Bounded, see
               // GateSettings::release_patience.
  kFencing,    // The control client blocklists this instance. No new ops are submitted to it.
  kReopening,  // The instance is blocklisted: the ops of all later owners are ordered after its
               // ops. A new instance waits for the OSD map with the entry and opens the image.
  kStuck,  // The cluster cannot fence. This instance still has the lock, and detached writes keep
           // their ranges locked, so all other I/O is served. The fence is retried.
};

enum class Event : uint8_t {
  kNeeded,  // A command that changes the image is waiting.
  kAcquired,
  kAcquireFailed,
  kYield,    // A peer requests the lock, or a LUN RESET came.
  kKeep,     // The release is cancelled: ops in flight do not end, and it is too early for another
             // fence.
  kVerify,   // This gateway was away: verify that it still has the lock.
  kDrained,  // No op is in librbd, live or detached: reads delay a release too.
  kReleased,
  kReleaseFailed,
  kFence,  // An op hangs for too long, its outcome is unknown, or the lock was broken.
  kFenceDone,
  kFenceFailed,
  kSettled,  // All detached writes have ended.
  kLost,     // An op was refused because this instance is blocklisted.
  kReopened,
  kReopenFailed,
};

enum class Action : uint8_t { kNone, kAcquire, kRelease, kFence, kReopen };

struct Step {
  State state;
  Action action = Action::kNone;  // To start now.
  bool operator==(const Step&) const = default;
};

// Every pair is defined; a pair without effect returns `state` and no action. CHECKs that the
// outcome of an action comes only in the state that runs the action.
Step step(State state, Event event);

// "owned", "stuck", ...: for status and logs.
std::string_view name(State state);

}  // namespace tcmurbd::lock
