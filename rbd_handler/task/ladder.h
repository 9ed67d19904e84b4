// SPDX-License-Identifier: Apache-2.0
// librbd cannot cancel an op, and the kernel completes ABORT TASK and LUN RESET only after the
// commands they name. So a command is answered without its op: the op is detached and continues in
// the background. This table defines what to do with a task for each event, by its state. Pure, any
// thread.
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
  kAwaitingFacts,  // Its answer depends on configfs: waits for new TargetFacts.
  kAwaitingLock,   // The lock's gate is closed to it.
  kBacklog,        // Waits for a free slot among the image ops in flight.
  kAwaitingRange,  // Waits for earlier overlapping ops; a flush waits for all earlier writes.
  kInImage,        // All its ops are in librbd.
  kCopying,  // An EXTENDED COPY; its reads and writes are separate tasks, on this LUN and others.
  kCopyCancelled,  // An EXTENDED COPY to be answered as soon as none of these can access an image
                   // any more.
  kDetached,  // Answered; its ops are still in librbd, or their outcome is unknown. A change keeps
              // its range locked.
  kOrphaned,  // Answered; its ops are in an instance that was given up. A change keeps its range
              // locked until they have ended, because the blocklist entry may be removed.
};

enum class LadderEvent : uint8_t {
  kAborted,   // A task management function names it.
  kDeadline,  // Its deadline has passed: its session may be lost, and a new login waits for it.
  kGivenUp,   // The client instance of its ops is blocklisted.
  kEnded,     // Its last op has ended.
};

enum class LadderStep : uint8_t {
  kNothing,
  kDrop,    // R0: removed from its queue, answered and released.
  kDetach,  // R1, R2: answered; becomes kDetached.
  kCancel,  // Its reads and writes are aborted first, then it is answered.
  kOrphan,  // R3: answered unless it already is; becomes kOrphaned.
  kAnswer,  // The normal completion.
  kForget,  // It was answered before; its range and memory are released.
};

// REQUIRES: the pair is possible; kFree and kParsed have no events, and a waiting task has no ops
// that could end.
LadderStep ladder_step(TaskState state, LadderEvent event);

}  // namespace tcmurbd::task
