// SPDX-License-Identifier: Apache-2.0
// How ops and the lock's jobs end.
#include <gtest/gtest.h>

#include <cerrno>

#include "tests/support/lun_sim.h"

namespace tcmurbd::testing {

// Of any instance; those that were given up have to live with it.
void LunSim::end_some_op() {
  std::vector<FakeInstance*> busy;
  for (FakeInstance& instance : cluster_.instances()) {
    if (instance.pending() + instance.gave_up() != 0) busy.push_back(&instance);
  }
  if (busy.empty()) return;
  const bool mine_first = weather() == Weather::kCalm && mine_->pending() != 0;
  FakeInstance& instance = mine_first ? *mine_ : *busy[below(static_cast<uint32_t>(busy.size()))];
  if (&instance == mine_ && weather() == Weather::kStuck && !chance(64)) return;
  // What others left behind comes late: that is what it is feared for.
  if (&instance != mine_ && !chance(16)) return;
  const auto which = below(static_cast<uint32_t>(instance.pending() + instance.gave_up()));
  if (which >= instance.pending()) return instance.late(which - instance.pending());
  end_op(instance, which);
}

void LunSim::end_op(FakeInstance& instance, size_t index) {
  if (chance(3)) return instance.do_first_part(index);
  if (instance.may_cancel(index) && instance.first_part_left(index) == false && chance(4))
    return report_done(instance.fail(index, -ECANCELED, false));
  if (weather() != Weather::kCalm && chance(300)) return report_done(instance.time_out(index));
  if (life_.knows(Fault::kErrors) && chance(16)) {
    ++counts_.errors;
    return report_done(instance.fail(index, -EIO, chance(2)));
  }
  if (life_.knows(Fault::kFull) && chance(16)) {
    ++counts_.errors;
    return report_done(instance.fail(index, chance(2) ? -ENOSPC : -EDQUOT, false));
  }
  report_done(instance.finish(index, chance(2)));
}

// One of ours that was given up, once its last op has ended.
void LunSim::close_some_instance() {
  if (!device_ || frozen_ || numbers_.empty()) return;
  auto chosen = numbers_.begin();
  std::advance(chosen, below(static_cast<uint32_t>(numbers_.size())));
  const auto [number, instance] = *chosen;
  if (instance->pending() != 0) return;
  numbers_.erase(chosen);
  instance->close();
  device_->on_instance_closed(number, now_);
}

void LunSim::run_job(bool friendly) {
  if (!device_) return;
  const bool hangs = life_.knows(Fault::kReleaseHangs) && weather() != Weather::kCalm;
  if (job_ == lock::Job::kRelease && hangs && !friendly) return;
  const lock::Job job = std::exchange(job_, lock::Job::kNone);
  switch (job) {
    case lock::Job::kNone:
      return;
    case lock::Job::kAcquire:
      return acquire(friendly);
    case lock::Job::kRelease:
      return release(friendly);
    case lock::Job::kFence:
      return fence(friendly);
    case lock::Job::kReopen:
      return reopen(friendly);
  }
}

void LunSim::acquire(bool friendly) {
  // Without its watch the daemon may have been away.
  if (watch_lost_) {
    tell_watch_lost();
    return device_->on_lock_event(lock::Outcome::kAcquireFailed, now_);
  }
  if (!friendly && chance(10)) return device_->on_lock_event(lock::Outcome::kAcquireFailed, now_);
  if (mine_->blocklisted()) return device_->on_lock_event(lock::Outcome::kAcquireLost, now_);
  if (!cluster_.primary) return device_->on_lock_event(lock::Outcome::kAcquireDemoted, now_);
  FakeInstance* const owner = cluster_.lock_owner;
  if (owner == peer_ && (!peer_alive_ || peer_->changes_pending() || chance(8))) {
    cluster_.blocklist(*peer_);  // It did not answer, or said that writes of its own hang.
    peer_ = &cluster_.open();
  } else if (owner != nullptr && owner != mine_ && owner != peer_) {
    cluster_.blocklist(*owner);
  }
  mine_->take_lock();
  device_->on_lock_event(lock::Outcome::kAcquired, now_);
}

void LunSim::release(bool friendly) {
  const bool works = friendly || !chance(20);
  if (works && cluster_.lock_owner == mine_) mine_->release();
  device_->on_lock_event(works ? lock::Outcome::kReleased : lock::Outcome::kReleaseFailed, now_);
}

void LunSim::fence(bool friendly) {
  const bool works = friendly || !chance(4);
  // One that was not confirmed may have been committed all the same.
  if (works || chance(3)) cluster_.blocklist(*mine_);
  device_->on_lock_event(works ? lock::Outcome::kFenced : lock::Outcome::kFenceFailed, now_);
}

void LunSim::reopen(bool friendly) {
  if (!friendly && chance(4)) return device_->on_lock_event(lock::Outcome::kReopenFailed, now_);
  EXPECT_TRUE(mine_->blocklisted()) << "opened anew beside an instance that was not fenced";
  numbers_[device_->instance()] = mine_;
  mine_ = &cluster_.open();  // With the newest map.
  device_->on_reopened(*mine_, now_);
}

}  // namespace tcmurbd::testing
