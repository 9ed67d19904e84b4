// SPDX-License-Identifier: Apache-2.0
// The gate with time, peers and load: when the lock is acquired, handed over and fenced, and the
// answers to peers. Uses the default GateSettings.
#include <map>
#include <string>
#include <utility>

#include "tests/unit/gate_fixture.h"

namespace tcmurbd::lock {
namespace {

class GateInState : public GateTest, public ::testing::WithParamInterface<State> {};

constexpr State kAll[]{State::kUnowned,   State::kAcquiring, State::kOwned,     State::kDraining,
                       State::kReleasing, State::kFencing,   State::kReopening, State::kStuck};

INSTANTIATE_TEST_SUITE_P(Each, GateInState, ::testing::ValuesIn(kAll),
                         [](const auto& state) { return std::string(name(state.param)); });

TEST_P(GateInState, LetsThroughWhatIsSafe) {
  enter(GetParam());
  const std::map<State, std::pair<bool, bool>> expected{
      // Reads, changes.
      {State::kUnowned, {true, false}},    {State::kAcquiring, {true, false}},
      {State::kOwned, {true, true}},       {State::kDraining, {false, false}},
      {State::kReleasing, {false, false}}, {State::kFencing, {false, false}},
      {State::kReopening, {false, false}}, {State::kStuck, {true, true}}};
  EXPECT_EQ(gate_.lets_through(false), expected.at(GetParam()).first);
  EXPECT_EQ(gate_.lets_through(true), expected.at(GetParam()).second);
}

TEST_P(GateInState, APeerIsAnsweredAtOnceOrWhenItIsKnown) {
  enter(GetParam());
  gate_.on_peer_asks(7);
  switch (GetParam()) {
    case State::kUnowned:
      EXPECT_EQ(replies(), (Replies{{7, PeerAnswer::kNotOwner}}));
      break;
    case State::kFencing:
    case State::kReopening:
      EXPECT_EQ(replies(), (Replies{{7, PeerAnswer::kHoldsDetached}}));
      break;
    case State::kStuck:
      EXPECT_EQ(replies(), (Replies{{7, PeerAnswer::kWait}}));
      break;
    case State::kAcquiring:
      EXPECT_EQ(replies(), Replies{});
      gate_.on_outcome(Outcome::kAcquired, now_);
      EXPECT_EQ(after(milliseconds(199), kIdle), Action::kNone) << "it has only just got it";
      EXPECT_EQ(after(milliseconds(1), kIdle), Action::kRelease);
      break;
    case State::kOwned:
    case State::kDraining:
      EXPECT_EQ(replies(), Replies{});
      EXPECT_EQ(advance(kIdle), Action::kRelease);
      break;
    case State::kReleasing:
      break;
  }
  if (gate_.state() == State::kReleasing) {
    EXPECT_EQ(replies(), Replies{});
    gate_.on_outcome(Outcome::kReleased, now_);
    EXPECT_EQ(replies(), (Replies{{7, PeerAnswer::kReleased}}));
  }
  EXPECT_EQ(replies(), Replies{});
}

TEST_P(GateInState, AnOpsLossOpensAnewUnlessAJobWillTell) {
  enter(GetParam());
  gate_.take_given_up();
  gate_.on_lost();
  const bool busy = GetParam() == State::kAcquiring || GetParam() == State::kFencing ||
                    GetParam() == State::kReopening;
  EXPECT_EQ(gate_.take_action(), busy ? Action::kNone : Action::kReopen);
  EXPECT_EQ(gate_.state(), busy ? GetParam() : State::kReopening);
  EXPECT_EQ(gate_.take_given_up(), !busy);
  EXPECT_FALSE(gate_.take_given_up());
}

TEST_P(GateInState, ALunResetMeansTheOwnerOnly) {
  enter(GetParam());
  gate_.on_lun_reset(now_);
  EXPECT_EQ(advance(kDetached), Action::kNone);
  EXPECT_EQ(gate_.state(), GetParam() == State::kOwned ? State::kDraining : GetParam());
}

// --- hand-over ---

TEST_F(GateTest, AnIdleOwnerHandsOverAtOnce) {
  own_for_long();
  gate_.on_peer_asks(7);
  EXPECT_EQ(advance(kIdle), Action::kRelease);
  EXPECT_EQ(replies(), Replies{}) << "not before it is done";
  gate_.on_outcome(Outcome::kReleased, now_);
  EXPECT_EQ(replies(), (Replies{{7, PeerAnswer::kReleased}}));
  EXPECT_EQ(gate_.state(), State::kUnowned);
  EXPECT_FALSE(gate_.take_given_up());
}

// What a gateway with waiting writes waits after it handed the lock over, before it asks again.
TEST_F(GateTest, ASlowPeerGetsMoreTimeEachTime) {
  for (const int wait : {200, 400, 800, 1600, 1600}) {
    own_for_long();
    hand_over();
    EXPECT_EQ(after(milliseconds(wait - 1), kWaiting), Action::kNone);
    now_ += milliseconds(1);
    acquire(Outcome::kAcquiredFree);
    gate_.on_lun_reset(now_);  // A release for nobody changes nothing.
    ASSERT_EQ(advance(kIdle), Action::kRelease);
    gate_.on_outcome(Outcome::kReleased, now_);
  }
  acquire(Outcome::kAcquiredFree);
  now_ += seconds(1);
  hand_over();
  now_ += milliseconds(1600);
  acquire(Outcome::kAcquired);  // From the peer: it was fast enough.
  now_ += seconds(1);
  hand_over();
  EXPECT_EQ(after(milliseconds(199), kWaiting), Action::kNone);
  EXPECT_EQ(after(milliseconds(1), kWaiting), Action::kAcquire);
}

TEST_F(GateTest, LiveWritesMayEndFirst) {
  own_for_long();
  gate_.on_peer_asks(7);
  EXPECT_EQ(advance(kLive), Action::kNone);
  EXPECT_EQ(gate_.state(), State::kDraining);
  EXPECT_EQ(after(milliseconds(699), kLive), Action::kNone);
  EXPECT_EQ(advance(kIdle), Action::kRelease);
  gate_.on_outcome(Outcome::kReleased, now_);
  EXPECT_EQ(replies(), (Replies{{7, PeerAnswer::kReleased}}));
}

TEST_F(GateTest, LiveWritesThatDoNotEndAreFenced) {
  own_for_long();
  gate_.on_peer_asks(7);
  EXPECT_EQ(advance(kLive), Action::kNone);
  EXPECT_EQ(after(milliseconds(699), kLive), Action::kNone);
  EXPECT_EQ(replies(), Replies{});
  EXPECT_EQ(after(milliseconds(1), kLive), Action::kFence);
  EXPECT_EQ(replies(), (Replies{{7, PeerAnswer::kHoldsDetached}})) << "it need not wait for ours";
  fence_well();
  EXPECT_EQ(replies(), Replies{});
}

TEST_F(GateTest, WithADetachedWriteThePeerIsToldAtOnce) {
  own();  // Not even hold_min applies.
  gate_.on_peer_asks(7);
  EXPECT_EQ(advance(kDetached), Action::kFence);
  EXPECT_EQ(replies(), (Replies{{7, PeerAnswer::kHoldsDetached}}));
}

TEST_F(GateTest, AWriteDetachedWhileDrainingTellsThePeerAtOnce) {
  own_for_long();
  gate_.on_peer_asks(7);
  EXPECT_EQ(advance(kLive), Action::kNone);
  EXPECT_EQ(after(milliseconds(10), kDetached), Action::kFence);
  EXPECT_EQ(replies(), (Replies{{7, PeerAnswer::kHoldsDetached}}));
}

TEST_F(GateTest, AReleaseThatFailedIsFencedAndThePeerTold) {
  own_for_long();
  gate_.on_peer_asks(7);
  ASSERT_EQ(advance(kIdle), Action::kRelease);
  gate_.on_outcome(Outcome::kReleaseFailed, now_);
  EXPECT_EQ(gate_.take_action(), Action::kFence);
  EXPECT_EQ(replies(), (Replies{{7, PeerAnswer::kHoldsDetached}}));
}

TEST_F(GateTest, AnOwnerKeepsTheLockForAWhile) {
  own();
  gate_.on_peer_asks(7);
  EXPECT_EQ(advance(kIdle), Action::kNone);
  EXPECT_EQ(after(milliseconds(199), kIdle), Action::kNone);
  EXPECT_TRUE(gate_.lets_through(true)) << "it is used meanwhile";
  EXPECT_EQ(after(milliseconds(1), kIdle), Action::kRelease);
}

TEST_F(GateTest, AfterAHandOverTheTakerHasItForAWhile) {
  own_for_long();
  gate_.on_peer_asks(7);
  ASSERT_EQ(advance(kIdle), Action::kRelease);
  gate_.on_outcome(Outcome::kReleased, now_);
  EXPECT_EQ(advance(kWaiting), Action::kNone);
  EXPECT_FALSE(gate_.refuses()) << "it is a short wait";
  EXPECT_EQ(after(milliseconds(199), kWaiting), Action::kNone);
  EXPECT_EQ(after(milliseconds(1), kWaiting), Action::kAcquire);
}

TEST_F(GateTest, EveryPeerIsAnsweredOnce) {
  enter(State::kAcquiring);
  gate_.on_peer_asks(1);
  gate_.on_outcome(Outcome::kAcquired, now_);
  gate_.on_peer_asks(2);
  EXPECT_EQ(after(milliseconds(200), kLive), Action::kNone);
  gate_.on_peer_asks(3);
  EXPECT_EQ(advance(kIdle), Action::kRelease);
  gate_.on_peer_asks(4);
  EXPECT_EQ(replies(), Replies{});
  gate_.on_outcome(Outcome::kReleased, now_);
  gate_.on_peer_asks(5);
  EXPECT_EQ(replies(), (Replies{{1, PeerAnswer::kReleased},
                                {2, PeerAnswer::kReleased},
                                {3, PeerAnswer::kReleased},
                                {4, PeerAnswer::kReleased},
                                {5, PeerAnswer::kNotOwner}}));
  EXPECT_EQ(replies(), Replies{});
}

// --- LUN RESET ---

TEST_F(GateTest, ALunResetReleasesWhenIdle) {
  own();
  gate_.on_lun_reset(now_);
  EXPECT_EQ(advance(kIdle), Action::kRelease) << "hold_min is for peers";
  gate_.on_outcome(Outcome::kReleased, now_);
  EXPECT_EQ(advance(kWaiting), Action::kAcquire) << "no peer asked for it";
}

TEST_F(GateTest, ALunResetFencesWhatDoesNotEnd) {
  own();
  gate_.on_lun_reset(now_);
  EXPECT_EQ(advance(kDetached), Action::kNone);
  EXPECT_EQ(gate_.state(), State::kDraining);
  now_ += milliseconds(100);
  gate_.on_lun_reset(now_);  // Does not restart the wait.
  EXPECT_EQ(after(milliseconds(149), kDetached), Action::kNone);
  EXPECT_EQ(after(milliseconds(1), kDetached), Action::kFence);
  fence_well();
  own();
  EXPECT_EQ(advance(kIdle), Action::kNone) << "the reset is over";
}

TEST_F(GateTest, ALunResetWaitsForWhatEndsInTime) {
  own();
  gate_.on_lun_reset(now_);
  EXPECT_EQ(advance(kDetached), Action::kNone);
  EXPECT_EQ(after(milliseconds(249), kIdle), Action::kRelease);
}

// --- acquiring ---

TEST_F(GateTest, AFailedAcquireRefusesUntilTheNextAttempt) {
  enter(State::kAcquiring);
  EXPECT_FALSE(gate_.refuses());
  gate_.on_peer_asks(7);
  gate_.on_outcome(Outcome::kAcquireFailed, now_);
  EXPECT_EQ(replies(), (Replies{{7, PeerAnswer::kNotOwner}}));
  EXPECT_TRUE(gate_.refuses());
  EXPECT_EQ(after(milliseconds(299), kWaiting), Action::kNone);
  EXPECT_TRUE(gate_.refuses());
  EXPECT_EQ(after(milliseconds(1), kWaiting), Action::kAcquire);
  EXPECT_FALSE(gate_.refuses());
}

TEST_F(GateTest, ALostAcquireOpensAnewAndRefusesUntilThen) {
  enter(State::kAcquiring);
  gate_.on_peer_asks(7);
  gate_.on_outcome(Outcome::kAcquireLost, now_);
  EXPECT_EQ(gate_.state(), State::kReopening);
  EXPECT_EQ(gate_.take_action(), Action::kReopen);
  EXPECT_TRUE(gate_.refuses()) << "who waits may have been given up by its host meanwhile";
  EXPECT_TRUE(gate_.take_given_up());
  EXPECT_EQ(replies(), (Replies{{7, PeerAnswer::kNotOwner}}));
  gate_.on_outcome(Outcome::kReopened, now_);
  EXPECT_FALSE(gate_.refuses());
  EXPECT_EQ(advance(kWaiting), Action::kAcquire) << "at once";
}

// --- fencing ---

TEST_F(GateTest, AFenceGivesTheInstanceUpOnceItIsDone) {
  enter(State::kFencing);
  EXPECT_FALSE(gate_.take_given_up());
  gate_.must_fence();
  EXPECT_EQ(gate_.take_action(), Action::kNone) << "one is under way";
  gate_.on_outcome(Outcome::kFenced, now_);
  EXPECT_EQ(gate_.take_action(), Action::kReopen);
  EXPECT_TRUE(gate_.take_given_up());
  EXPECT_FALSE(gate_.take_given_up());
  gate_.on_outcome(Outcome::kReopened, now_);
  EXPECT_EQ(gate_.state(), State::kUnowned);
  EXPECT_FALSE(gate_.take_given_up());
}

TEST_F(GateTest, StuckEndsWhenTheDetachedWritesDo) {
  enter(State::kStuck);
  EXPECT_FALSE(gate_.refuses()) << "what overlaps nothing is served";
  EXPECT_EQ(after(milliseconds(100), kDetached), Action::kNone);
  EXPECT_EQ(gate_.state(), State::kStuck);
  EXPECT_EQ(advance(kLive), Action::kNone);
  EXPECT_EQ(gate_.state(), State::kOwned);
  EXPECT_FALSE(gate_.take_given_up()) << "the instance is as good as before";
}

TEST_F(GateTest, StuckTriesAgainAfterAWhile) {
  enter(State::kStuck);
  gate_.must_fence();
  EXPECT_EQ(gate_.take_action(), Action::kNone) << "not as fast as it can";
  EXPECT_EQ(after(milliseconds(4999), kDetached), Action::kNone);
  EXPECT_EQ(after(milliseconds(1), kDetached), Action::kFence);
  gate_.on_outcome(Outcome::kFenceFailed, now_);
  EXPECT_EQ(after(milliseconds(4999), kDetached), Action::kNone);
  EXPECT_EQ(after(milliseconds(1), kDetached), Action::kFence);
  fence_well();
}

// Without quorum a fence takes ten seconds to fail, and is retried five seconds later.
TEST_F(GateTest, WhatIsServedWhileStuckIsServedDuringItsRetries) {
  enter(State::kStuck);
  ASSERT_EQ(after(seconds(5), kDetached), Action::kFence);
  EXPECT_EQ(after(seconds(10), kDetached), Action::kNone);
  EXPECT_TRUE(gate_.lets_through(false));
  EXPECT_TRUE(gate_.lets_through(true));
  EXPECT_FALSE(gate_.refuses());
  gate_.on_peer_asks(7);
  EXPECT_EQ(replies(), (Replies{{7, PeerAnswer::kWait}}));
  EXPECT_TRUE(gate_.lets_through(true)) << "the peer does not break the lock";
  gate_.on_outcome(Outcome::kFenced, now_);
  EXPECT_FALSE(gate_.lets_through(false));
  EXPECT_FALSE(gate_.lets_through(true));
  EXPECT_TRUE(gate_.take_given_up());
}

TEST_F(GateTest, ARetryThatMayHaveLostTheLockServesReadsOnly) {
  enter(State::kStuck);
  gate_.on_lock_gone();
  ASSERT_EQ(after(seconds(5), kDetached), Action::kFence);
  EXPECT_TRUE(gate_.lets_through(false));
  EXPECT_FALSE(gate_.lets_through(true));
  gate_.on_peer_asks(7);
  EXPECT_EQ(replies(), (Replies{{7, PeerAnswer::kHoldsDetached}}));
}

TEST_F(GateTest, ALockThatBreaksDuringARetryStopsChanges) {
  enter(State::kStuck);
  ASSERT_EQ(after(seconds(5), kDetached), Action::kFence);
  gate_.on_lock_gone();
  EXPECT_FALSE(gate_.lets_through(true));
  EXPECT_TRUE(gate_.lets_through(false));
}

TEST_F(GateTest, AFailedReopenRefusesAndIsTriedAgain) {
  enter(State::kReopening);
  for (int attempt = 0; attempt < 3; ++attempt) {
    EXPECT_EQ(after(seconds(60), kWaiting), Action::kNone) << "one is under way";
    gate_.on_outcome(Outcome::kReopenFailed, now_);
    EXPECT_TRUE(gate_.refuses());
    EXPECT_EQ(after(milliseconds(4999), kWaiting), Action::kNone);
    EXPECT_EQ(after(milliseconds(1), kWaiting), Action::kReopen);
    EXPECT_TRUE(gate_.refuses());
  }
  gate_.on_outcome(Outcome::kReopened, now_);
  EXPECT_FALSE(gate_.refuses());
  EXPECT_EQ(advance(kWaiting), Action::kAcquire);
}

// --- age ---

constexpr Load aged(Duration age) {
  return {.in_librbd = 1, .detached_changes = 1, .oldest_detached = age};
}

TEST_F(GateTest, EachFenceForAgeDoublesTheLimit) {
  for (const int limit : {5, 10, 20, 40, 80, 80, 80}) {
    own_for_long();
    EXPECT_EQ(advance(aged(seconds(limit) - milliseconds(1))), Action::kNone) << limit;
    EXPECT_EQ(advance(aged(seconds(limit))), Action::kFence) << limit;
    fence_well();
  }
  own();
  now_ += minutes(2) - seconds(1);
  EXPECT_EQ(advance(aged(seconds(79))), Action::kNone) << "not calm for long enough";
  now_ += seconds(1);
  EXPECT_EQ(advance(aged(milliseconds(4999))), Action::kNone);
  EXPECT_EQ(advance(aged(seconds(5))), Action::kFence) << "calm makes it as at first";
}

TEST_F(GateTest, AFenceForAnotherReasonDoublesNothing) {
  own_for_long();
  gate_.must_fence();
  ASSERT_EQ(gate_.take_action(), Action::kFence);
  fence_well();
  own_for_long();
  EXPECT_EQ(advance(aged(seconds(5))), Action::kFence);
}

TEST_F(GateTest, HungReadsAreFencedWithoutTheLockToo) {
  EXPECT_EQ(advance({.oldest_detached = milliseconds(4999)}), Action::kNone);
  EXPECT_EQ(advance({.oldest_detached = seconds(5)}), Action::kFence);
}

// --- time ---

TEST_P(GateInState, NeedsTimeWhereTimeChangesSomething) {
  enter(GetParam());
  EXPECT_EQ(gate_.needs_time(), GetParam() == State::kDraining || GetParam() == State::kStuck ||
                                    GetParam() == State::kReleasing);
}

TEST_F(GateTest, NeedsTimeForPeersResetsAndAttempts) {
  EXPECT_FALSE(gate_.needs_time());
  enter(State::kAcquiring);
  EXPECT_FALSE(gate_.needs_time());
  gate_.on_outcome(Outcome::kAcquireFailed, now_);
  EXPECT_TRUE(gate_.needs_time()) << "until it refuses no more";
  EXPECT_EQ(after(milliseconds(300), kIdle), Action::kNone);
  EXPECT_FALSE(gate_.needs_time());
  own();
  EXPECT_FALSE(gate_.needs_time());
  gate_.on_peer_asks(7);
  EXPECT_TRUE(gate_.needs_time());
  ASSERT_EQ(after(milliseconds(200), kIdle), Action::kRelease);
  gate_.on_outcome(Outcome::kReleased, now_);
  EXPECT_FALSE(gate_.needs_time());
  now_ += seconds(1);
  own();
  gate_.on_lun_reset(now_);
  EXPECT_TRUE(gate_.needs_time());
  ASSERT_EQ(advance(kLive), Action::kNone);
  ASSERT_EQ(after(milliseconds(250), kLive), Action::kFence);
  EXPECT_FALSE(gate_.needs_time()) << "the outcome of the action follows";
  gate_.on_outcome(Outcome::kFenced, now_);
  ASSERT_EQ(gate_.take_action(), Action::kReopen);
  EXPECT_FALSE(gate_.needs_time());
  gate_.on_outcome(Outcome::kReopenFailed, now_);
  EXPECT_TRUE(gate_.needs_time());
  ASSERT_EQ(after(seconds(5), kIdle), Action::kReopen);
  gate_.on_outcome(Outcome::kReopened, now_);
  EXPECT_FALSE(gate_.needs_time());
}

}  // namespace
}  // namespace tcmurbd::lock
