// SPDX-License-Identifier: Apache-2.0
// A gate; the test controls time, peers and load. Uses the default GateSettings.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "rbd_handler/lock/gate.h"

namespace tcmurbd::lock {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using Replies = std::vector<PeerReply>;

inline constexpr Load kIdle{};
inline constexpr Load kWaiting{.waiting_changes = 1};
inline constexpr Load kLive{.in_librbd = 1};
inline constexpr Load kDetached{.in_librbd = 1, .detached_changes = 1};

class GateTest : public ::testing::Test {
 protected:
  // Advances the time and returns the gate's action.
  Action after(Duration duration, const Load& load) {
    now_ += duration;
    return advance(load);
  }
  Action advance(const Load& load) {
    gate_.advance(now_, load);
    return gate_.take_action();
  }
  Replies replies() {
    Replies all;
    gate_.take_replies(all);
    return all;
  }
  void own() { acquire(Outcome::kAcquired); }
  void acquire(Outcome outcome) {
    ASSERT_EQ(advance(kWaiting), Action::kAcquire);
    gate_.on_outcome(outcome, now_);
    ASSERT_EQ(gate_.state(), State::kOwned);
  }
  // An idle owner, to a peer.
  void hand_over() {
    gate_.on_peer_asks(7);
    ASSERT_EQ(advance(kIdle), Action::kRelease);
    gate_.on_outcome(Outcome::kReleased, now_);
  }
  // Long enough for hold_min to pass.
  void own_for_long() {
    own();
    now_ += seconds(1);
  }
  void fence_well() {
    gate_.on_outcome(Outcome::kFenced, now_);
    ASSERT_EQ(gate_.take_action(), Action::kReopen);
    gate_.on_outcome(Outcome::kReopened, now_);
    ASSERT_EQ(gate_.state(), State::kUnowned);
  }
  // For a new gate.
  void enter(State state) {
    if (state == State::kUnowned) return;
    if (state == State::kAcquiring) {
      ASSERT_EQ(advance(kWaiting), Action::kAcquire);
      return;
    }
    own_for_long();
    if (state == State::kDraining || state == State::kReleasing) {
      gate_.on_lun_reset(now_);
      advance(state == State::kDraining ? kLive : kIdle);
    }
    if (state == State::kFencing || state == State::kReopening || state == State::kStuck) {
      gate_.must_fence();
      ASSERT_EQ(gate_.take_action(), Action::kFence);
    }
    if (state == State::kReopening) gate_.on_outcome(Outcome::kFenced, now_);
    if (state == State::kStuck) gate_.on_outcome(Outcome::kFenceFailed, now_);
    gate_.take_action();
    ASSERT_EQ(gate_.state(), state);
  }

  TimePoint now_{std::chrono::hours(1)};
  Gate gate_{GateSettings{}};
};

}  // namespace tcmurbd::lock
