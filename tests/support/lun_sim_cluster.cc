// SPDX-License-Identifier: Apache-2.0
// How ops and the lock's actions end.
#include <gtest/gtest.h>

#include <cerrno>

#include "tests/support/lun_sim.h"

namespace tcmurbd::testing {

// Of any instance, including those given up.
void LunSim::end_some_op() {
  std::vector<FakeInstance*> busy;
  for (FakeInstance& instance : cluster_.instances()) {
    if (instance.pending() + instance.gave_up() != 0) busy.push_back(&instance);
  }
  if (busy.empty()) return;
  const bool mine_first = weather() == Weather::kCalm && mine_->pending() != 0;
  FakeInstance& instance = mine_first ? *mine_ : *busy[below(static_cast<uint32_t>(busy.size()))];
  if (&instance == mine_ && weather() == Weather::kStuck && !chance(64)) return;
  // Leftover ops of others are applied late, which is the dangerous case.
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

// A given up instance of this gateway, once its last op has ended.
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

void LunSim::run_action(bool friendly) {
  if (!device_) return;
  const bool hangs = life_.knows(Fault::kReleaseHangs) && weather() != Weather::kCalm;
  if (action_ == lock::Action::kRelease && hangs && !friendly) return;
  const lock::Action action = std::exchange(action_, lock::Action::kNone);
  switch (action) {
    case lock::Action::kNone:
      return;
    case lock::Action::kAcquire:
      if (!acquire(friendly)) action_ = action;
      return;
    case lock::Action::kRelease:
      return release(friendly);
    case lock::Action::kFence:
      return fence(friendly);
    case lock::Action::kReopen:
      return reopen(friendly);
  }
}

// Some calls of it. False: it has not ended.
bool LunSim::acquire(bool friendly) {
  if (!taking_.under_way()) start_taking();
  while (friendly || !chance(4)) {
    if (const auto outcome = taking_.step()) {
      taken(*outcome);
      return true;
    }
  }
  return false;
}

void LunSim::release(bool friendly) {
  const bool works = friendly || !chance(20);
  if (works && cluster_.lock_owner == mine_) mine_->release();
  device_->on_lock_event(works ? lock::Outcome::kReleased : lock::Outcome::kReleaseFailed, now_);
}

void LunSim::fence(bool friendly) {
  const bool works = friendly || !chance(4);
  // An unconfirmed one may have been committed anyway.
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
