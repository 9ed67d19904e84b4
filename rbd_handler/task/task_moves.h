// SPDX-License-Identifier: Apache-2.0
// From which state a task may come to which. TaskTable::move() holds every step to it. Pure, any
// thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "rbd_handler/task/ladder.h"

namespace tcmurbd::task {

inline constexpr size_t kTaskStates = std::to_underlying(TaskState::kOrphaned) + 1;

namespace moves {

template <typename... States>
constexpr uint16_t to(States... states) {
  return static_cast<uint16_t>(((1U << std::to_underlying(states)) | ...));
}

using enum TaskState;

inline constexpr std::array<uint16_t, kTaskStates> kTable{
    to(kParsed),  // from kFree
    // kParsed: answered at once, or whatever it has to wait for first.
    to(kFree, kAwaitingFacts, kAwaitingLock, kBacklog, kAwaitingRange, kInImage, kCopying),
    to(kFree, kParsed),  // kAwaitingFacts: planned when they are here.
    to(kFree, kParsed),  // kAwaitingLock: goes through the queue anew when the gate opens.
    // kBacklog and kAwaitingRange: the gate may close before their turn comes.
    to(kFree, kAwaitingLock, kAwaitingRange, kInImage), to(kFree, kAwaitingLock, kInImage),
    to(kFree, kDetached, kOrphaned),  // kInImage: no way back, librbd can't cancel an op.
    to(kFree, kCopyCancelled),        // kCopying
    to(kFree),                        // kCopyCancelled
    to(kFree, kOrphaned),             // kDetached
    to(kFree),                        // kOrphaned
};

}  // namespace moves

constexpr bool may_move(TaskState from, TaskState to) {
  return (moves::kTable[std::to_underlying(from)] >> std::to_underlying(to) & 1U) != 0;
}

}  // namespace tcmurbd::task
