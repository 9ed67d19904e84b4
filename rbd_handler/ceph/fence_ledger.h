// SPDX-License-Identifier: Apache-2.0
// The fenced instances of one image, in the omap of its channel's object, so that every gateway
// that serves the image knows whose blocklist entries must stay: `rbd-target-api` removes those of
// its own host at each start, and operators clear the blocklist. A removed entry lets writes in
// that a hung OSD still has.
//
// Everything here is asynchronous: nobody waits for the ledger. What can't be written stays in
// memory and is tried again. Any thread.
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

namespace tcmurbd::ceph {

class FenceLedger {
 public:
  // `log` is the LUN's. `on_change` is called when there is something to look after; on any thread,
  // must only post or wake.
  static std::expected<std::shared_ptr<FenceLedger>, std::string> open(
      std::shared_ptr<ControlClient> control, const ImageSpec& spec, const std::string& image_id,
      std::shared_ptr<Log> log, std::function<void()> on_change);
  // BLOCKS until what is under way has ended, some 10 s when an OSD hangs: worker thread, and none
  // of librados'.
  ~FenceLedger();
  FenceLedger(const FenceLedger&) = delete;
  FenceLedger& operator=(const FenceLedger&) = delete;

  // The instance is blocklisted now, and may have writes in RADOS. Tells the other gateways.
  void add(const std::string& address);
  // Nothing of the instance can land any more. Nothing happens if it is not there.
  void remove(const std::string& address);
  // Reads the object again, and writes to it what could not be written before.
  void refresh();

  // As far as is known now.
  bool empty() const;
  bool contains(const std::string& address) const;
  // Those whose entries have gone from `blocklist`.
  std::vector<std::string> missing(const Blocklist& blocklist) const;

  Log& log() const { return *log_; }
  const std::string& image() const { return image_; }

 private:
  struct State;
  FenceLedger(std::shared_ptr<ControlClient> control, PoolHandle pool, const ImageSpec& spec,
              const std::string& image_id, std::shared_ptr<Log> log,
              std::function<void()> on_change);
  void save();

  // Constant after construction.
  const std::shared_ptr<ControlClient> control_;
  const std::string image_;
  const std::shared_ptr<Log> log_;
  // Also held by what is under way. It synchronises itself.
  const std::shared_ptr<State> state_;
};

}  // namespace tcmurbd::ceph
