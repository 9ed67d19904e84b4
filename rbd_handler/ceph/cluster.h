// SPDX-License-Identifier: Apache-2.0
// What the opening of a LUN uses of its cluster: the port between lun/lun_open.h and Ceph
// (rados_cluster.h). Tests implement it with a fake. All calls BLOCK: worker threads. Errors are
// one line for the operator.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <string>

#include "common/log.h"
#include "config/image_spec.h"
#include "rbd_handler/ceph/fence_list.h"
#include "rbd_handler/ceph/monitors.h"
#include "rbd_handler/ceph/peer_channel.h"
#include "rbd_handler/ceph/rbd_image.h"
#include "rbd_handler/ceph/served_image.h"

namespace tcmurbd::ceph {

// Opens an image on a client instance of its own: RbdImage::open.
using OpenServedImage = std::function<std::expected<std::unique_ptr<ServedImage>, std::string>(
    const ImageSpec&, CompletionSink, NewsSink)>;

class Cluster {
 public:
  virtual ~Cluster() = default;

  virtual std::shared_ptr<Monitors> monitors() const = 0;
  // "client.NAME".
  virtual const std::string& user() const = 0;
  // See ControlClient.
  virtual std::expected<bool, LockFailure> may_blocklist() const = 0;
  // See LockChannel::open.
  virtual std::expected<std::shared_ptr<PeerChannel>, std::string> open_channel(
      const ImageSpec& spec, const std::string& image_id, ChannelHandlers handlers) const = 0;
  // See FenceGuard::open_ledger. `fenced` is added to it; empty: nothing is.
  virtual std::expected<std::shared_ptr<FenceList>, std::string> open_fence_list(
      const ImageSpec& spec, const std::string& image_id, const std::shared_ptr<Log>& log,
      const std::string& fenced, OnOwnFenced on_own_fenced) const = 0;
};

// Connects to the cluster of `spec`, or finds the connection that the process has.
using ConnectCluster =
    std::function<std::expected<std::shared_ptr<const Cluster>, std::string>(const ImageSpec&)>;

}  // namespace tcmurbd::ceph
