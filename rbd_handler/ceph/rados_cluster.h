// SPDX-License-Identifier: Apache-2.0
// The implementation of cluster.h with the control client. BLOCKS: worker threads.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <utility>

#include "rbd_handler/ceph/cluster.h"
#include "rbd_handler/ceph/control_client.h"

namespace tcmurbd::ceph {

class RadosCluster final : public Cluster {
 public:
  static std::expected<std::shared_ptr<const Cluster>, std::string> connect(const ImageSpec& spec);
  explicit RadosCluster(std::shared_ptr<ControlClient> control) : control_(std::move(control)) {}

  std::shared_ptr<Monitors> monitors() const override { return control_; }
  const std::string& user() const override { return control_->client().name(); }
  std::expected<bool, LockFailure> may_blocklist() const override {
    return control_->may_blocklist();
  }
  std::expected<std::shared_ptr<PeerChannel>, std::string> open_channel(
      const ImageSpec& spec, const std::string& image_id, ChannelHandlers handlers) const override;
  std::expected<std::shared_ptr<FenceList>, std::string> open_fence_list(
      const ImageSpec& spec, const std::string& image_id, const std::shared_ptr<Log>& log,
      const std::string& fenced, OnOwnFenced on_own_fenced) const override;

 private:
  const std::shared_ptr<ControlClient> control_;
};

}  // namespace tcmurbd::ceph
