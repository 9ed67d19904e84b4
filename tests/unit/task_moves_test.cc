// SPDX-License-Identifier: Apache-2.0
// The transitions of a task: what librbd has is never taken back, and every task can end.
#include "rbd_handler/task/task_moves.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace tcmurbd::task {
namespace {

using enum TaskState;

constexpr TaskState kAll[]{kFree,          kParsed,        kAwaitingFacts, kAwaitingLock,
                           kBacklog,       kAwaitingRange, kInImage,       kCopying,
                           kCopyCancelled, kDetached,      kOrphaned};

std::set<TaskState> after(TaskState from) {
  std::set<TaskState> found;
  for (const TaskState to : kAll)
    if (may_move(from, to)) found.insert(to);
  return found;
}

// All states that can follow, until the slot is free again.
std::set<TaskState> life_after(TaskState from) {
  std::set<TaskState> seen;
  std::vector<TaskState> open{from};
  while (!open.empty()) {
    const TaskState state = open.back();
    open.pop_back();
    for (const TaskState next : after(state))
      if (seen.insert(next).second && next != kFree) open.push_back(next);
  }
  return seen;
}

TEST(TaskMoves, TheListOfStatesIsComplete) { EXPECT_EQ(std::size(kAll), kTaskStates); }

TEST(TaskMoves, ATaskBeginsAsAParsedCommand) {
  EXPECT_EQ(after(kFree), (std::set{kParsed}));
  EXPECT_EQ(life_after(kFree).size(), kTaskStates) << "a state that no task can reach";
}

TEST(TaskMoves, EveryTaskCanEnd) {
  for (const TaskState state : kAll) EXPECT_TRUE(life_after(state).contains(kFree));
  for (const TaskState state : kAll) EXPECT_FALSE(may_move(state, state));
}

// librbd cannot cancel an op: a task that has one waits for nothing again, and is not submitted
// twice.
TEST(TaskMoves, WhatLibrbdHasIsNotTakenBack) {
  EXPECT_EQ(life_after(kInImage), (std::set{kFree, kDetached, kOrphaned}));
  EXPECT_EQ(life_after(kDetached), (std::set{kFree, kOrphaned}));
  EXPECT_EQ(after(kOrphaned), (std::set{kFree}));
}

TEST(TaskMoves, OnlyAWaitingTaskGoesToTheImage) {
  for (const TaskState state : kAll)
    EXPECT_EQ(may_move(state, kInImage),
              state == kParsed || state == kBacklog || state == kAwaitingRange);
}

// A closing gate takes back what waits for its turn; it goes through the queue again from the
// start.
TEST(TaskMoves, AClosingGatePullsBackWhatWaits) {
  EXPECT_TRUE(may_move(kBacklog, kAwaitingLock));
  EXPECT_TRUE(may_move(kAwaitingRange, kAwaitingLock));
  EXPECT_EQ(after(kAwaitingLock), (std::set{kFree, kParsed}));
  EXPECT_EQ(after(kAwaitingFacts), (std::set{kFree, kParsed}));
}

TEST(TaskMoves, ACancelledCopyOnlyEnds) {
  EXPECT_EQ(after(kCopying), (std::set{kFree, kCopyCancelled}));
  EXPECT_EQ(after(kCopyCancelled), (std::set{kFree}));
}

}  // namespace
}  // namespace tcmurbd::task
