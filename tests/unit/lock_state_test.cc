// SPDX-License-Identifier: Apache-2.0
// The state table of the exclusive lock: what each history leads to, and what holds for all pairs.
#include "rbd_handler/lock/lock_state.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace tcmurbd::lock {
namespace {

using enum State;
using enum Event;

constexpr State kStates[]{kUnowned,   kAcquiring, kOwned,     kDraining,
                          kReleasing, kFencing,   kReopening, kStuck};

std::string pair_of(State state, Event event) {
  return std::string(name(state)) + ", event " + std::to_string(static_cast<int>(event));
}

// An event, and what is expected after it.
struct Expected {
  Event event;
  State state;
  Action action = Action::kNone;
};

void walk(State state, const std::vector<Expected>& history) {
  for (const Expected& expected : history) {
    const Step got = step(state, expected.event);
    EXPECT_EQ(got.state, expected.state) << pair_of(state, expected.event);
    EXPECT_EQ(got.action, expected.action) << pair_of(state, expected.event);
    state = got.state;
  }
}

TEST(LockState, IsAcquiredOnDemandAndReleasedToAPeer) {
  walk(kUnowned, {{kYield, kUnowned},
                  {kNeeded, kAcquiring, Action::kAcquire},
                  {kAcquired, kOwned},
                  {kNeeded, kOwned},
                  {kYield, kDraining},
                  {kNeeded, kDraining},
                  {kYield, kDraining},
                  {kDrained, kReleasing, Action::kRelease},
                  {kNeeded, kReleasing},
                  {kReleased, kUnowned},
                  {kNeeded, kAcquiring, Action::kAcquire},
                  {kAcquireFailed, kUnowned}});
}

TEST(LockState, AReleaseThatHasNotBegunCanBeCancelled) {
  walk(kOwned, {{kYield, kDraining}, {kKeep, kOwned}, {kKeep, kOwned}});
  walk(kReleasing, {{kKeep, kReleasing}, {kYield, kReleasing}, {kDrained, kReleasing}});
}

TEST(LockState, IsVerifiedByAnAcquire) {
  walk(kOwned,
       {{kVerify, kAcquiring, Action::kAcquire}, {kVerify, kAcquiring}, {kAcquired, kOwned}});
  // A release shows by its result whether the lock was held.
  walk(kDraining, {{kVerify, kDraining}});
  walk(kUnowned, {{kVerify, kUnowned}});
}

TEST(LockState, AFenceLeadsToANewInstance) {
  for (const State state : {kUnowned, kOwned, kDraining, kReleasing, kStuck})
    walk(state, {{kFence, kFencing, Action::kFence},
                 {kFence, kFencing},
                 {kNeeded, kFencing},
                 {kLost, kFencing},
                 {kFenceDone, kReopening, Action::kReopen},
                 {kFence, kReopening},
                 {kLost, kReopening},
                 {kNeeded, kReopening},
                 {kReopenFailed, kReopening},
                 {kReopened, kUnowned}});
}

TEST(LockState, AReleaseOfUnknownOutcomeIsFenced) {
  walk(kReleasing, {{kReleaseFailed, kFencing, Action::kFence}});
}

TEST(LockState, AnInstanceThatAnotherGatewayFencedIsReplaced) {
  for (const State state : {kUnowned, kOwned, kDraining, kReleasing, kStuck})
    walk(state, {{kLost, kReopening, Action::kReopen}, {kReopened, kUnowned}});
}

TEST(LockState, WithoutAFenceTheLockIsKeptUntilTheWritesHaveEnded) {
  walk(kFencing, {{kFenceFailed, kStuck},
                  {kYield, kStuck},
                  {kNeeded, kStuck},
                  {kDrained, kStuck},
                  {kKeep, kStuck},
                  {kVerify, kStuck},
                  {kSettled, kOwned},
                  {kSettled, kOwned}});
}

// While an acquire, a fence or a reopening runs, only its outcome has an effect.
TEST(LockState, OnlyTheOutcomeEndsAnAction) {
  for (const State state : {kAcquiring, kFencing, kReopening})
    for (const Event event : {kNeeded, kYield, kKeep, kVerify, kDrained, kFence, kSettled, kLost})
      walk(state, {{event, state}});
}

// A state without a running action acts upon these events only; a release is superseded by two.
TEST(LockState, AllOtherEventsChangeNothing) {
  const std::vector<std::pair<State, std::set<Event>>> effective{
      {kUnowned, {kNeeded, kFence, kLost}},          {kOwned, {kYield, kVerify, kFence, kLost}},
      {kDraining, {kKeep, kDrained, kFence, kLost}}, {kReleasing, {kFence, kLost}},
      {kStuck, {kFence, kSettled, kLost}},
  };
  for (const auto& [state, events] : effective)
    for (const Event event : {kNeeded, kYield, kKeep, kVerify, kDrained, kFence, kSettled, kLost}) {
      if (events.contains(event))
        EXPECT_NE(step(state, event), Step{state}) << pair_of(state, event);
      else
        walk(state, {{event, state}});
    }
}

// An action begins only in the step to the state that runs it, so no two run side by side.
TEST(LockState, AnActionBeginsWithItsState) {
  const std::vector<std::pair<State, Action>> runs{{kAcquiring, Action::kAcquire},
                                                   {kReleasing, Action::kRelease},
                                                   {kFencing, Action::kFence},
                                                   {kReopening, Action::kReopen}};
  for (const State state : kStates)
    for (const Event event : {kNeeded, kYield, kKeep, kVerify, kDrained, kFence, kSettled, kLost}) {
      const Step got = step(state, event);
      Action expected = Action::kNone;
      for (const auto& [runs_in, action] : runs)
        if (got.state == runs_in && state != runs_in) expected = action;
      EXPECT_EQ(got.action, expected) << pair_of(state, event);
    }
}

TEST(LockStateDeathTest, AnOutcomeComesOnlyWhileItsActionRuns) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const std::vector<std::pair<Event, State>> outcomes{
      {kAcquired, kAcquiring},      {kAcquireFailed, kAcquiring}, {kReleased, kReleasing},
      {kReleaseFailed, kReleasing}, {kFenceDone, kFencing},       {kFenceFailed, kFencing},
      {kReopened, kReopening},      {kReopenFailed, kReopening}};
  for (const auto& [event, runs_in] : outcomes)
    for (const State state : kStates) {
      if (state == runs_in) continue;
      EXPECT_DEATH(step(state, event), "CHECK failed") << pair_of(state, event);
    }
}

TEST(LockState, EveryStateHasItsName) {
  std::vector<std::string_view> names;
  for (const State state : kStates) names.push_back(name(state));
  EXPECT_EQ(names, (std::vector<std::string_view>{"unowned", "acquiring", "owned", "draining",
                                                  "releasing", "fencing", "reopening", "stuck"}));
}

}  // namespace
}  // namespace tcmurbd::lock
