// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/task/ladder.h"

#include "common/check.h"

namespace tcmurbd::task {
namespace {

LadderStep of_waiting(LadderEvent event) {
  switch (event) {
    case LadderEvent::kAborted:
    case LadderEvent::kDeadline:
      return LadderStep::kDrop;
    case LadderEvent::kGivenUp:  // It will be submitted to the next instance.
      return LadderStep::kNothing;
    case LadderEvent::kEnded:
      break;
  }
  UNREACHABLE();
}

LadderStep of_running(LadderEvent event) {
  switch (event) {
    case LadderEvent::kAborted:
    case LadderEvent::kDeadline:
      return LadderStep::kDetach;
    case LadderEvent::kGivenUp:
      return LadderStep::kOrphan;
    case LadderEvent::kEnded:
      return LadderStep::kAnswer;
  }
  UNREACHABLE();
}

// The copy's ops are separate tasks, so only its cancellation matters here.
LadderStep of_copying(TaskState state, LadderEvent event) {
  switch (event) {
    case LadderEvent::kAborted:
    case LadderEvent::kDeadline:
      return state == TaskState::kCopying ? LadderStep::kCancel : LadderStep::kNothing;
    case LadderEvent::kGivenUp:
      return LadderStep::kNothing;
    case LadderEvent::kEnded:
      break;
  }
  UNREACHABLE();
}

// The kernel has released its id: an abort cannot name it, and it was answered within its deadline.
LadderStep of_answered(TaskState state, LadderEvent event) {
  switch (event) {
    case LadderEvent::kAborted:
    case LadderEvent::kDeadline:
      return LadderStep::kNothing;
    case LadderEvent::kGivenUp:  // An orphan belongs to an earlier instance.
      return state == TaskState::kDetached ? LadderStep::kOrphan : LadderStep::kNothing;
    case LadderEvent::kEnded:
      return LadderStep::kForget;
  }
  UNREACHABLE();
}

}  // namespace

LadderStep ladder_step(TaskState state, LadderEvent event) {
  switch (state) {
    case TaskState::kAwaitingFacts:
    case TaskState::kAwaitingLock:
    case TaskState::kBacklog:
    case TaskState::kAwaitingRange:
      return of_waiting(event);
    case TaskState::kInImage:
      return of_running(event);
    case TaskState::kCopying:
    case TaskState::kCopyCancelled:
      return of_copying(state, event);
    case TaskState::kDetached:
    case TaskState::kOrphaned:
      return of_answered(state, event);
    case TaskState::kFree:
    case TaskState::kParsed:
      break;
  }
  UNREACHABLE();
}

}  // namespace tcmurbd::task
