// SPDX-License-Identifier: Apache-2.0
// What one simulated life is like: drawn from its seed alone, so that a seed repeats it. Not every
// life knows every fault: rare faults meet in more ways if some lives are spared the others.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/units.h"

namespace tcmurbd::testing {

// Beyond what every life knows: ops that end late or never, aborts and resets, fences and jobs that
// fail, a peer that asks, takes and breaks the lock.
enum class Fault : uint8_t {
  kExpiry,         // Deadlines that do not keep commands below the kernel's cmd_time_out.
  kFrozenDaemon,   // The kernel goes on, the daemon does not.
  kFrozenMachine,  // Both stand still; hosts drop their sessions, whose commands come later.
  kResetRing,      // Somebody else resets the ring.
  kRemovedEntry,   // Blocklist entries of fenced instances are removed.
  kResize,         // Of image and device, in either order.
  kCrash,          // The daemon dies, and a successor serves.
  kErrors,         // Ops that end with -EIO, partly applied.
  kFull,           // The pool has no space.
  kCrowd,          // More ops than kImageOpsMax.
  kReleaseHangs,   // A release of the lock waits for the image's header.
  kPeerBehind,     // The peer acts with the map of its acquire, however old.
  kDemoted,        // The image is demoted and promoted.
  kLimits,         // The image has QoS limits, which change.
  kDrop,           // A host drops its session, of which nothing was heard for a while.
};
inline constexpr std::array<std::string_view, 15> kFaultNames{
    "expiry",        "frozen_daemon", "frozen_machine", "reset_ring", "removed_entry",
    "resize",        "crash",         "errors",         "full",       "crowd",
    "release_hangs", "peer_behind",   "demoted",        "limits",     "drop"};
inline constexpr size_t kFaults = kFaultNames.size();

using FaultSet = std::bitset<kFaults>;

struct Life {
  // `sure` is one that it knows; of `possible` it knows some.
  static Life draw(uint32_t seed, std::optional<Fault> sure, const FaultSet& possible);

  // Its faults' names.
  std::string to_string() const;
  bool knows(Fault fault) const { return faults[static_cast<size_t>(fault)]; }

  uint32_t seed = 0;
  FaultSet faults{};
  bool keep_buffer = true;
  bool reads_need_lock = false;
  uint32_t open_max = 40;      // Commands at a time.
  uint32_t season = 512;       // Events that the weather lasts.
  uint32_t patience = 1;       // How rarely initiators abort.
  uint32_t slowness = 1;       // How rarely a job of the lock ends.
  Duration deadline{};         // Zero: none.
  Duration kernel_deadline{};  // cmd_time_out.
};

}  // namespace tcmurbd::testing
