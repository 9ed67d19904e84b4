// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/client.h"

#include <fmt/format.h>
#include <malloc.h>
#include <rados/librados.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "rbd_handler/ceph/failure.h"
#include "rbd_handler/ceph/heap_trim.h"

namespace tcmurbd::ceph {
namespace {

constexpr std::array kImageSettings{
    // An acknowledged write is durable only without the cache: its default policy acknowledges
    // writes before an OSD has them, and other gateways would not see them.
    Setting{"rbd_cache", "false"},
    Setting{"rbd_persistent_cache_mode", "disabled"},
    // librbd copies a write's data at submit, so the ring's memory is free when submit() returns.
    // Without the copy, a changed buffer makes the CRC fail, and the op is resent endlessly.
    Setting{"rbd_disable_zero_copy_writes", "true"},
    // Submit posts and returns. Otherwise the reactor itself would run librbd's state machines and
    // block in them.
    Setting{"rbd_non_blocking_aio", "true"},
    // A read must not change the image: it may be abandoned at any time and needs no lock.
    Setting{"rbd_clone_copy_on_read", "false"},
    // Fenced ops and later ones are ordered per placement group, by its primary.
    Setting{"rbd_read_from_replica_policy", "default"},
    Setting{"rbd_balance_snap_reads", "false"},
    Setting{"rbd_localize_snap_reads", "false"},
    // Required when librbd itself breaks a lock (rbd_lock_acquire does if the owner's watch is
    // gone).
    Setting{"rbd_blocklist_on_break_lock", "true"},
    // A timeout causes a fence, and the object map is correct with the next owner. An invalidated
    // map would stay invalid until an operator rebuilds it.
    Setting{"rbd_invalidate_object_map_on_timeout", "false"},
};

constexpr std::array kClientSettings{
    // One thread each: a third less processor time per read at high queue depth, fewer threads per
    // LUN, and ops of one handle keep their order.
    Setting{"ms_async_op_threads", "1"},
    Setting{"librados_thread_count", "1"},
    // 0 = no throttle: a wait would block the only thread of the instance, including reads from
    // healthy OSDs. The object ops in flight are bounded by kImageOpsMax image ops and the objects
    // per zeroing op (scsi/limits.h).
    Setting{"objecter_inflight_ops", "0"},
    Setting{"objecter_inflight_op_bytes", "0"},
    // Seconds. Without a cluster, an open fails while the kernel and ceph-iscsi (30 s) still wait
    // for the reply.
    Setting{"client_mount_timeout", "10"},
    Setting{"rados_mon_op_timeout", "10"},
    // An op without the exclusive lock fails at once. With librbd's automatic transitions it would
    // wait inside librbd for the lock, and an aborted write would be applied when the lock comes
    // back, over newer data of another gateway.
    Setting{"rbd_auto_exclusive_lock_until_manual_request", "false"},
    // The path from ceph.conf is the same for every instance of this process; only one could bind
    // it. The control client has one of its own.
    Setting{"admin_socket", ""},
    // stderr is the log of this program. ceph.conf's log_file is used.
    Setting{"log_to_stderr", "false"},
    Setting{"err_to_stderr", "false"},
};

// Seconds. An op that librados timed out may still be applied: its outcome is unknown, which causes
// a fence.
constexpr std::array kImageRoleSettings{
    // Longer than a failover of OSDs (35 s measured: grace, peering and read lease), so that only
    // permanent failures cause a timeout; far shorter than the lifetime of a blocklist entry, so
    // that no op of a fenced instance outlives the entry. It also bounds the close of a fenced
    // instance.
    Setting{"rados_osd_op_timeout", "120"},
};
constexpr std::array kControlRoleSettings{
    // No op may hang forever, and no op has a critical outcome.
    Setting{"rados_osd_op_timeout", "10"},
};

std::span<const Setting> role_settings(ClientRole role) {
  switch (role) {
    case ClientRole::kImage:
      return kImageRoleSettings;
    case ClientRole::kControl:
      return kControlRoleSettings;
  }
  return {};
}

std::string conf_name(const std::string& conf_path) {
  if (!conf_path.empty()) return conf_path;
  const char* from_environment = std::getenv("CEPH_CONF");
  return from_environment != nullptr ? from_environment : "/etc/ceph/ceph.conf";
}

}  // namespace

std::span<const Setting> image_settings() { return kImageSettings; }

std::expected<std::unique_ptr<Client>, std::string> Client::connect(const std::string& conf_path,
                                                                    const std::string& user,
                                                                    ClientRole role) {
  const std::string id = user.empty() ? "admin" : user;
  auto place = Headroom::of_process().take();
  if (!place) return std::unexpected(fmt::format("client.{}: {}", id, place.error()));
  rados_t cluster = nullptr;
  if (const int r = rados_create(&cluster, id.c_str()); r < 0)
    return std::unexpected(fmt::format("client.{}: {}", id, failure_text(r)));
  std::unique_ptr<Client> client(new Client(cluster, "client." + id, std::move(*place)));
  if (auto done = client->configure(conf_path, role); !done) return std::unexpected(done.error());
  if (auto done = client->start(); !done) return std::unexpected(done.error());
  return client;
}

Client::~Client() {
  rados_shutdown(cluster_);
  static HeapTrim trims;
  if (trims.due(std::chrono::steady_clock::now())) ::malloc_trim(0);
}

std::expected<void, int> Client::wait_for_latest_map() const {
  if (const int r = rados_wait_for_latest_osdmap(cluster_); r < 0) return std::unexpected(r);
  return {};
}

std::optional<uint32_t> Client::map_epoch() const {
  if (!admin_socket_) return std::nullopt;
  const auto reply = admin_socket_->ask(
      R"({"prefix": "perf dump", "logger": "objecter", "counter": "map_epoch"})");
  if (!reply) return std::nullopt;
  const auto counters = nlohmann::json::parse(*reply, nullptr, false);
  const nlohmann::json::json_pointer place("/objecter/map_epoch");
  if (!counters.contains(place) || !counters[place].is_number_unsigned()) return std::nullopt;
  return counters[place].get<uint32_t>();
}

std::expected<void, std::string> Client::configure(const std::string& conf_path, ClientRole role) {
  const auto refuse = [this](std::string reason) {
    return std::unexpected(fmt::format("{}: {}", name_, reason));
  };
  if (const int r = rados_conf_read_file(cluster_, conf_path.empty() ? nullptr : conf_path.c_str());
      r < 0) {
    const std::string reason = r == -EINVAL ? "is not a Ceph configuration" : failure_text(r);
    return refuse(fmt::format("{} {}", conf_name(conf_path), reason));
  }
  if (const int r = rados_conf_parse_env(cluster_, nullptr); r < 0)
    return refuse(fmt::format("CEPH_ARGS: {}", failure_text(r)));
  for (const std::span<const Setting> settings :
       {image_settings(), std::span<const Setting>(kClientSettings), role_settings(role)})
    for (const Setting& setting : settings)
      if (const int r = rados_conf_set(cluster_, setting.name, setting.value); r < 0)
        return refuse(fmt::format("librados does not accept {}={}: {}", setting.name, setting.value,
                                  failure_text(r)));
  if (role != ClientRole::kControl) return {};
  admin_socket_.emplace();
  rados_conf_set(cluster_, "admin_socket", admin_socket_->path().c_str());
  return {};
}

std::expected<void, std::string> Client::start() {
  if (const int r = rados_connect(cluster_); r < 0)
    return std::unexpected(fmt::format("{}: {}", name_, connect_failure(r)));
  if (admin_socket_) admin_socket_->open();
  char* address = nullptr;
  if (const int r = rados_getaddrs(cluster_, &address); r < 0)
    return std::unexpected(
        fmt::format("{}: cannot read its own address: {}", name_, failure_text(r)));
  address_ = address;
  rados_buffer_free(address);
  return {};
}

std::string Client::option(const char* name) const {
  std::array<char, 1024> value{};
  return rados_conf_get(cluster_, name, value.data(), value.size()) < 0 ? "" : value.data();
}

std::string Client::connect_failure(int error) const {
  switch (-error) {
    case ETIMEDOUT:
      return fmt::format("no monitor answered within {} s at {}", option("client_mount_timeout"),
                         option("mon_host"));
    case EPERM:
    case EACCES:
      return fmt::format("refused by the monitors: no such user, or its key is wrong; keyring: {}",
                         option("keyring"));
    case ENOENT:
      if (option("mon_host").empty()) return "no monitor address: mon_host is not set";
      return fmt::format("no readable key; keyring: {}", option("keyring"));
    case EINVAL:
      return fmt::format("connecting: invalid settings or key; mon_host: {}; keyring: {}",
                         option("mon_host"), option("keyring"));
    default:
      return "connecting: " + failure_text(error);
  }
}

}  // namespace tcmurbd::ceph
