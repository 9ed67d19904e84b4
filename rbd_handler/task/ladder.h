// SPDX-License-Identifier: Apache-2.0
// librbd can't cancel an op, and the kernel's answer to ABORT TASK and LUN RESET waits for the
// commands that they name. So a command is answered without its op: the op is detached, and what it
// may still do is dealt with. This is the table of what to do with a task when something happens to
// it, by how far it has come. Pure, any thread.
//
// clang-format off
//   | task is                          | aborted, or past its deadline | what is guaranteed                    |
//   |----------------------------------|-------------------------------|---------------------------------------|
//   | waiting (R0)                     | dropped and answered          | the image never sees it               |
//   | a read with librbd (R1)          | answered; keeps its memory    | no other command's memory is written  |
//   | a change with librbd (R2)        | answered; its range is held   | what overlaps comes after its end     |
//   | detached, instance given up (R3) | (it was answered)             | the fence orders it before or refuses |
//   |                                  |                               | it; its range is held until its end   |
// clang-format on
#pragma once

#include <cstdint>

namespace tcmurbd::task {

enum class TaskState : uint8_t {
  kFree,
  kParsed,         // Just admitted; moves on within the same event.
  kAwaitingFacts,  // Its answer tells what configfs says: parked until fresh TargetFacts are here.
  kAwaitingLock,   // The lock's gate is closed to it.
  kBacklog,        // Waits for room among the image ops in flight.
  kAwaitingRange,  // Waits for earlier ops that overlap, or, a flush, for the writes before it.
  kInImage,        // All its ops are with librbd.
  kCopying,        // An EXTENDED COPY; its reads and writes are tasks of their own, here and there.
  kCopyCancelled,  // One that is to be answered as soon as none of these can touch an image again.
  kDetached,       // Answered; ops of it are still with librbd, or their outcome is not known. A
                   // change holds its range.
  kOrphaned,  // Answered; its ops are with an instance that was given up. A change holds its range
              // until they have really ended: somebody may take the fence away.
};

enum class LadderEvent : uint8_t {
  kAborted,   // A task management names it.
  kDeadline,  // Its own time is over: nobody may be left to abort it, and a login waits for it.
  kGivenUp,   // The client instance that has its ops is blocklisted.
  kEnded,     // Its last op has ended.
};

enum class LadderStep : uint8_t {
  kNothing,
  kDrop,    // R0: out of whatever it waits in, answered, forgotten.
  kDetach,  // R1, R2: answered; becomes kDetached.
  kCancel,  // Its reads and writes go down the ladder first, then it is answered.
  kOrphan,  // R3: answered if it is not yet; becomes kOrphaned.
  kAnswer,  // The normal end.
  kForget,  // Answered long ago; its range and memory are free now.
};

// REQUIRES: the pair can happen; kFree and kParsed have no events, and what waits has no ops that
// could end.
LadderStep ladder_step(TaskState state, LadderEvent event);

}  // namespace tcmurbd::task
