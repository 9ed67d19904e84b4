// SPDX-License-Identifier: Apache-2.0
// Taking an image's exclusive lock, from nobody, from a healthy gateway, or from one that hangs.
// BLOCKS: worker threads.
//
//   own watch there? --no--> fails: this gateway was away
//        | yes
//   who holds it? --nobody------------------------------------------> acquire -> newest map
//        | other, known to be fenced -------------> newest map -> break ---^
//        | other --ask on the channel--> released -> who holds it?         |
//                        |         \-> must wait -> fails                  |
//                        | holds detached writes, silent, or a stranger    |
//                        v                                                 |
//                   still the holder? -> blocklist -> newest map -> break -^
//
// rbd_lock_acquire is called only when nobody holds the lock: against a holder that hangs it would
// ask and wait inside librbd, without a bound.
//
// The lock of an instance that was fenced stays where it is until somebody breaks it. Not every
// client waits for the newest map when it finds a lock free (librbd does so only when it breaks
// one, and that goes for tcmu-runner and qemu); each waits for it when it has to break it.
#pragma once

#include <cerrno>
#include <cstdint>
#include <expected>
#include <string>

#include "rbd_handler/ceph/failure.h"
#include "rbd_handler/ceph/lock_cluster.h"

namespace tcmurbd::ceph {

enum class Acquired : uint8_t {
  kFree,        // Nobody had it, or this instance had it already, or the image has no such lock.
  kHandedOver,  // A gateway gave it up.
  kBroken,      // Taken from one that could not.
};

struct LockTaken {
  Acquired how = Acquired::kFree;
  std::string story{};  // For the log, if not kFree: from whom it was taken, and why so.
};

// This gateway was away: what waits in it may have been given up by its hosts.
inline constexpr int kWasAway = -ESTALE;
// The holder keeps the lock and must not be broken yet.
inline constexpr int kHolderWaits = -EBUSY;

// Makes the instance behind `cluster` the owner of the lock. When it returns, the instance has the
// newest map, so that its ops are ordered after those of all owners before it. Failures: -EAGAIN,
// other gateways were quicker each time; -ESHUTDOWN, the instance is fenced; kWasAway;
// kHolderWaits; -ENOMEDIUM, the image is not primary; else what the cluster said. On failure the
// lock may have been taken from its holder.
std::expected<LockTaken, LockFailure> acquire_lock(LockCluster& cluster);

}  // namespace tcmurbd::ceph
