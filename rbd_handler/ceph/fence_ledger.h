// SPDX-License-Identifier: Apache-2.0
// The fenced instances of one image, in the omap of its lock channel object, so that every gateway
// of the image knows which blocklist entries must stay: `rbd-target-api` removes those of its own
// host at each start, and operators clear the blocklist. Without the entry, writes that a hung OSD
// still has queued could be applied. See FENCES.md.
//
// Everything is asynchronous: no caller waits for the ledger. Failed writes stay in memory and are
// retried. Any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/log.h"
#include "config/image_spec.h"
#include "rbd_handler/ceph/control_client.h"
#include "rbd_handler/ceph/fence_book.h"
#include "rbd_handler/ceph/fence_list.h"

namespace tcmurbd::ceph {

class FenceLedger final : public FenceList {
 public:
  // `log` is the LUN's. `on_change` is called when the ledger has entries to maintain; on any
  // thread, must only post or wake.
  static std::expected<std::shared_ptr<FenceLedger>, std::string> open(
      std::shared_ptr<ControlClient> control, const ImageSpec& spec, const std::string& image_id,
      std::shared_ptr<Log> log, std::function<void()> on_change, OnOwnFenced on_own_fenced);
  // BLOCKS until requests in flight have ended, about 10 s when an OSD hangs: worker thread, not
  // one of librados.
  ~FenceLedger() override;
  FenceLedger(const FenceLedger&) = delete;
  FenceLedger& operator=(const FenceLedger&) = delete;

  void add(const std::string& address, FenceReason cause) override;
  void remove(const std::string& address) override;
  void refresh() override;
  void serve_as(const std::string& address) override;
  bool contains(const std::string& address) const override;
  std::vector<FencedInstance> list() const override;

  // As currently known.
  bool empty() const;
  // The instances without an entry in `blocklist`.
  std::vector<std::string> missing(const Blocklist& blocklist) const;
  // Whether an instance serves that `blocklist` could contain.
  bool serves() const;
  // Calls on_own_fenced if `blocklist` contains the instance that serves.
  void look_for_own(const Blocklist& blocklist);

  Log& log() const { return *log_; }
  const std::string& image() const { return image_; }

 private:
  struct State;
  FenceLedger(std::shared_ptr<ControlClient> control, PoolHandle pool, const ImageSpec& spec,
              const std::string& image_id, std::shared_ptr<Log> log,
              std::function<void()> on_change, OnOwnFenced on_own_fenced);
  void save();

  // Constant after construction.
  const std::shared_ptr<ControlClient> control_;
  const std::string image_;
  const std::shared_ptr<Log> log_;
  const OnOwnFenced on_own_fenced_;
  // Shared with requests in flight. Synchronises itself.
  const std::shared_ptr<State> state_;
};

}  // namespace tcmurbd::ceph
