// SPDX-License-Identifier: Apache-2.0
// A client instance: one connected rados_t with the settings that this program depends on. It has
// an address of its own in the cluster, which can be blocklisted without touching any other
// instance.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>

#include "rbd_handler/ceph/headroom.h"

namespace tcmurbd::ceph {

// A librados or librbd option and the value it must have here.
struct Setting {
  const char* name;
  const char* value;
};

// Those that the metadata of a pool or an image can override, which nothing but a look at the
// opened image reveals.
std::span<const Setting> image_settings();

enum class ClientRole : uint8_t {
  kImage,    // Carries one LUN's I/O; fenced when that gets stuck.
  kControl,  // Fences the others; never fenced itself.
};

class Client {
 public:
  // Connects with the settings of `role`. `conf_path` empty: CEPH_CONF, else the default search;
  // `user` empty: admin. CEPH_ARGS is honoured. BLOCKS, for about 10 s when no monitor answers:
  // worker thread. Refuses what the process can't afford (headroom.h). Errors are one line that
  // names the user, the file or address, and the reason.
  static std::expected<std::unique_ptr<Client>, std::string> connect(const std::string& conf_path,
                                                                     const std::string& user,
                                                                     ClientRole role);
  // rados_shutdown.
  // REQUIRES: every image and ioctx on it is closed; librados frees what they point to.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // A rados_t, owned here. Any thread.
  void* handle() const { return cluster_; }
  // Returns when this instance has the newest OSD map of now. From then on its ops order every op
  // that an instance blocklisted before this call still has pending: before them, or refused.
  //
  // That holds whichever monitor answers, and whichever one committed the entry. A commit needs the
  // acceptance of every monitor of the quorum (Paxos::handle_accept), and each cancels its read
  // lease before it accepts (Paxos::handle_begin); the lease comes back with the commit. Without a
  // lease the version is not told (Monitor::handle_get_version waits until is_readable). So none of
  // the quorum tells an older version once the command was answered. One that was cut off and is no
  // longer of the quorum may have a lease from before: mon_lease, 5 s. Nothing is committed without
  // it sooner: the leader misses its acceptance or its acknowledgement of a lease after 10 s, and
  // an election that not all monitors take part in lasts mon_election_timeout, 5 s. Whoever sets
  // mon_lease higher than that should not.
  //
  // Errors are negative errnos. BLOCKS for as long as the monitors have no quorum: worker thread.
  std::expected<void, int> wait_for_latest_map() const;

  // "client.NAME".
  const std::string& name() const { return name_; }
  // As `ceph osd blocklist` takes it, such as "10.0.0.1:0/3706536469". New for each instance.
  const std::string& address() const { return address_; }

 private:
  Client(void* cluster, std::string name, Headroom::Place place)
      : cluster_(cluster), name_(std::move(name)), place_(std::move(place)) {}
  std::expected<void, std::string> configure(const std::string& conf_path, ClientRole role);
  std::expected<void, std::string> start();
  std::string option(const char* name) const;
  std::string connect_failure(int error) const;

  void* const cluster_;
  const std::string name_;
  std::string address_;
  const Headroom::Place place_;  // Given back after the shutdown.
};

}  // namespace tcmurbd::ceph
