// SPDX-License-Identifier: Apache-2.0
// Taking an image's exclusive lock, from nobody, from a healthy gateway, or from one that hangs.
// BLOCKS: worker threads.
//
//   who holds it? --nobody------------------------------------------> acquire -> newest map
//        | other, known to be fenced --------------------> break ---------^
//        | other --ask on the channel--> released -> who holds it?        |
//                        | holds detached writes, silent, or a stranger   |
//                        v                                                |
//                   blocklist -> newest map -> break ---------------------^
//
// rbd_lock_acquire is called only when nobody holds the lock: against a holder that hangs it would
// ask and wait inside librbd, without a bound.
#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <string>

#include "rbd_handler/ceph/control_client.h"
#include "rbd_handler/ceph/failure.h"
#include "rbd_handler/ceph/lock_channel.h"
#include "rbd_handler/ceph/rbd_image.h"

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

// Makes `image` the owner of its lock; at once if it has no such feature or is read-only. When it
// returns, the instance has the newest map, so that its ops are ordered after those of all owners
// before it. `fenced`: addresses that are known to be on the blocklist, which are neither asked nor
// blocklisted again. Failures: -EAGAIN, other gateways were quicker each time; -ESHUTDOWN, `image`
// is fenced; else what the cluster said. On failure the lock may have been taken from its holder.
std::expected<LockTaken, LockFailure> acquire_lock(RbdImage& image, LockChannel& channel,
                                                   const ControlClient& control,
                                                   std::span<const std::string> fenced);

// Takes the lock from an instance of our own that is blocklisted, so that whoever needs it next
// finds it free. A failure is none: its next owner does the same. BLOCKS as long as the header's
// OSD hangs, for some 10 s. REQUIRES: `address` is blocklisted.
void free_lock(const LockRecord& record, const std::string& address);

}  // namespace tcmurbd::ceph
