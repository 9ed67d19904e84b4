// SPDX-License-Identifier: Apache-2.0
// Limits of the gate: hung actions, forced fences, and having been away.
#include <string>

#include "tests/unit/gate_fixture.h"

namespace tcmurbd::lock {
namespace {

// --- actions that hang ---

TEST_F(GateTest, AReleaseThatHangsIsFenced) {
  own_for_long();
  gate_.on_peer_asks(7);
  ASSERT_EQ(advance(kIdle), Action::kRelease);
  EXPECT_EQ(after(milliseconds(699), kIdle), Action::kNone);
  EXPECT_EQ(replies(), Replies{});
  EXPECT_FALSE(gate_.lets_through(false)) << "reads would hold it up";
  EXPECT_EQ(after(milliseconds(1), kIdle), Action::kNone);
  EXPECT_EQ(replies(), (Replies{{7, PeerAnswer::kWait}})) << "librbd may have to wait for 5 s";
  EXPECT_TRUE(gate_.lets_through(false)) << "reads wait no longer";
  gate_.on_peer_asks(8);
  EXPECT_EQ(after(milliseconds(7299), kIdle), Action::kNone);
  EXPECT_EQ(replies(), (Replies{{8, PeerAnswer::kWait}}));
  EXPECT_TRUE(gate_.needs_time());
  EXPECT_EQ(after(milliseconds(1), kIdle), Action::kFence);
  fence_well();
}

TEST_F(GateTest, AReleaseIsOvertakenByALostInstance) {
  enter(State::kReleasing);
  gate_.on_lost();
  EXPECT_EQ(gate_.take_action(), Action::kReopen);
  EXPECT_EQ(gate_.state(), State::kReopening);
}

TEST_F(GateTest, TheOutcomeOfAnOvertakenReleaseIsNoNews) {
  enter(State::kReleasing);
  gate_.on_lost();
  ASSERT_EQ(gate_.take_action(), Action::kReopen);
  gate_.on_outcome(Outcome::kReleased, now_);  // It was in flight.
  EXPECT_EQ(gate_.state(), State::kReopening);
  gate_.on_outcome(Outcome::kReleaseFailed, now_);
  EXPECT_EQ(gate_.state(), State::kReopening);
  EXPECT_EQ(gate_.take_action(), Action::kNone);
}

TEST_F(GateTest, AfterAReleaseOfUnknownOutcomeNothingIsChangedUntilTheFence) {
  enter(State::kReleasing);
  gate_.on_outcome(Outcome::kReleaseFailed, now_);
  ASSERT_EQ(gate_.take_action(), Action::kFence);
  gate_.on_outcome(Outcome::kFenceFailed, now_);
  EXPECT_EQ(gate_.state(), State::kStuck);
  EXPECT_FALSE(gate_.lets_through(true)) << "the lock may be another's";
  EXPECT_TRUE(gate_.lets_through(false));
  EXPECT_TRUE(gate_.refuses());
  EXPECT_EQ(after(milliseconds(4999), kIdle), Action::kNone);
  EXPECT_EQ(gate_.state(), State::kStuck) << "there is nothing to settle";
  EXPECT_EQ(after(milliseconds(1), kIdle), Action::kFence);
  fence_well();
  EXPECT_FALSE(gate_.refuses());
}

TEST_F(GateTest, WhoToldAPeerToBreakTheLockChangesNothingWithoutAFence) {
  own();
  gate_.on_peer_asks(7);
  ASSERT_EQ(advance(kDetached), Action::kFence);
  ASSERT_EQ(replies(), (Replies{{7, PeerAnswer::kHoldsDetached}}));
  gate_.on_outcome(Outcome::kFenceFailed, now_);
  EXPECT_EQ(gate_.state(), State::kStuck);
  EXPECT_FALSE(gate_.lets_through(true)) << "the peer may have taken it";
  gate_.on_peer_asks(8);
  EXPECT_EQ(replies(), (Replies{{8, PeerAnswer::kHoldsDetached}}));
}

TEST_F(GateTest, SoDoesOneThatTellsAPeerWhileItIsFenced) {
  enter(State::kFencing);
  gate_.on_peer_asks(7);
  ASSERT_EQ(replies(), (Replies{{7, PeerAnswer::kHoldsDetached}}));
  gate_.on_outcome(Outcome::kFenceFailed, now_);
  EXPECT_FALSE(gate_.lets_through(true)) << "the peer may have taken it";
  EXPECT_TRUE(gate_.refuses());
}

TEST_F(GateTest, ARefusedFenceDoesNotGiveTheLock) {
  ASSERT_EQ(advance({.in_librbd = 1, .oldest_detached = seconds(5)}), Action::kFence);
  gate_.on_outcome(Outcome::kFenceFailed, now_);
  EXPECT_FALSE(gate_.lets_through(true));
  EXPECT_EQ(advance(kIdle), Action::kNone);
  EXPECT_EQ(gate_.state(), State::kStuck);
}

TEST_F(GateTest, AnOwnerWhoseLockIsGoneChangesNothingWithoutAFence) {
  own();
  gate_.on_lock_gone();
  ASSERT_EQ(gate_.take_action(), Action::kFence);
  gate_.on_outcome(Outcome::kFenceFailed, now_);
  EXPECT_FALSE(gate_.lets_through(true));
}

class GateWithJob : public GateTest, public ::testing::WithParamInterface<State> {};

INSTANTIATE_TEST_SUITE_P(Each, GateWithJob,
                         ::testing::Values(State::kAcquiring, State::kFencing, State::kReopening),
                         [](const auto& state) { return std::string(name(state.param)); });

TEST_P(GateWithJob, NobodyWaitsForAHangingJobForLong) {
  enter(GetParam());
  EXPECT_EQ(advance(kWaiting), Action::kNone);
  EXPECT_EQ(after(milliseconds(4999), kWaiting), Action::kNone);
  EXPECT_FALSE(gate_.refuses());
  EXPECT_EQ(after(milliseconds(1), kWaiting), Action::kNone) << "it still runs";
  EXPECT_TRUE(gate_.refuses());
}

TEST_F(GateTest, AHungReadHoldsUpAReleaseOnlyUntilTheBound) {
  constexpr Load kHungRead{.in_librbd = 1};
  own_for_long();
  gate_.on_lun_reset(now_);
  EXPECT_EQ(advance(kHungRead), Action::kNone);
  EXPECT_FALSE(gate_.lets_through(false)) << "more reads would hold it up for ever";
  EXPECT_EQ(after(milliseconds(250), kHungRead), Action::kFence);
}

// --- fences that others force ---

TEST_F(GateTest, FencesThatPeersForceAreSpaced) {
  for (const int wait : {0, 4999, 7499, 11249, 16874, 25312, 37968, 39999, 39999}) {
    own();
    if (wait != 0) {
      now_ += milliseconds(wait);
      gate_.on_peer_asks(1);
      EXPECT_EQ(advance(kDetached), Action::kNone) << wait;
      EXPECT_EQ(replies(), (Replies{{1, PeerAnswer::kWait}})) << wait;
      EXPECT_TRUE(gate_.lets_through(true)) << "served over held ranges meanwhile";
      now_ += milliseconds(1);
    }
    gate_.on_peer_asks(2);
    EXPECT_EQ(advance(kDetached), Action::kFence) << wait;
    EXPECT_EQ(replies(), (Replies{{2, PeerAnswer::kHoldsDetached}})) << wait;
    fence_well();
  }
  own();
  now_ += minutes(2);
  gate_.on_peer_asks(3);
  EXPECT_EQ(advance(kDetached), Action::kFence) << "calm makes it as at first";
}

TEST_F(GateTest, ALunResetSoonAfterAForcedFenceKeepsTheLock) {
  own();
  gate_.on_peer_asks(1);
  ASSERT_EQ(advance(kDetached), Action::kFence);
  replies();
  fence_well();
  own_for_long();
  gate_.on_lun_reset(now_);
  gate_.on_peer_asks(2);
  EXPECT_EQ(advance(kLive), Action::kNone);
  EXPECT_EQ(after(milliseconds(250), kLive), Action::kNone);
  EXPECT_EQ(gate_.state(), State::kOwned);
  EXPECT_EQ(replies(), (Replies{{2, PeerAnswer::kWait}}));
  EXPECT_EQ(after(milliseconds(250), kLive), Action::kNone) << "the reset is over";
}

// --- having been away ---

TEST_F(GateTest, AnOwnerThatWasAwayAsksTheCluster) {
  own_for_long();
  gate_.on_away();
  EXPECT_EQ(gate_.take_action(), Action::kAcquire);
  EXPECT_FALSE(gate_.lets_through(true));
  EXPECT_TRUE(gate_.lets_through(false));
  gate_.on_outcome(Outcome::kAcquired, now_);
  EXPECT_TRUE(gate_.lets_through(true));
  EXPECT_EQ(advance(kIdle), Action::kNone);
}

TEST_F(GateTest, WhatWasAcquiredBeforeItWasAwayIsAskedForAgain) {
  enter(State::kAcquiring);
  gate_.on_away();
  EXPECT_EQ(gate_.take_action(), Action::kNone) << "one is under way";
  gate_.on_outcome(Outcome::kAcquired, now_);
  EXPECT_EQ(gate_.take_action(), Action::kAcquire) << "its outcome may be an old one";
  EXPECT_FALSE(gate_.lets_through(true));
  gate_.on_outcome(Outcome::kAcquired, now_);
  EXPECT_EQ(gate_.take_action(), Action::kNone);
  EXPECT_TRUE(gate_.lets_through(true));
}

}  // namespace
}  // namespace tcmurbd::lock
