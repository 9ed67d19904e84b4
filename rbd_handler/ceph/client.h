// SPDX-License-Identifier: Apache-2.0
// A client instance: one connected rados_t with the required settings. It has its own address in
// the cluster, which can be blocklisted without affecting other instances.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "rbd_handler/ceph/admin_socket.h"
#include "rbd_handler/ceph/headroom.h"

namespace tcmurbd::ceph {

// A librados or librbd option and its required value.
struct Setting {
  const char* name;
  const char* value;
};

// The settings that the metadata of a pool or an image can override, which must be checked after
// the image was opened.
std::span<const Setting> image_settings();

enum class ClientRole : uint8_t {
  kImage,    // For the I/O of one LUN; fenced when its ops hang.
  kControl,  // Fences other instances; never fenced itself.
};

class Client {
 public:
  // Connects with the settings of `role`. `conf_path` empty: CEPH_CONF, else the default search;
  // `user` empty: admin. CEPH_ARGS is honoured. BLOCKS, for about 10 s when no monitor answers:
  // worker thread. Fails if the process lacks resources (headroom.h). Errors are one line with the
  // user, the file or address, and the reason.
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
  // Returns when this instance has the latest OSD map as of the call. From then on, every pending
  // op of an instance that was blocklisted before the call is ordered before the ops of this
  // instance, or refused.
  //
  // This holds whichever monitor answers, and whichever one committed the entry. A commit needs the
  // acceptance of every monitor of the quorum (Paxos::handle_accept), and each cancels its read
  // lease before it accepts (Paxos::handle_begin) and gets a new one with the commit. A monitor
  // without a lease does not report the version (Monitor::handle_get_version waits until
  // is_readable). So no monitor of the quorum reports an older version once the command was
  // answered. A disconnected monitor that is no longer in the quorum may have an old lease
  // (mon_lease, 5 s), but nothing is committed without it earlier: the leader detects a missing
  // acceptance or lease acknowledgement after 10 s, and an election without all monitors takes
  // mon_election_timeout, 5 s. So mon_lease must not be higher than that.
  //
  // Errors are negative errnos. BLOCKS for as long as the monitors have no quorum: worker thread.
  std::expected<void, int> wait_for_latest_map() const;

  // The epoch of the OSD map that this instance has, 0 for the first one (Objecter::handle_osd_map
  // does not count it); no value if librados does not report it. For
  // ClientRole::kControl. BLOCKS, at most for some seconds: worker thread.
  std::optional<uint32_t> map_epoch() const;

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
  std::optional<AdminSocket> admin_socket_;  // Of kControl.
  const Headroom::Place place_;              // Released after the shutdown.
};

}  // namespace tcmurbd::ceph
