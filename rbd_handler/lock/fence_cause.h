// SPDX-License-Identifier: Apache-2.0
// Why a client instance was given up. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace tcmurbd::lock {

enum class FenceCause : uint8_t {
  kHungOp,          // A detached op did not end for too long.
  kUnknownOutcome,  // RADOS gave up an op that may still be applied.
  kPeer,            // Another gateway needs the lock, and ops did not end.
  kLunReset,        // A LUN RESET, and ops did not end.
  kSlowRelease,     // The release of the lock failed or did not end.
  kLockBroken,      // The lock was broken without a fence.
  kLost,            // Another gateway, or an operator, had fenced it.
};

// As the value of a label, by FenceCause.
inline constexpr std::array<std::string_view, 7> kFenceCauseNames{
    "hung_op", "unknown_outcome", "peer", "lun_reset", "slow_release", "lock_broken", "lost"};
static_assert(kFenceCauseNames.size() == static_cast<size_t>(FenceCause::kLost) + 1);

}  // namespace tcmurbd::lock
