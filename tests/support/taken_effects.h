// SPDX-License-Identifier: Apache-2.0
// A Device's effects, for tests that take them by kind. Those of other kinds wait for their turn.
#pragma once

#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "rbd_handler/device/device.h"

namespace tcmurbd::testing {

class TakenEffects {
 public:
  // All of this kind that there are now, oldest first.
  template <typename Kind>
  std::vector<Kind> take(Device& device) {
    std::vector<Kind> taken;
    while (auto one = take_one<Kind>(device)) taken.push_back(std::move(*one));
    return taken;
  }
  // The oldest of this kind.
  template <typename Kind>
  std::optional<Kind> take_one(Device& device) {
    device.take_effects(effects_);
    for (auto it = effects_.begin(); it != effects_.end(); ++it) {
      if (!std::holds_alternative<Kind>(*it)) continue;
      std::optional<Kind> taken = std::move(std::get<Kind>(*it));
      effects_.erase(it);
      return taken;
    }
    return std::nullopt;
  }
  lock::Action take_action(Device& device) {
    return take_one<StartLockAction>(device).value_or(StartLockAction{}).action;
  }
  bool take_fetch(Device& device) { return take_one<FetchTargetFacts>(device).has_value(); }
  // The Device is gone.
  void clear() { effects_.clear(); }

 private:
  std::vector<Effect> effects_;
};

}  // namespace tcmurbd::testing
