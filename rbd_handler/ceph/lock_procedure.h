// SPDX-License-Identifier: Apache-2.0
// Acquires an image's exclusive lock: a free one, from a healthy gateway, or from a hung or dead
// one. BLOCKS: worker threads.
//
//   own watch there? --no--> fails: this gateway was away
//        | yes
//   who holds it? --none-----------------> acquire -> own watch there? -> newest map
//        | other, known to be fenced -------------> newest map -> break -> who holds it?
//        | other --ask on the channel--> released -> who holds it?
//                        |         \-> must wait -> fails
//                        | holds detached writes, silent, or a stranger
//                        v
//                   still the holder? -> blocklist -> newest map -> break -> who holds it?
//
// The watch is looked at again when the lock is there: from then on no other gateway gets it but by
// fencing this instance. A machine that stood still before that may have lost its hosts to another
// gateway, and what waits in it for the lock must not be written.
//
// rbd_lock_acquire is called only when the lock is free: with a hung holder it would request the
// lock and wait inside librbd without a limit.
//
// A fenced instance keeps its lock until another client breaks it. Not every client waits for the
// latest map when it acquires a free lock (librbd, and so tcmu-runner and qemu, does so only when
// it breaks one), but every client does when it breaks a lock.
#pragma once

#include <cerrno>
#include <cstdint>
#include <expected>
#include <string>

#include "rbd_handler/ceph/failure.h"
#include "rbd_handler/ceph/lock_cluster.h"

namespace tcmurbd::ceph {

enum class Acquired : uint8_t {
  kFree,  // The lock was free, or this instance had it already, or the image has no exclusive lock.
  kHandedOver,  // A gateway released it.
  kBroken,      // Broken, since its owner could not release it.
};

struct LockTaken {
  Acquired how = Acquired::kFree;
  std::string detail{};  // For the log: the previous owner, or whom this gateway fenced, and why.
};

// This gateway was away: hosts may have given up its waiting commands.
inline constexpr int kWasAway = -ESTALE;
// The holder keeps the lock and must not be broken yet.
inline constexpr int kHolderWaits = -EBUSY;

// Makes the instance behind `cluster` the owner of the lock. When it returns, the instance has the
// latest map, so that its ops are ordered after those of all earlier owners. Failures: -EAGAIN,
// another gateway acquired the lock first each time; -ESHUTDOWN, the instance is fenced; kWasAway;
// kHolderWaits; -ENOMEDIUM, the image is not primary; else the cluster's error. The holder may have
// lost the lock even on failure.
std::expected<LockTaken, LockFailure> acquire_lock(LockCluster& cluster);

}  // namespace tcmurbd::ceph
