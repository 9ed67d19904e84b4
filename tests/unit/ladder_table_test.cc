// SPDX-License-Identifier: Apache-2.0
// The whole table of the abort ladder, written down a second time: every state with every event.
#include <gtest/gtest.h>

#include <optional>

#include "rbd_handler/task/ladder.h"

namespace tcmurbd::task {
namespace {

using enum TaskState;
using enum LadderEvent;
using enum LadderStep;

constexpr LadderEvent kEvents[]{kAborted, kDeadline, kGivenUp, kEnded};

struct Row {
  TaskState state;
  std::optional<LadderStep> of[4];  // By event, as in kEvents; nothing: can't happen.
};

constexpr std::nullopt_t kNever = std::nullopt;

// clang-format off
const Row kTable[]{
    // state           Aborted   Deadline  GivenUp   Ended
    {kFree,          {kNever,   kNever,   kNever,   kNever}},
    {kParsed,        {kNever,   kNever,   kNever,   kNever}},
    {kAwaitingFacts, {kDrop,    kDrop,    kNothing, kNever}},
    {kAwaitingLock,  {kDrop,    kDrop,    kNothing, kNever}},
    {kBacklog,       {kDrop,    kDrop,    kNothing, kNever}},
    {kAwaitingRange, {kDrop,    kDrop,    kNothing, kNever}},
    {kInImage,       {kDetach,  kDetach,  kOrphan,  kAnswer}},
    {kCopying,       {kCancel,  kCancel,  kNothing, kNever}},
    {kCopyCancelled, {kNothing, kNothing, kNothing, kNever}},
    {kDetached,      {kNothing, kNothing, kOrphan,  kForget}},
    {kOrphaned,      {kNothing, kNothing, kNothing, kForget}},
};
// clang-format on

TEST(LadderTable, EveryPairIsAsWrittenHere) {
  size_t pairs = 0;
  for (const Row& row : kTable) {
    for (size_t i = 0; i < std::size(kEvents); ++i) {
      const std::optional<LadderStep>& expected = row.of[i];
      if (!expected) continue;
      EXPECT_EQ(ladder_step(row.state, kEvents[i]), *expected)
          << "state " << int{static_cast<uint8_t>(row.state)} << ", event " << i;
      ++pairs;
    }
  }
  EXPECT_EQ(pairs, 30u);
}

TEST(LadderTableDeathTest, WhatCannotHappenIsADefect) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  size_t pairs = 0;
  for (const Row& row : kTable) {
    for (size_t i = 0; i < std::size(kEvents); ++i) {
      if (row.of[i]) continue;
      EXPECT_DEATH(ladder_step(row.state, kEvents[i]), "CHECK failed|unreachable")
          << "state " << int{static_cast<uint8_t>(row.state)} << ", event " << i;
      ++pairs;
    }
  }
  EXPECT_EQ(pairs, 14u);
}

TEST(LadderTable, TheTableHasEveryStateOnce) {
  for (size_t i = 0; i < std::size(kTable); ++i)
    EXPECT_EQ(kTable[i].state, static_cast<TaskState>(i));
  EXPECT_EQ(std::size(kTable), static_cast<size_t>(kOrphaned) + 1);
}

}  // namespace
}  // namespace tcmurbd::task
