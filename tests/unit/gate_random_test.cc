// SPDX-License-Identifier: Apache-2.0
// A long life of one gate: all events, in any order.
#include <gtest/gtest.h>

#include <random>
#include <utility>
#include <vector>

#include "rbd_handler/lock/gate.h"

namespace tcmurbd::lock {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class GateRandom : public ::testing::Test {
 protected:
  void end(Action action, bool well) {
    switch (action) {
      case Action::kNone:
        return;
      case Action::kAcquire:
        return well ? gate_.on_outcome(
                          random_() % 2 == 0 ? Outcome::kAcquiredFree : Outcome::kAcquired, now_)
                    : gate_.on_outcome(
                          random_() % 2 == 0 ? Outcome::kAcquireLost : Outcome::kAcquireFailed,
                          now_);
      case Action::kRelease:
        return well ? gate_.on_outcome(Outcome::kReleased, now_)
                    : gate_.on_outcome(Outcome::kReleaseFailed, now_);
      case Action::kFence:
        return well ? gate_.on_outcome(Outcome::kFenced, now_)
                    : gate_.on_outcome(Outcome::kFenceFailed, now_);
      case Action::kReopen:
        return well ? gate_.on_outcome(Outcome::kReopened, now_)
                    : gate_.on_outcome(Outcome::kReopenFailed, now_);
    }
  }
  void happen() {
    switch (random_() % 64) {
      case 6:
        return gate_.on_away();
      case 0:
        return gate_.must_fence();
      case 1:
        return gate_.on_lost();
      case 2:
        return gate_.on_lun_reset(now_);
      case 3:
      case 4:
      case 5:
        gate_.on_peer_asks(answers_.size());
        answers_.push_back(0);
        return;
      case 7:
        gate_.on_operator_asks(answers_.size());
        answers_.push_back(0);
        return;
      default:
        break;
    }
    if (random_() % 4 == 0) return end(std::exchange(action_, Action::kNone), random_() % 4 != 0);
    now_ += milliseconds(random_() % 128);
    const uint32_t detached = random_() % 8 == 0;
    gate_.advance(now_, {.waiting_changes = static_cast<uint32_t>(random_() % 2),
                         .in_librbd = detached + static_cast<uint32_t>(random_() % 2),
                         .detached_changes = detached,
                         .oldest_detached = seconds(random_() % 512 == 0 ? 100 : 0)});
  }
  void collect() {
    if (const Action action = gate_.take_action(); action != Action::kNone) {
      // Only a release can be superseded, by a fence or a reopen; its outcome is dropped then.
      ASSERT_TRUE(action_ == Action::kNone ||
                  (action_ == Action::kRelease && action != Action::kAcquire));
      action_ = action;
    }
    std::vector<PeerReply> replies;
    gate_.take_replies(replies);
    for (const PeerReply& reply : replies) ++answers_.at(reply.request);
  }

  TimePoint now_{std::chrono::hours(1)};
  Gate gate_{GateSettings{}};
  std::mt19937 random_;
  Action action_ = Action::kNone;
  std::vector<int> answers_;  // By request.
};

TEST_F(GateRandom, NoRequestIsLostOrAnsweredTwice) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  random_.seed(seed);
  for (int step = 0; step < 50'000 && !HasFatalFailure(); ++step) {
    happen();
    collect();
  }
  for (int step = 0; step < 100; ++step) {
    end(std::exchange(action_, Action::kNone), true);
    collect();
    now_ += milliseconds(100);
    gate_.advance(now_, {});
    collect();
  }
  EXPECT_FALSE(gate_.needs_time());
  EXPECT_GT(answers_.size(), 1000u);
  EXPECT_EQ(answers_, std::vector<int>(answers_.size(), 1));
}

}  // namespace
}  // namespace tcmurbd::lock
