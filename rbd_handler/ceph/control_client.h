// SPDX-License-Identifier: Apache-2.0
// The client instance that acts upon the others: fences them, finds out where their ops hang, and
// carries the lock channel. One for each (ceph.conf, user) of the process, never fenced. All calls
// BLOCK, none for ever while the monitors have a quorum: its ops end after 10 s. Worker threads.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>

#include "rbd_handler/ceph/blocklist.h"
#include "rbd_handler/ceph/client.h"
#include "rbd_handler/ceph/failure.h"

namespace tcmurbd::ceph {

// A rados_ioctx_t of the control client.
using PoolHandle = std::unique_ptr<void, void (*)(void*)>;

class ControlClient {
 public:
  // The one of these arguments, connected now if nobody has it. Errors: see Client::connect.
  static std::expected<std::shared_ptr<ControlClient>, std::string> get(
      const std::string& conf_path, const std::string& user);

  // Returns after the monitors committed the OSD map that refuses `address` for the next 24 h. That
  // is not yet its enforcement: an OSD that has not heard of that map still serves it, until an op
  // of an instance that has (Client::wait_for_latest_map) reaches the same placement group.
  std::expected<void, LockFailure> blocklist(const std::string& address) const;

  // The addresses that the newest map refuses. What was committed before the call is among them, or
  // has expired, or was removed.
  std::expected<Blocklist, LockFailure> blocklisted() const;
  // Whether this user may do that, asked of the monitors: nothing is changed. Bounded as a command
  // to them is, 10 s. An operator may change the answer, so it is not kept.
  std::expected<bool, LockFailure> may_blocklist() const;

  // Where an object lies, asked of the monitors: "object X of pool 'p' is in pg 1.2f, acting osd.2,
  // osd.0". For the operator's log.
  std::expected<std::string, std::string> locate(const std::string& pool,
                                                 const std::string& name_space,
                                                 const std::string& object) const;

  // REQUIRES: destroyed before this.
  std::expected<PoolHandle, std::string> open_pool(const std::string& pool,
                                                   const std::string& name_space) const;

  const Client& client() const { return *client_; }

 private:
  explicit ControlClient(std::unique_ptr<Client> client) : client_(std::move(client)) {}

  const std::unique_ptr<Client> client_;
};

}  // namespace tcmurbd::ceph
