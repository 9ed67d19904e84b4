// SPDX-License-Identifier: Apache-2.0
// A gate and an operator: who asks for the lock's release, and who looks at what comes next.
#include <gmock/gmock.h>

#include "tests/unit/gate_fixture.h"

namespace tcmurbd::lock {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint64_t kOperator = 70;
constexpr uint64_t kPeer = 71;

class GateOperator : public GateTest {
 protected:
  void answered(PeerAnswer answer) {
    EXPECT_THAT(replies(), ElementsAre(PeerReply{kOperator, answer}));
  }
};

TEST_F(GateOperator, AnIdleOwnerReleasesAtOnce) {
  own();
  gate_.on_operator_asks(kOperator);
  EXPECT_EQ(advance(kIdle), Action::kRelease);
  EXPECT_THAT(replies(), IsEmpty());
  gate_.on_outcome(Outcome::kReleased, now_);
  answered(PeerAnswer::kReleased);
  EXPECT_FALSE(gate_.needs_time());
  // Who has work gets it again, without a pause.
  EXPECT_EQ(advance(kWaiting), Action::kAcquire);
}

TEST_F(GateOperator, WaitsForOpsInFlight) {
  own();
  gate_.on_operator_asks(kOperator);
  EXPECT_EQ(advance(kLive), Action::kNone);
  EXPECT_EQ(gate_.state(), State::kDraining);
  EXPECT_EQ(after(milliseconds(100), kIdle), Action::kRelease);
}

TEST_F(GateOperator, NeverFences) {
  own();
  gate_.on_operator_asks(kOperator);
  advance(kLive);
  EXPECT_EQ(after(milliseconds(700), kLive), Action::kNone);
  EXPECT_EQ(gate_.state(), State::kOwned);
  answered(PeerAnswer::kWait);
  EXPECT_FALSE(gate_.needs_time());
}

TEST_F(GateOperator, KeepsTheLockOverHungWrites) {
  own();
  gate_.on_operator_asks(kOperator);
  EXPECT_EQ(advance(kDetached), Action::kNone);
  EXPECT_EQ(gate_.state(), State::kOwned);
  answered(PeerAnswer::kWait);
}

// What a peer is promised holds beside an operator.
TEST_F(GateOperator, APeerStillCausesAFence) {
  own_for_long();
  gate_.on_operator_asks(kOperator);
  advance(kLive);
  gate_.on_peer_asks(kPeer);
  EXPECT_EQ(after(milliseconds(700), kDetached), Action::kFence);
  EXPECT_THAT(replies(), ElementsAre(PeerReply{kPeer, PeerAnswer::kHoldsDetached},
                                     PeerReply{kOperator, PeerAnswer::kHoldsDetached}));
}

TEST_F(GateOperator, AfterAnAcquireThatFails) {
  enter(State::kAcquiring);
  gate_.on_operator_asks(kOperator);
  EXPECT_THAT(replies(), IsEmpty());
  gate_.on_outcome(Outcome::kAcquireFailed, now_);
  answered(PeerAnswer::kNotOwner);
}

TEST_F(GateOperator, AnAcquireComesFirst) {
  enter(State::kAcquiring);
  gate_.on_operator_asks(kOperator);
  gate_.on_outcome(Outcome::kAcquired, now_);
  EXPECT_EQ(advance(kIdle), Action::kRelease);
}

TEST_F(GateOperator, ASlowReleaseIsToldOf) {
  enter(State::kReleasing);
  gate_.on_operator_asks(kOperator);
  after(milliseconds(700), kIdle);
  answered(PeerAnswer::kWait);
}

TEST_F(GateOperator, WithoutTheLock) {
  gate_.on_operator_asks(kOperator);
  answered(PeerAnswer::kNotOwner);
}

TEST_F(GateOperator, WhileItIsFenced) {
  enter(State::kFencing);
  gate_.on_operator_asks(kOperator);
  answered(PeerAnswer::kHoldsDetached);
}

TEST_F(GateOperator, WhileItReopens) {
  enter(State::kReopening);
  gate_.on_operator_asks(kOperator);
  answered(PeerAnswer::kHoldsDetached);
}

TEST_F(GateOperator, WhileItIsStuck) {
  enter(State::kStuck);
  gate_.on_operator_asks(kOperator);
  answered(PeerAnswer::kWait);
}

class GateLook : public GateTest {
 protected:
  GateView look(const Load& load = kIdle) const { return gate_.view(now_, load); }
};

TEST_F(GateLook, OwnedSinceWithoutAFence) {
  own();
  advance(kIdle);
  now_ += seconds(3);
  EXPECT_EQ(look().state, State::kOwned);
  EXPECT_EQ(look().in_state, seconds(3));
  EXPECT_FALSE(look().fence_in || look().retry_in || look().busy_in);
}

TEST_F(GateLook, TheFenceComesWhenItSays) {
  own();
  const Load load{.in_librbd = 1, .detached_changes = 1, .oldest_detached = seconds(2)};
  EXPECT_EQ(look(load).fence_in, seconds(3));
  EXPECT_EQ(advance({.in_librbd = 1, .detached_changes = 1, .oldest_detached = milliseconds(4999)}),
            Action::kNone);
  EXPECT_EQ(advance({.in_librbd = 1, .detached_changes = 1, .oldest_detached = seconds(5)}),
            Action::kFence);
  fence_well();
  own();
  EXPECT_EQ(look(load).fence_in, seconds(8)) << "the next one is further away";
}

TEST_F(GateLook, DrainingIsBounded) {
  enter(State::kDraining);
  EXPECT_EQ(look(kLive).fence_in, milliseconds(250));
}

TEST_F(GateLook, AReleaseIsBounded) {
  enter(State::kReleasing);
  now_ += seconds(2);
  EXPECT_EQ(look().fence_in, seconds(6));
}

TEST_F(GateLook, WhatIsTriedAgain) {
  enter(State::kStuck);
  now_ += seconds(2);
  EXPECT_EQ(look(kDetached).retry_in, seconds(3));
}

TEST_F(GateLook, AnActionThatTakesTooLong) {
  enter(State::kAcquiring);
  advance(kWaiting);
  now_ += seconds(2);
  EXPECT_EQ(look(kWaiting).busy_in, seconds(3));
  after(seconds(3), kWaiting);
  EXPECT_TRUE(look(kWaiting).refuses);
  EXPECT_FALSE(look(kWaiting).busy_in.has_value());
}

TEST_F(GateLook, AFailedAcquire) {
  enter(State::kAcquiring);
  gate_.on_outcome(Outcome::kAcquireFailed, now_);
  EXPECT_EQ(look(kWaiting).retry_in, milliseconds(300));
}

TEST_F(GateLook, AFailedReopening) {
  enter(State::kReopening);
  gate_.on_outcome(Outcome::kReopenFailed, now_);
  EXPECT_EQ(look(kWaiting).retry_in, seconds(5));
}

TEST_F(GateLook, PeersThatWait) {
  enter(State::kDraining);
  gate_.on_peer_asks(kPeer);
  EXPECT_EQ(look(kLive).peers, 1U);
}

}  // namespace
}  // namespace tcmurbd::lock
