// SPDX-License-Identifier: Apache-2.0
// The client instance that fences other instances, locates their hung ops, and carries the lock
// channel. One for each (ceph.conf, user) of the process, never fenced. All calls BLOCK, but not
// forever while the monitors have a quorum: its ops time out after 10 s. Worker threads.
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
  // Returns the control client for these arguments, connecting it if necessary. Errors: see
  // Client::connect.
  static std::expected<std::shared_ptr<ControlClient>, std::string> get(
      const std::string& conf_path, const std::string& user);

  // Returns after the monitors committed the OSD map with an entry for `address` for 24 h. OSDs do
  // not enforce it at once: an OSD without that map still serves the instance, until an op of an
  // instance that has it (Client::wait_for_latest_map) reaches the same placement group.
  std::expected<void, LockFailure> blocklist(const std::string& address) const;

  // The blocklist of the latest map. It contains all entries committed before the call that have
  // not expired or been removed.
  std::expected<Blocklist, LockFailure> blocklisted() const;
  // Asks the monitors whether this user may blocklist, without any change. Takes at most 10 s, the
  // timeout of a command. Not cached, since an operator may change the caps.
  std::expected<bool, LockFailure> may_blocklist() const;

  // Asks the monitors for the location of an object: "object X of pool 'p' is in pg 1.2f, acting
  // osd.2, osd.0". For the operator's log.
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
