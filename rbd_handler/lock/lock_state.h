// SPDX-License-Identifier: Apache-2.0
// The exclusive lock of one image, and the life of the client instance that may hold it, as one
// table: (state, event) -> (state, job). Pure, any thread.
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
// Jobs are the blocking parts, run elsewhere; each ends with exactly one event. One is under way at
// a time, but for a release that is overtaken by Fence or Lost: it may hang for as long as an OSD
// does, and its outcome counts no more.
#pragma once

#include <cstdint>
#include <string_view>

namespace tcmurbd::lock {

enum class State : uint8_t {
  kUnowned,
  kAcquiring,
  kOwned,
  kDraining,   // Being given up: no new changes, those with librbd are waited for.
  kReleasing,  // Nothing of ours is under way in RADOS; librbd releases the lock. Bounded: see
               // GateSettings::release_patience.
  kFencing,    // The control client has this instance blocklisted. Nothing is given to it any more.
  kReopening,  // The instance is blocklisted: whoever comes next is ordered after it. A fresh one
               // waits for the blocklist's map and opens.
  kStuck,      // The cluster can't fence. The lock is still ours and detached writes keep their
               // ranges, so what does not overlap them is served; tried again from time to time.
};

enum class Event : uint8_t {
  kNeeded,  // A command that changes the image waits.
  kAcquired,
  kAcquireFailed,
  kYield,    // A peer asks, or a LUN RESET came.
  kKeep,     // Not given up after all: what is under way does not end, and a fence would come too
             // soon after the last one.
  kVerify,   // This gateway was away: ask the cluster whether the lock is still ours.
  kDrained,  // Nothing is with librbd, live or detached: reads hold up a release too.
  kReleased,
  kReleaseFailed,
  kFence,  // An op has been hanging for too long, its outcome is not known, or the lock is gone.
  kFenceDone,
  kFenceFailed,
  kSettled,  // All detached writes have really ended.
  kLost,     // An op was refused since this instance is on the blocklist already.
  kReopened,
  kReopenFailed,
};

enum class Job : uint8_t { kNone, kAcquire, kRelease, kFence, kReopen };

struct Step {
  State state;
  Job job = Job::kNone;  // To start now.
  bool operator==(const Step&) const = default;
};

// Every pair is decided; a pair that changes nothing returns `state` and no job, and says why where
// it stands. CHECKs that a job's outcome comes only in the state that runs the job.
Step step(State state, Event event);

// "owned", "stuck", ...: for status and logs.
std::string_view name(State state);

}  // namespace tcmurbd::lock
