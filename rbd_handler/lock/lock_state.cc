// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/lock/lock_state.h"

#include "common/check.h"

namespace tcmurbd::lock {
namespace {

// The state in which the event's action runs, if the event is the outcome of an action.
bool comes_only_in(Event event, State& state) {
  switch (event) {
    case Event::kAcquired:
    case Event::kAcquireFailed:
      state = State::kAcquiring;
      return true;
    case Event::kReleased:
    case Event::kReleaseFailed:
      state = State::kReleasing;
      return true;
    case Event::kFenceDone:
    case Event::kFenceFailed:
      state = State::kFencing;
      return true;
    case Event::kReopened:
    case Event::kReopenFailed:
      state = State::kReopening;
      return true;
    case Event::kNeeded:
    case Event::kYield:
    case Event::kKeep:
    case Event::kVerify:
    case Event::kDrained:
    case Event::kFence:
    case Event::kSettled:
    case Event::kLost:
      return false;
  }
  return false;
}

Step from_unowned(Event event) {
  switch (event) {
    case Event::kNeeded:
      return {State::kAcquiring, Action::kAcquire};
    case Event::kFence:  // Hung reads have used up the instance.
      return {State::kFencing, Action::kFence};
    case Event::kLost:
      return {State::kReopening, Action::kReopen};
    default:  // Nothing to yield, verify, drain or settle.
      return {State::kUnowned};
  }
}

Step from_owned(State state, Event event) {
  switch (event) {
    case Event::kYield:
      return {State::kDraining};
    case Event::kKeep:
      return {State::kOwned};
    case Event::kVerify:  // While draining, the release will show whether the lock was still held.
      return state == State::kOwned ? Step{State::kAcquiring, Action::kAcquire} : Step{state};
    case Event::kDrained:
      return state == State::kDraining ? Step{State::kReleasing, Action::kRelease} : Step{state};
    case Event::kFence:
      return {State::kFencing, Action::kFence};
    case Event::kLost:
      return {State::kReopening, Action::kReopen};
    default:  // kNeeded: the lock is held in kOwned, and acquired again after kDraining.
      return {state};
  }
}

// The action's outcome decides. Other events are ignored: the instance is not used, or the outcome
// will report the same.
Step from_action(State state, Event event) {
  if (state == State::kReleasing) {
    // librbd's release may hang without a result.
    if (event == Event::kFence) return {State::kFencing, Action::kFence};
    if (event == Event::kLost) return {State::kReopening, Action::kReopen};
  }
  switch (event) {
    case Event::kAcquired:
      return {State::kOwned};
    case Event::kAcquireFailed:
    case Event::kReleased:
    case Event::kReopened:
      return {State::kUnowned};
    case Event::kReleaseFailed:  // The owner is unknown now: make sure that it is not this
                                 // instance.
      return {State::kFencing, Action::kFence};
    case Event::kFenceDone:
      return {State::kReopening, Action::kReopen};
    case Event::kFenceFailed:
      return {State::kStuck};
    default:  // Includes kReopenFailed: the gate retries until it works.
      return {state};
  }
}

Step from_stuck(Event event) {
  switch (event) {
    case Event::kFence:
      return {State::kFencing, Action::kFence};
    case Event::kSettled:
      return {State::kOwned};
    case Event::kLost:  // Fenced by another gateway: equivalent.
      return {State::kReopening, Action::kReopen};
    default:  // The lock cannot be released while detached writes may be applied; a peer may break
              // it.
      return {State::kStuck};
  }
}

}  // namespace

Step step(State state, Event event) {
  State needed;
  if (comes_only_in(event, needed)) CHECK(state == needed);
  switch (state) {
    case State::kUnowned:
      return from_unowned(event);
    case State::kOwned:
    case State::kDraining:
      return from_owned(state, event);
    case State::kAcquiring:
    case State::kReleasing:
    case State::kFencing:
    case State::kReopening:
      return from_action(state, event);
    case State::kStuck:
      return from_stuck(event);
  }
  UNREACHABLE();
}

std::string_view name(State state) {
  switch (state) {
    case State::kUnowned:
      return "unowned";
    case State::kAcquiring:
      return "acquiring";
    case State::kOwned:
      return "owned";
    case State::kDraining:
      return "draining";
    case State::kReleasing:
      return "releasing";
    case State::kFencing:
      return "fencing";
    case State::kReopening:
      return "reopening";
    case State::kStuck:
      return "stuck";
  }
  return "?";
}

}  // namespace tcmurbd::lock
