// SPDX-License-Identifier: Apache-2.0
// The parameters of one simulated life, derived from its seed only, so that it can be repeated. Not
// every life has every fault: rare faults combine in more ways if some lives do not have the
// others.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/units.h"

namespace tcmurbd::testing {

// Additional faults. Every life has ops that end late or never, aborts and resets, failed fences
// and actions, and a peer that requests, acquires and breaks the lock.
enum class Fault : uint8_t {
  kExpiry,         // Deadlines that do not keep commands below the kernel's cmd_time_out.
  kFrozenDaemon,   // The kernel runs, the daemon is stopped.
  kFrozenMachine,  // Both are frozen; hosts drop their sessions, whose commands arrive later.
  kResetRing,      // Another process resets the ring.
  kRemovedEntry,   // Blocklist entries of fenced instances are removed.
  kResize,         // Resizes of image and device, in either order.
  kCrash,          // The daemon dies, and a successor takes over.
  kErrors,         // Ops that end with -EIO, partly applied.
  kFull,           // The pool has no space.
  kCrowd,          // More ops than kImageOpsMax.
  kReleaseHangs,   // A release of the lock waits for the image's header.
  kPeerBehind,     // The peer uses the map of its acquire, even if it is old.
  kDemoted,        // The image is demoted and promoted.
  kLimits,         // The image has QoS limits, which change.
  kDrop,           // A host drops its session after a silence.
};
inline constexpr std::array<std::string_view, 15> kFaultNames{
    "expiry",        "frozen_daemon", "frozen_machine", "reset_ring", "removed_entry",
    "resize",        "crash",         "errors",         "full",       "crowd",
    "release_hangs", "peer_behind",   "demoted",        "limits",     "drop"};
inline constexpr size_t kFaults = kFaultNames.size();

using FaultSet = std::bitset<kFaults>;

struct Life {
  // `sure` is a fault that it has; it also has some of `possible`.
  static Life draw(uint32_t seed, std::optional<Fault> sure, const FaultSet& possible);

  // Its faults' names.
  std::string to_string() const;
  bool knows(Fault fault) const { return faults[static_cast<size_t>(fault)]; }

  uint32_t seed = 0;
  FaultSet faults{};
  bool keep_buffer = true;
  bool reads_need_lock = false;
  uint32_t open_max = 40;      // Commands at a time.
  uint32_t season = 512;       // Duration of a weather, in events.
  uint32_t patience = 1;       // How rarely initiators abort.
  uint32_t slowness = 1;       // How rarely an action of the lock ends.
  Duration deadline{};         // Zero: none.
  Duration kernel_deadline{};  // cmd_time_out.
};

}  // namespace tcmurbd::testing
