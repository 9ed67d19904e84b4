// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/rados_cluster.h"

namespace tcmurbd::ceph {

std::expected<std::shared_ptr<const Cluster>, std::string> RadosCluster::connect(
    const ImageSpec& spec) {
  auto control = ControlClient::get(spec.conf_path, spec.user);
  if (!control) return std::unexpected(control.error());
  return std::make_shared<const RadosCluster>(std::move(*control));
}

std::expected<std::shared_ptr<LockChannel>, std::string> RadosCluster::open_channel(
    const ImageSpec& spec, const std::string& image_id, LockChannel::Handlers handlers) const {
  return LockChannel::open(control_, spec, image_id, std::move(handlers));
}

std::expected<OpenLedger, std::string> RadosCluster::open_ledger(const ImageSpec& spec,
                                                                 const std::string& image_id,
                                                                 const std::shared_ptr<Log>& log,
                                                                 const std::string& fenced) const {
  OpenLedger opened{.guard = FenceGuard::of(control_), .ledger = nullptr};
  auto ledger = opened.guard->open_ledger(spec, image_id, log);
  if (!ledger) return std::unexpected(ledger.error());
  opened.ledger = std::move(*ledger);
  if (!fenced.empty()) opened.ledger->add(fenced);
  return opened;
}

}  // namespace tcmurbd::ceph
