// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/rados_lock_cluster.h"

#include <algorithm>

namespace tcmurbd::ceph {

OwnWatch RadosLockCluster::own_watch() { return channel_.own_watch(); }

std::expected<std::optional<LockHolder>, int> RadosLockCluster::holder() {
  return channel_.holder();
}

std::expected<bool, int> RadosLockCluster::remove(const LockHolder& holder) {
  return channel_.remove(holder);
}

Fencing RadosLockCluster::fencing_of(const std::string& address) {
  if (std::ranges::find(fenced_, address) == fenced_.end() && !fences_.contains(address))
    return Fencing::kNone;
  const auto entries = monitors_.blocklisted();
  return entries && entries->contains(address) ? Fencing::kOnBlocklist : Fencing::kRemoved;
}

std::expected<Asked, std::string> RadosLockCluster::ask(const std::string& holder,
                                                        std::chrono::seconds patience) {
  return channel_.ask(holder, patience);
}

std::expected<void, LockFailure> RadosLockCluster::blocklist(const std::string& address) {
  auto done = monitors_.blocklist(address);
  if (done) fences_.add(address, FenceReason::kLockBroken);
  return done;
}

std::expected<LockTaken, LockFailure> acquire_lock(ServedImage& image, PeerChannel& channel,
                                                   const Monitors& monitors, FenceList& fences,
                                                   std::span<const std::string> fenced) {
  if (!image.info().exclusive_lock || image.info().read_only) return LockTaken{};
  channel.serve_as(image.address());
  RadosLockCluster cluster(image, channel, monitors, fences, fenced);
  return acquire_lock(cluster);
}

}  // namespace tcmurbd::ceph
