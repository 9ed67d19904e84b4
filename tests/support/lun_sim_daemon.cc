// SPDX-License-Identifier: Apache-2.0
// The edges of the daemon that serves the LUN, and its time.
#include <gtest/gtest.h>

#include "tests/support/lun_sim.h"

namespace tcmurbd::testing {

using std::chrono::milliseconds;

// Long times are shortened, so that events happen often.
DeviceSettings LunSim::settings() const {
  return {.gate = {.fence_after = milliseconds(1500),
                   .fence_calm = milliseconds(5000),
                   .fence_retry = milliseconds(1000),
                   .release_patience = milliseconds(1000),
                   .action_patience = milliseconds(2500)},
          .deadline = life_.deadline,
          .reads_need_lock = life_.reads_need_lock,
          .kernel_limit = life_.kernel_deadline,
          .primary = cluster_.primary};
}

ring::Ring LunSim::fresh_ring() { return ring::Ring::attach(kernel_.map()).value(); }

void LunSim::run_device() {
  if (!device_) return;
  while (device_->on_ring(now_)) {
  }
  take_effects();
  check_aborted();
  if (!device_->broken_reason().empty()) restart_ring();
}

void LunSim::take_effects() {
  take_action();
  if (device_->publish()) kernel_.doorbell();
  const auto freed = effects_.take<FreeKeptBuffer>(*device_);
  collect_of_copies();
  for (const auto& [id] : freed) EXPECT_TRUE(kernel_.free_kept_buf(id)) << id;
  effects_.take<Report>(*device_);
  for (const auto& reply : effects_.take<lock::PeerReply>(*device_)) {
    if (peer_asks_ && reply.request == *peer_asks_) hear_daemon(reply.answer);
  }
  collect();
}

void LunSim::take_action() {
  const lock::Action action = effects_.take_action(*device_);
  if (action == lock::Action::kNone) return;
  // A hung release is superseded; it may succeed anyway.
  EXPECT_TRUE(action_ == lock::Action::kNone || action_ == lock::Action::kRelease)
      << "two actions at a time";
  if (action_ == lock::Action::kRelease && cluster_.lock_owner == mine_ && chance(3))
    mine_->release();
  action_ = action;
  // librbd's release waits for all ops in flight; the device must have waited before.
  if (action == lock::Action::kRelease) {
    releasing_since_.reset();  // It may be the second one since time passed.
    EXPECT_EQ(mine_->pending(), 0u) << "released with ops under way";
    EXPECT_FALSE(mine_->changes_pending()) << "released over a write that may still land";
  }
}

void LunSim::pass_time() {
  const int ticks = chance(8) ? 20 : 1;
  if (watch_lost_ && device_ && chance(4)) tell_watch_lost();
  for (int i = 0; i < ticks; ++i) {
    now_ += Device::kTick;
    expire();
    if (device_ && device_->wants_time()) device_->on_time(now_);
    run_device();
  }
  if (!device_) return;
  check_overdue();
  // Do not wait for an action that waits for a hung op.
  if (device_->lock_state() != lock::State::kReleasing) {
    releasing_since_.reset();
  } else if (!releasing_since_ || *releasing_since_ < awake_since_) {
    releasing_since_ = now_;
  }
  EXPECT_FALSE(releasing_since_ && now_ - *releasing_since_ > milliseconds(1500))
      << "the lock has been being released for too long; now " << clock_;
}

// The kernel answers commands older than cmd_time_out; a command that waits for space is not on the
// ring, and its time has not started.
void LunSim::expire() {
  for (auto& [tag, command] : open_) {
    if (now_ - command.since < life_.kernel_deadline) continue;
    if (kernel_.waits(tag)) {
      command.since = now_;
    } else if (kernel_.cmd_id(tag)) {
      kernel_.expire(tag);
    }
  }
  collect();
}

void LunSim::report_done(const OpDone& done) {
  if (done.token == kPeersOp || !device_) return;
  if (frozen_) {
    inbox_.push_back(done);
  } else {
    device_->on_done(done, now_);
  }
}

// Like the daemon with a broken ring, some time later.
void LunSim::restart_ring() {
  if (!device_->ring_unused() || !chance(4)) return;
  kernel_.set_blocked(true);
  kernel_.reset_ring();
  device_->restart(fresh_ring());
  kernel_.set_blocked(false);
  collect();
}

void LunSim::tell_watch_lost() {
  watch_lost_ = false;
  device_->on_away(AwayCause::kWatchLost, {}, now_);
}

// The daemon runs again after `gap`: events of the meantime reach it now.
void LunSim::thaw(Duration gap) {
  frozen_ = false;
  awake_since_ = now_;
  if (gap > device_->away_limit()) device_->on_away(AwayCause::kReactorGap, gap, now_);
  for (const OpDone& done : std::exchange(inbox_, {})) device_->on_done(done, now_);
  if (std::exchange(peer_unheard_, false) && peer_asks_) device_->on_peer_asks(*peer_asks_, now_);
  run_device();
}

}  // namespace tcmurbd::testing
