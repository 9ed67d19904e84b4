// SPDX-License-Identifier: Apache-2.0
// The client instance that fences other instances, locates their hung ops, and carries the lock
// channel. One for each (ceph.conf, user) of the process, never fenced. All calls BLOCK, but not
// forever while the monitors have a quorum: its ops time out after 10 s. Worker threads.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>

#include "rbd_handler/ceph/client.h"
#include "rbd_handler/ceph/monitors.h"

namespace tcmurbd::ceph {

// A rados_ioctx_t of the control client.
using PoolHandle = std::unique_ptr<void, void (*)(void*)>;

class ControlClient final : public Monitors {
 public:
  // Returns the control client for these arguments, connecting it if necessary. Errors: see
  // Client::connect.
  static std::expected<std::shared_ptr<ControlClient>, std::string> get(
      const std::string& conf_path, const std::string& user);

  std::expected<void, LockFailure> blocklist(const std::string& address) const override;
  std::expected<Blocklist, LockFailure> blocklisted() const override;
  std::expected<ObjectLocation, std::string> locate(const ObjectPlace& place) const override;
  // Asks the monitors whether this user may blocklist, without any change. Takes at most 10 s, the
  // timeout of a command. Not cached, since an operator may change the caps.
  std::expected<bool, LockFailure> may_blocklist() const;

  // The monitors' reply to a command in JSON, or a negative errno.
  std::expected<std::string, int> ask(const std::string& command) const;

  // REQUIRES: destroyed before this.
  std::expected<PoolHandle, std::string> open_pool(const std::string& pool,
                                                   const std::string& name_space) const;

  const Client& client() const { return *client_; }

 private:
  explicit ControlClient(std::unique_ptr<Client> client) : client_(std::move(client)) {}
  std::expected<ObjectLocation, std::string> location_of(const std::string& pool,
                                                         const std::string& name_space,
                                                         const std::string& object) const;
  bool answers(const std::string& pool, const std::string& name_space, const std::string& object,
               std::chrono::milliseconds patience) const;

  const std::unique_ptr<Client> client_;
};

}  // namespace tcmurbd::ceph
