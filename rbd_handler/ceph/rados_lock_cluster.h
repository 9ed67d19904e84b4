// SPDX-License-Identifier: Apache-2.0
// The implementation of lock_cluster.h with RADOS: the image's own instance acquires the lock, the
// control client does everything that must work while that instance hangs. BLOCKS: worker threads.
#pragma once

#include <expected>
#include <span>
#include <string>

#include "rbd_handler/ceph/fence_list.h"
#include "rbd_handler/ceph/lock_procedure.h"
#include "rbd_handler/ceph/monitors.h"
#include "rbd_handler/ceph/peer_channel.h"
#include "rbd_handler/ceph/served_image.h"

namespace tcmurbd::ceph {

class RadosLockCluster final : public LockCluster {
 public:
  // All arguments outlive this. `fenced`: instances that this process has blocklisted.
  RadosLockCluster(ServedImage& image, PeerChannel& channel, const Monitors& monitors,
                   FenceList& fences, std::span<const std::string> fenced)
      : image_(image), channel_(channel), monitors_(monitors), fences_(fences), fenced_(fenced) {}

  std::string address() const override { return image_.address(); }
  OwnWatch own_watch() override;
  std::expected<std::optional<LockHolder>, int> holder() override;
  std::expected<bool, int> remove(const LockHolder& holder) override;
  Fencing fencing_of(const std::string& address) override;
  std::expected<Asked, std::string> ask(const std::string& holder,
                                        std::chrono::seconds patience) override;
  std::expected<void, LockFailure> blocklist(const std::string& address) override;
  std::expected<void, LockFailure> reach_header() override { return image_.reach_header(); }
  std::expected<void, LockFailure> wait_for_latest_map() override {
    return image_.wait_for_latest_map();
  }
  std::expected<void, LockFailure> take_free_lock() override { return image_.take_free_lock(); }

 private:
  ServedImage& image_;
  PeerChannel& channel_;
  const Monitors& monitors_;
  FenceList& fences_;
  const std::span<const std::string> fenced_;
};

// Makes `image` the owner of its lock, and lets the channel answer for it. Returns at once if the
// image is read-only or does not have the feature.
std::expected<LockTaken, LockFailure> acquire_lock(ServedImage& image, PeerChannel& channel,
                                                   const Monitors& monitors, FenceList& fences,
                                                   std::span<const std::string> fenced);

}  // namespace tcmurbd::ceph
