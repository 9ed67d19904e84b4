// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/lock/gate.h"

#include <algorithm>
#include <utility>

#include "common/check.h"

namespace tcmurbd::lock {

bool Gate::lets_through(bool changes_image) const {
  switch (state_) {
    case State::kUnowned:
    case State::kAcquiring:
      return !changes_image;  // Hosts scan on every path: reads need no lock.
    case State::kOwned:
      return true;
    case State::kStuck:
      return !changes_image || !unsure_;
    case State::kReleasing:  // librbd's release waits for earlier reads.
      return !changes_image && slow_release_;
    case State::kFencing:
      return retry_ && (!changes_image || !unsure_);
    case State::kDraining:
    case State::kReopening:
      return false;
  }
  return false;
}

void Gate::apply(Event event) {
  const State before = state_;
  const auto [state, action] = step(state_, event);
  state_ = state;
  if (action != Action::kNone) {
    CHECK(action_ == Action::kNone);
    action_ = action;
  }
  if (state_ == before) return;
  slow_release_ = false;
  if (state_ == State::kFencing) {
    retry_ = before == State::kStuck;
    // After a release, without the lock, or once a peer may break it, another gateway may own the
    // lock if the fence fails.
    unsure_ |= before == State::kReleasing || before == State::kUnowned || !asking_.empty();
  }
  if (state_ == State::kReopening) given_up_ = true;
  if (state_ == State::kFencing || state_ == State::kReopening) {
    // A peer need not wait for this fence: it fences us itself when it breaks the lock.
    answer_all(PeerAnswer::kHoldsDetached);
    reset_ = false;
  }
}

// A fence under way keeps its cause.
void Gate::fence(Event event, FenceCause cause) {
  const State before = state_;
  apply(event);
  if (state_ != before && before != State::kFencing) fence_cause_ = cause;
}

void Gate::on_outcome(Outcome outcome, TimePoint now) {
  switch (outcome) {
    case Outcome::kAcquired:
      return on_acquired(false, now);
    case Outcome::kAcquiredFree:
      return on_acquired(true, now);
    case Outcome::kAcquireLost:
      return on_acquire_failed(true, now);
    case Outcome::kAcquireFailed:
    case Outcome::kAcquireDemoted:
      return on_acquire_failed(false, now);
    case Outcome::kReleased:
      return on_released(now);
    case Outcome::kReleaseFailed:
      if (state_ == State::kReleasing) fence(Event::kReleaseFailed, FenceCause::kSlowRelease);
      return;
    case Outcome::kFenced:
      return apply(Event::kFenceDone);
    case Outcome::kFenceFailed:
      return on_fence_failed(now);
    case Outcome::kReopened:
      return on_reopened(now);
    case Outcome::kReopenFailed:
      return on_reopen_failed(now);
  }
}

void Gate::on_acquired(bool free, TimePoint now) {
  if (std::exchange(yielded_, false))
    yield_ = free ? std::min(2 * yield_, settings_.yield_max) : settings_.hold_min;
  owned_since_ = now;
  refuses_ = false;
  failed_at_ = {};
  apply(Event::kAcquired);
  if (std::exchange(verify_again_, false)) apply(Event::kVerify);
}

void Gate::on_acquire_failed(bool lost, TimePoint now) {
  verify_again_ = false;
  apply(Event::kAcquireFailed);
  answer_all(PeerAnswer::kNotOwner);
  if (lost) {
    on_lost();
    return;
  }
  not_before_ = now + settings_.acquire_retry;
  failed_at_ = now;
  refuses_ = true;
}

void Gate::on_released(TimePoint now) {
  if (state_ != State::kReleasing) return;  // Superseded by a fence meanwhile.
  // Yield to the peer only if one requested the lock.
  yielded_ = !asking_.empty();
  not_before_ = yielded_ ? now + yield_ : now;
  reset_ = false;
  apply(Event::kReleased);
  answer_all(PeerAnswer::kReleased);
}

void Gate::on_fence_failed(TimePoint now) {
  not_before_ = now + settings_.fence_retry;
  refuses_ = unsure_;  // Otherwise I/O is served, except over locked ranges.
  apply(Event::kFenceFailed);
}

void Gate::on_reopened(TimePoint now) {
  refuses_ = unsure_ = false;
  not_before_ = now;
  apply(Event::kReopened);
}

void Gate::on_reopen_failed(TimePoint now) {
  not_before_ = now + settings_.fence_retry;
  refuses_ = true;
  retry_reopen_ = true;
  apply(Event::kReopenFailed);
}

// kStuck retries by itself.
void Gate::must_fence() {
  if (state_ != State::kStuck) fence(Event::kFence, FenceCause::kUnknownOutcome);
}

void Gate::on_lock_gone() {
  unsure_ = true;
  if (state_ != State::kStuck) fence(Event::kFence, FenceCause::kLockBroken);
}

void Gate::on_lost() {
  fence(Event::kLost, FenceCause::kLost);
  if (state_ == State::kReopening) refuses_ = true;
}

void Gate::on_away() {
  verify_again_ = state_ == State::kAcquiring;
  apply(Event::kVerify);
}

void Gate::on_peer_asks(uint64_t request) {
  switch (retries_fence() ? State::kStuck : state_) {
    case State::kUnowned:
      replies_.push_back({request, PeerAnswer::kNotOwner});
      return;
    case State::kFencing:
      unsure_ = true;
      [[fallthrough]];
    case State::kReopening:
      replies_.push_back({request, PeerAnswer::kHoldsDetached});
      return;
    case State::kStuck:  // If this gateway cannot fence, a peer usually cannot either.
      replies_.push_back({request, unsure_ ? PeerAnswer::kHoldsDetached : PeerAnswer::kWait});
      return;
    case State::kOwned:
    case State::kAcquiring:  // Answered when the outcome is known.
    case State::kDraining:
    case State::kReleasing:
      asking_.push_back(request);
      return;
  }
}

void Gate::on_operator_asks(uint64_t request) {
  switch (retries_fence() ? State::kStuck : state_) {
    case State::kUnowned:
      replies_.push_back({request, PeerAnswer::kNotOwner});
      return;
    case State::kFencing:
    case State::kReopening:
      replies_.push_back({request, PeerAnswer::kHoldsDetached});
      return;
    case State::kStuck:
      replies_.push_back({request, PeerAnswer::kWait});
      return;
    case State::kOwned:
    case State::kAcquiring:
    case State::kDraining:
    case State::kReleasing:
      operators_.push_back(request);
      return;
  }
}

void Gate::on_lun_reset(TimePoint now) {
  if (state_ != State::kOwned || reset_) return;
  reset_ = true;
  yield_by_ = now + settings_.release_after;
}

void Gate::advance(TimePoint now, const Load& load) {
  note_state(now);
  go_on(now, load);
  note_state(now);
}

void Gate::note_state(TimePoint now) {
  if (std::exchange(timed_, state_) != state_) since_ = now;
}

void Gate::go_on(TimePoint now, const Load& load) {
  switch (state_) {
    case State::kUnowned:
      if (now >= not_before_) refuses_ = false;
      if (too_old(now, load)) {
        fence(Event::kFence, FenceCause::kHungOp);
      } else if (load.waiting_changes != 0 && now >= not_before_) {
        apply(Event::kNeeded);
      }
      return;
    case State::kOwned:
      advance_owned(now, load);
      if (state_ == State::kDraining) advance_draining(now, load);
      return;
    case State::kDraining:
      advance_draining(now, load);
      return;
    case State::kStuck:
      if (load.detached_changes == 0 && !unsure_) {
        apply(Event::kSettled);
      } else if (now >= not_before_) {
        apply(Event::kFence);
      }
      return;
    case State::kReopening:
      if (retry_reopen_ && now >= not_before_) {
        retry_reopen_ = false;
        action_ = Action::kReopen;
      }
      [[fallthrough]];
    case State::kAcquiring:
    case State::kReleasing:
    case State::kFencing:
      watch_action(now);
      return;
  }
}

void Gate::watch_action(TimePoint now) {
  if (state_ == State::kReleasing) {
    // librbd is waiting, but this gateway is healthy: peers must not break the lock.
    slow_release_ = now - since_ >= settings_.drain_patience;
    if (slow_release_) answer_all(PeerAnswer::kWait);
    if (now - since_ >= settings_.release_patience) fence(Event::kFence, FenceCause::kSlowRelease);
  } else if (!retries_fence() && now - since_ >= settings_.action_patience) {
    refuses_ = true;
  }
}

bool Gate::too_old(TimePoint now, const Load& load) {
  calm_down(now);
  if (load.oldest_detached < spacing_) return false;
  space_fences(now);
  return true;
}

bool Gate::may_force(TimePoint now) {
  calm_down(now);
  if (now - spaced_ < forced_gap_) return false;
  space_fences(now);
  return true;
}

void Gate::calm_down(TimePoint now) {
  if (!calm(now)) return;
  spacing_ = settings_.fence_after;
  forced_gap_ = {};
}

void Gate::space_fences(TimePoint now) {
  spaced_ = now;
  forced_gap_ = std::clamp(forced_gap_ * 3 / 2, settings_.fence_after, 8 * settings_.fence_after);
  spacing_ = std::min(2 * spacing_, 16 * settings_.fence_after);
}

void Gate::fence_or_keep(TimePoint now) {
  if (may_force(now)) {
    fence(Event::kFence, reset_ ? FenceCause::kLunReset : FenceCause::kPeer);
  } else {
    keep();
  }
}

void Gate::keep() {
  reset_ = false;
  apply(Event::kKeep);
  answer_all(PeerAnswer::kWait);
}

void Gate::advance_owned(TimePoint now, const Load& load) {
  if (too_old(now, load)) {
    fence(Event::kFence, FenceCause::kHungOp);
  } else if (!asking_.empty() && load.detached_changes != 0) {
    fence_or_keep(now);
  } else if (reset_ || (!asking_.empty() && now >= owned_since_ + settings_.hold_min)) {
    if (!reset_) yield_by_ = now + settings_.drain_patience;
    apply(Event::kYield);
  } else if (!operators_.empty()) {
    yield_by_ = now + settings_.drain_patience;
    load.detached_changes != 0 ? keep() : apply(Event::kYield);
  }
}

void Gate::advance_draining(TimePoint now, const Load& load) {
  if (load.in_librbd == 0) {
    apply(Event::kDrained);
  } else if (now >= yield_by_ || (!asking_.empty() && load.detached_changes != 0)) {
    const bool for_operators_only = asking_.empty() && !reset_;
    for_operators_only ? keep() : fence_or_keep(now);
  }
}

void Gate::answer_all(PeerAnswer answer) {
  for (const uint64_t request : asking_) replies_.push_back({request, answer});
  for (const uint64_t request : operators_) replies_.push_back({request, answer});
  asking_.clear();
  operators_.clear();
}

Action Gate::take_action() { return std::exchange(action_, Action::kNone); }

void Gate::take_replies(std::vector<PeerReply>& replies) {
  replies.insert(replies.end(), replies_.begin(), replies_.end());
  replies_.clear();
}

bool Gate::lacks_lock(TimePoint now) const {
  return refuses_ || (failed_at_ != TimePoint{} && now - failed_at_ < settings_.failure_memory);
}

bool Gate::take_given_up() { return std::exchange(given_up_, false); }

bool Gate::needs_time() const {
  return !asking_.empty() || !operators_.empty() || reset_ || refuses_ || retry_reopen_ ||
         state_ == State::kDraining || state_ == State::kReleasing || state_ == State::kStuck;
}

}  // namespace tcmurbd::lock
