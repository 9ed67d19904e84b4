// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/rados_cluster.h"

#include "rbd_handler/ceph/fence_guard.h"
#include "rbd_handler/ceph/lock_channel.h"

namespace tcmurbd::ceph {

std::expected<std::shared_ptr<const Cluster>, std::string> RadosCluster::connect(
    const ImageSpec& spec) {
  auto control = ControlClient::get(spec.conf_path, spec.user);
  if (!control) return std::unexpected(control.error());
  return std::make_shared<const RadosCluster>(std::move(*control));
}

std::expected<std::shared_ptr<PeerChannel>, std::string> RadosCluster::open_channel(
    const ImageSpec& spec, const std::string& image_id, ChannelHandlers handlers) const {
  return LockChannel::open(control_, spec, image_id, std::move(handlers));
}

std::expected<std::shared_ptr<FenceList>, std::string> RadosCluster::open_fence_list(
    const ImageSpec& spec, const std::string& image_id, const std::shared_ptr<Log>& log,
    const std::string& fenced, OnOwnFenced on_own_fenced) const {
  struct Kept {
    std::shared_ptr<FenceGuard> guard;  // Outlives the ledger.
    std::shared_ptr<FenceLedger> ledger;
  };
  const auto kept = std::make_shared<Kept>(FenceGuard::of(control_), nullptr);
  auto ledger = kept->guard->open_ledger(spec, image_id, log, std::move(on_own_fenced));
  if (!ledger) return std::unexpected(ledger.error());
  kept->ledger = std::move(*ledger);
  if (!fenced.empty()) kept->ledger->add(fenced, FenceReason::kPredecessor);
  return std::shared_ptr<FenceList>(kept, kept->ledger.get());
}

}  // namespace tcmurbd::ceph
