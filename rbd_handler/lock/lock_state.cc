// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/lock/lock_state.h"

#include <array>
#include <cstddef>
#include <optional>

#include "common/check.h"

namespace tcmurbd::lock {
namespace {

using enum State;
using enum Event;

constexpr size_t kStates = static_cast<size_t>(kStuck) + 1;
constexpr size_t kEvents = static_cast<size_t>(kReopenFailed) + 1;

// A pair that cannot happen: the event is the outcome of an action that does not run.
constexpr std::nullopt_t kNever = std::nullopt;

constexpr Step kU{kUnowned};
constexpr Step kA{kAcquiring};
constexpr Step kO{kOwned};
constexpr Step kD{kDraining};
constexpr Step kR{kReleasing};
constexpr Step kF{kFencing};
constexpr Step kP{kReopening};
constexpr Step kS{kStuck};
constexpr Step kToAcquire{kAcquiring, Action::kAcquire};
constexpr Step kToRelease{kReleasing, Action::kRelease};
constexpr Step kToFence{kFencing, Action::kFence};
constexpr Step kToReopen{kReopening, Action::kReopen};

struct Row {
  Event event;
  std::array<std::optional<Step>, kStates> of;  // By state.
};

// Common to all rows: while an acquire, a fence or a reopening runs, every other event is ignored.
// The instance is not used then, and the outcome will report the same. A release may hang without
// an outcome, so it alone can be superseded.
// clang-format off
constexpr std::array<Row, kEvents> kTable{{
    // The lock is acquired on demand. In Draining and Releasing the gate asks again afterwards.
    // event          Unowned     Acquiring Owned       Draining    Releasing  Fencing    Reopening Stuck
    {kNeeded,       {{kToAcquire, kA,       kO,         kD,         kR,        kF,        kP,       kS}}},
    {kAcquired,     {{kNever,     kO,       kNever,     kNever,     kNever,    kNever,    kNever,   kNever}}},
    {kAcquireFailed,{{kNever,     kU,       kNever,     kNever,     kNever,    kNever,    kNever,   kNever}}},
    // Stuck does not yield: a detached write may still be applied. The peer breaks the lock.
    {kYield,        {{kU,         kA,       kD,         kD,         kR,        kF,        kP,       kS}}},
    // Cancels a release that has not begun.
    {kKeep,         {{kU,         kA,       kO,         kO,         kR,        kF,        kP,       kS}}},
    // An acquire verifies. In Draining the release will show whether the lock was still held.
    {kVerify,       {{kU,         kA,       kToAcquire, kD,         kR,        kF,        kP,       kS}}},
    {kDrained,      {{kU,         kA,       kO,         kToRelease, kR,        kF,        kP,       kS}}},
    {kReleased,     {{kNever,     kNever,   kNever,     kNever,     kU,        kNever,    kNever,   kNever}}},
    // The owner is unknown now: the fence makes sure that it is not this instance.
    {kReleaseFailed,{{kNever,     kNever,   kNever,     kNever,     kToFence,  kNever,    kNever,   kNever}}},
    // Unowned: hung reads have used up the instance. Stuck: the fence is retried.
    {kFence,        {{kToFence,   kA,       kToFence,   kToFence,   kToFence,  kF,        kP,       kToFence}}},
    {kFenceDone,    {{kNever,     kNever,   kNever,     kNever,     kNever,    kToReopen, kNever,   kNever}}},
    {kFenceFailed,  {{kNever,     kNever,   kNever,     kNever,     kNever,    kS,        kNever,   kNever}}},
    {kSettled,      {{kU,         kA,       kO,         kD,         kR,        kF,        kP,       kO}}},
    // Another gateway has fenced this instance.
    {kLost,         {{kToReopen,  kA,       kToReopen,  kToReopen,  kToReopen, kF,        kP,       kToReopen}}},
    {kReopened,     {{kNever,     kNever,   kNever,     kNever,     kNever,    kNever,    kU,       kNever}}},
    // The gate retries until it works.
    {kReopenFailed, {{kNever,     kNever,   kNever,     kNever,     kNever,    kNever,    kP,       kNever}}},
}};
// clang-format on

constexpr bool rows_are_in_order() {
  for (size_t i = 0; i < kTable.size(); ++i)
    if (kTable[i].event != static_cast<Event>(i)) return false;
  return true;
}
static_assert(rows_are_in_order());

}  // namespace

Step step(State state, Event event) {
  const std::optional<Step>& next =
      kTable.at(static_cast<size_t>(event)).of.at(static_cast<size_t>(state));
  CHECK(next.has_value());
  return *next;
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
