// SPDX-License-Identifier: Apache-2.0
// The whole table of the exclusive lock, written down a second time: every state with every event.
#include "rbd_handler/lock/lock_state.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace tcmurbd::lock {
namespace {

using enum State;
using enum Event;

constexpr State kStates[]{kUnowned,   kAcquiring, kOwned,     kDraining,
                          kReleasing, kFencing,   kReopening, kStuck};

struct Row {
  Event event;
  std::optional<Step> of[8];  // By state, as in kStates; nothing: can't happen.
};

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

// clang-format off
const Row kTable[]{
    // event          Unowned     Acquiring Owned      Draining    Releasing Fencing    Reopening Stuck
    {kNeeded,        {kToAcquire, kA,       kO,        kD,         kR,       kF,        kP,       kS}},
    {kAcquired,      {kNever,     kO,       kNever,    kNever,     kNever,   kNever,    kNever,   kNever}},
    {kAcquireFailed, {kNever,     kU,       kNever,    kNever,     kNever,   kNever,    kNever,   kNever}},
    {kYield,         {kU,         kA,       kD,        kD,         kR,       kF,        kP,       kS}},
    {kKeep,          {kU,         kA,       kO,        kO,         kR,       kF,        kP,       kS}},
    {kVerify,        {kU,         kA,       kToAcquire, kD,        kR,       kF,        kP,       kS}},
    {kDrained,       {kU,         kA,       kO,        kToRelease, kR,       kF,        kP,       kS}},
    {kReleased,      {kNever,     kNever,   kNever,    kNever,     kU,       kNever,    kNever,   kNever}},
    {kReleaseFailed, {kNever,     kNever,   kNever,    kNever,     kToFence, kNever,    kNever,   kNever}},
    {kFence,         {kToFence,   kA,       kToFence,  kToFence,   kToFence,     kF,        kP,       kToFence}},
    {kFenceDone,     {kNever,     kNever,   kNever,    kNever,     kNever,   kToReopen, kNever,   kNever}},
    {kFenceFailed,   {kNever,     kNever,   kNever,    kNever,     kNever,   kS,        kNever,   kNever}},
    {kSettled,       {kU,         kA,       kO,        kD,         kR,       kF,        kP,       kO}},
    {kLost,          {kToReopen,  kA,       kToReopen, kToReopen,  kToReopen,     kF,        kP,       kToReopen}},
    {kReopened,      {kNever,     kNever,   kNever,    kNever,     kNever,   kNever,    kU,       kNever}},
    {kReopenFailed,  {kNever,     kNever,   kNever,    kNever,     kNever,   kNever,    kP,       kNever}},
};
// clang-format on

std::string pair_of(State state, Event event) {
  std::string text{name(state)};
  text += ", event ";
  text += std::to_string(static_cast<int>(event));
  return text;
}

TEST(LockState, EveryPairIsAsWrittenHere) {
  size_t pairs = 0;
  for (const Row& row : kTable) {
    for (size_t i = 0; i < std::size(kStates); ++i) {
      const std::optional<Step>& expected = row.of[i];
      if (!expected) continue;
      const Step got = step(kStates[i], row.event);
      EXPECT_EQ(got.state, expected->state) << pair_of(kStates[i], row.event);
      EXPECT_EQ(got.action, expected->action) << pair_of(kStates[i], row.event);
      ++pairs;
    }
  }
  EXPECT_EQ(pairs, 72u);
}

TEST(LockStateDeathTest, AJobsOutcomeComesOnlyWhileItRuns) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  size_t pairs = 0;
  for (const Row& row : kTable) {
    for (size_t i = 0; i < std::size(kStates); ++i) {
      if (row.of[i]) continue;
      EXPECT_DEATH(step(kStates[i], row.event), "CHECK failed|unreachable")
          << pair_of(kStates[i], row.event);
      ++pairs;
    }
  }
  EXPECT_EQ(pairs, 56u);
}

TEST(LockState, TheTableHasEveryEventOnce) {
  for (size_t i = 0; i < std::size(kTable); ++i) EXPECT_EQ(kTable[i].event, static_cast<Event>(i));
  EXPECT_EQ(std::size(kTable), static_cast<size_t>(kReopenFailed) + 1);
}

TEST(LockState, EveryStateHasItsName) {
  std::vector<std::string_view> names;
  for (const State state : kStates) names.push_back(name(state));
  EXPECT_EQ(names, (std::vector<std::string_view>{"unowned", "acquiring", "owned", "draining",
                                                  "releasing", "fencing", "reopening", "stuck"}));
}

}  // namespace
}  // namespace tcmurbd::lock
