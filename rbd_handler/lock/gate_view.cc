// SPDX-License-Identifier: Apache-2.0
// The gate for an operator who asks: the limits of gate.cc as times from now.
#include <algorithm>

#include "rbd_handler/lock/gate.h"

namespace tcmurbd::lock {

GateView Gate::view(TimePoint now, const Load& load) const {
  GateView view{.state = state_,
                .in_state = since_ == TimePoint{} ? Duration{-1} : now - since_,
                .refuses = refuses_,
                .unsure = unsure_,
                .retries = retries_fence(),
                .peers = static_cast<uint32_t>(asking_.size())};
  const auto until = [now](TimePoint when) { return std::max(when - now, Duration{}); };
  const TimePoint busy_at = since_ + settings_.action_patience;
  switch (state_) {
    case State::kUnowned:
    case State::kOwned:
      if (load.oldest_detached != Duration{})
        view.fence_in =
            until(now + (calm(now) ? settings_.fence_after : spacing_) - load.oldest_detached);
      if (state_ == State::kUnowned && refuses_) view.retry_in = until(not_before_);
      break;
    case State::kDraining:
      if (load.in_librbd != 0) view.fence_in = until(yield_by_);
      break;
    case State::kReleasing:
      view.fence_in = until(since_ + settings_.release_patience);
      break;
    case State::kStuck:
      view.retry_in = until(not_before_);
      break;
    case State::kReopening:
      if (retry_reopen_) view.retry_in = until(not_before_);
      [[fallthrough]];
    case State::kAcquiring:
    case State::kFencing:
      if (!refuses_ && !view.retries) view.busy_in = until(busy_at);
      break;
  }
  return view;
}

}  // namespace tcmurbd::lock
